#include "models/hbm/memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

/// Contiguous bytes of the address space that lie in one stack: one page of every pseudo-channel
/// would be 32 KiB; GPUs interleave finer, so that a tile spreads over all stacks.
constexpr std::int64_t stack_interleave = 1024;
/// Entries of a controller's write queue per pseudo-channel (Ramulator's default of 32).
constexpr std::int64_t write_queue_entries = 32;
/// All-bank refresh that takes half of the interval or more is no memory that anybody builds, and
/// the bound turns negative where it takes all of it.
constexpr double least_refresh_bound = 0.5;

/// Share of peak that refresh leaves. Throws ModelError when that is no more than half.
double refresh_share(const DramTiming& timing, Picoseconds refresh_time) {
  const double share = refresh_bound(timing);
  if (share > least_refresh_bound) return share;
  constexpr double ps_per_us = 1e6;
  throw ModelError(fmt::format(
      "memory: a refresh time (tRFC) of {:g} us every {:g} us (tREFI) leaves {:.2f} of the "
      "bandwidth; the model needs more than {:g}",
      static_cast<double>(refresh_time.count()) / ps_per_us,
      static_cast<double>(timing.time_of(timing.refresh_interval).count()) / ps_per_us, share,
      least_refresh_bound));
}

}  // namespace

HbmMemory::HbmMemory(const HbmConfig& config) {
  if (config.stacks < 1) throw ModelError("hbm: a chip needs at least one stack");
  const DramShape shape = dram_shape(config.kind);
  const double pins = static_cast<double>(shape.pins() * config.stacks);
  timing_ = dram_timing(config.kind, config.bandwidth.count() * 8 / pins, config.refresh_time);
  efficiency_ = config.model_refresh ? refresh_share(timing_, config.refresh_time) : 1;
  group_rate_ = config.bandwidth.count() / static_cast<double>(config.stacks) /
                picoseconds_per_second * efficiency_ * config.stream_efficiency;
  write_batch_ = Bytes(write_queue_entries * timing_.burst.count() * shape.pseudo_channels);
  groups_.resize(static_cast<std::size_t>(config.stacks));
}

Picoseconds HbmMemory::serve_group(Group& group, Picoseconds arrival, Bytes bytes,
                                   const HbmRequest& request) {
  const double bursts_per_run =
      std::ceil(static_cast<double>(std::min(request.run, timing_.page).count()) /
                static_cast<double>(timing_.burst.count()));
  const double stretch = row_train_clocks(timing_, request.run) /
                         (bursts_per_run * static_cast<double>(timing_.burst_gap));
  Picoseconds service(static_cast<std::int64_t>(
      std::ceil(static_cast<double>(bytes.count()) * stretch / group_rate_)));
  if (request.is_write) {
    group.unbatched_writes += bytes;
    // A bus that carries both directions turns around twice per drained write queue.
    while (group.unbatched_writes >= write_batch_) {
      group.unbatched_writes -= write_batch_;
      if (group.has_read_since_write) {
        service += timing_.time_of(timing_.read_to_write + timing_.write_to_read);
        group.has_read_since_write = false;
      }
    }
  } else {
    group.has_read_since_write = true;
  }
  group.free = std::max(group.free, arrival) + service;
  group.busy += service;
  return group.free;
}

Picoseconds HbmMemory::serve(Picoseconds arrival, const HbmRequest& request) {
  (request.is_write ? written_ : read_) += request.bytes;
  const auto groups = static_cast<std::int64_t>(groups_.size());
  const std::int64_t pieces = request.bytes.count() / stack_interleave;
  const std::int64_t rest = request.bytes.count() % stack_interleave;
  const auto first = static_cast<std::int64_t>((request.address / stack_interleave) %
                                               static_cast<std::uint64_t>(groups));
  Picoseconds done = arrival;
  for (std::int64_t i = 0; i < groups; ++i) {
    std::int64_t share = pieces / groups + (i < pieces % groups ? 1 : 0);
    share = share * stack_interleave + (i == pieces % groups ? rest : 0);
    if (share == 0) continue;
    Group& group = groups_[static_cast<std::size_t>((first + i) % groups)];
    done = std::max(done, serve_group(group, arrival, Bytes(share), request));
  }
  return done;
}

void HbmMemory::reset() {
  std::fill(groups_.begin(), groups_.end(), Group{});
  read_ = Bytes(0);
  written_ = Bytes(0);
}

Picoseconds HbmMemory::busy() const {
  Picoseconds total(0);
  for (const Group& group : groups_) total += group.busy;
  return total / static_cast<std::int64_t>(groups_.size());
}

Picoseconds HbmMemory::drained() const {
  Picoseconds latest(0);
  for (const Group& group : groups_) latest = std::max(latest, group.free);
  return latest;
}

}  // namespace tandem
