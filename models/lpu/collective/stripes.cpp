// An all-reduce in stripes of as many vectors as the gang has chips: each stripe sets off when its
// vectors are there, so that only the last one's way remains when the product behind it ends.
#include <algorithm>
#include <cstdlib>

#include "models/lpu/collective/collective.hpp"
#include "models/lpu/compiler/work.hpp"

namespace tandem::lpu {

// As move(), but the bytes take whatever cycles of the link are free: stripes overtake each other.
std::int64_t Collective::move_apart(const Lane& lane, const Rows& from, const Rows& to,
                                    std::int64_t ready) {
  const Geometry& geometry = scheduler_.geometry();
  const int out = std::abs(geometry.c2c_position(geometry.link_hemisphere(lane.send_link)));
  std::int64_t readable = ready;
  for (std::size_t byte = 0; byte < from.size(); ++byte) {
    Work work(scheduler_);
    work.send_row(from[byte], lane.send_link, 0);
    work.receive_row(to[byte], lane.receive_link, out + lane.latency);
    work.place(ready - work.first_read());
    readable = std::max(readable, work.last_write() + scheduler_.latencies().mem_write_to_read);
  }
  return readable;
}

void Collective::require_stripes() const {
  require(trays() == 1 ? ReducePlan::TwoPhase : ReducePlan::Hierarchical);
}

std::int64_t Collective::reduce_stripe(const StripedBlocks& blocks, int stripe,
                                       std::int64_t ready) {
  require_stripes();
  const int tray = unit_chips();
  const int first = stripe * tray;
  const int own = reg([&](int rank) { return rank % tray; });
  std::int64_t arrived = sum({blocks.input[0].at(first, own)}, blocks.inbox.at(first, own), ready);
  for (const Lane& lane : gang_.lanes_of(0)) {
    const bool east = scheduler_.geometry().link_hemisphere(lane.send_link) == Hemisphere::East;
    const int to = reg([&](int rank) { return lane.to[index_of(rank)] % tray; });
    const int from = reg([&](int rank) { return lane.from[index_of(rank)] % tray; });
    arrived = std::max(arrived, move_apart(lane, blocks.input[east ? 1 : 0].at(first, to),
                                           blocks.inbox.at(first, from), ready));
  }
  std::vector<Rows> terms;
  for (int chip = 0; chip < tray; ++chip) terms.push_back(blocks.inbox.at(first + chip));
  if (trays() == 1) return sum(terms, blocks.output.at(first, own), arrived);
  const int own_tray = reg([&](int rank) { return rank / tray; });
  arrived = sum(terms, blocks.trays.at(stripe * trays(), own_tray), arrived);
  return sum_over_trays(blocks, stripe, arrived);
}

// Chips of one index in all trays bring their sums to each other.
std::int64_t Collective::sum_over_trays(const StripedBlocks& blocks, int stripe,
                                        std::int64_t ready) {
  const int tray = unit_chips();
  const int first = stripe * trays();
  const int own = reg([&](int rank) { return rank / tray; });
  std::int64_t arrived = ready;
  for (const Lane& lane : gang_.lanes_of(1)) {
    const int from = reg([&](int rank) { return lane.from[index_of(rank)] / tray; });
    arrived = std::max(arrived, move_apart(lane, blocks.trays.at(first, own),
                                           blocks.trays.at(first, from), ready));
  }
  std::vector<Rows> terms;
  for (int other = 0; other < trays(); ++other) terms.push_back(blocks.trays.at(first + other));
  const int own_row = reg([&](int rank) { return rank % tray; });
  return sum(terms, blocks.output.at(stripe * tray, own_row), arrived);
}

std::int64_t Collective::gather_stripe(const StripedBlocks& blocks, int stripe,
                                       std::int64_t ready) {
  require_stripes();
  const int tray = unit_chips();
  const int first = stripe * tray;
  const int own = reg([&](int rank) { return rank % tray; });
  std::int64_t done = ready;
  for (const Lane& lane : gang_.lanes_of(0)) {
    const int from = reg([&](int rank) { return lane.from[index_of(rank)] % tray; });
    done = std::max(
        done, move_apart(lane, blocks.output.at(first, own), blocks.output.at(first, from), ready));
  }
  return done;
}

}  // namespace tandem::lpu
