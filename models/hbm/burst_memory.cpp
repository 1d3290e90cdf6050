#include "models/hbm/burst_memory.hpp"

#include <algorithm>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

constexpr std::uint64_t interleave = 256;

/// Finaliser of splitmix64.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

BurstMemory::BurstMemory(const HbmConfig& config) {
  if (config.stacks < 1) throw ModelError("memory: a chip needs at least one device");
  const DramShape shape = dram_shape(config.kind);
  const auto pins = static_cast<double>(shape.pins() * config.stacks);
  timing_ = dram_timing(config.kind, config.bandwidth.count() * 8 / pins, config.refresh_time);
  ControllerConfig controller;
  controller.refresh = config.model_refresh;
  controllers_.assign(static_cast<std::size_t>(shape.pseudo_channels * config.stacks),
                      ChannelController(timing_, controller));
}

BurstPlace BurstMemory::place_of(std::uint64_t address) const {
  const auto channels = static_cast<std::uint64_t>(controllers_.size());
  const std::uint64_t block = address / interleave;
  const std::uint64_t round = block / channels;
  const auto burst_bytes = static_cast<std::uint64_t>(timing_.burst.count());
  const auto local = static_cast<std::int64_t>(round * (interleave / burst_bytes) +
                                               address % interleave / burst_bytes);
  const std::int64_t train = train_of(timing_, timing_.page, local);
  BurstPlace place;
  place.channel = static_cast<std::int64_t>((block % channels + mix(round) % channels) % channels);
  place.row = train / timing_.banks;
  place.bank = (train % timing_.banks) ^ (place.row % timing_.banks);
  return place;
}

Picoseconds BurstMemory::serve(Picoseconds arrival, std::uint64_t address, Bytes bytes,
                               bool is_write) {
  if (bytes.count() < 1) throw ModelError("memory: a request needs at least one byte");
  const auto burst_bytes = static_cast<std::uint64_t>(timing_.burst.count());
  const std::int64_t clock = (arrival.count() * 1000 + timing_.clock_fs - 1) / timing_.clock_fs;
  const std::uint64_t last =
      (address + static_cast<std::uint64_t>(bytes.count()) - 1) / burst_bytes;
  std::int64_t done = 0;
  for (std::uint64_t burst = address / burst_bytes; burst <= last; ++burst) {
    const BurstPlace place = place_of(burst * burst_bytes);
    ChannelController& controller = controllers_[static_cast<std::size_t>(place.channel)];
    if (controller.full()) done = std::max(done, controller.step()->last_data);
    controller.push({burst, place.bank, place.row, is_write, clock});
  }
  for (ChannelController& controller : controllers_) {
    while (const auto one = controller.step()) done = std::max(done, one->last_data);
  }
  return timing_.time_of(done);
}

}  // namespace tandem
