// Schedules in which ranks write straight to each other, and reduction in the switch.
#include <algorithm>

#include "models/link/collectives/schedule.hpp"
#include "sim/core/integers.hpp"

namespace tandem::link {
namespace {

Transfer message(std::int32_t from, std::int32_t to, ElementRange range, TransferKind kind,
                 TransferSource buffer) {
  Transfer transfer;
  transfer.from = from;
  transfer.to = to;
  transfer.source = transfer.target = range.begin;
  transfer.elements = range.size();
  transfer.handled = from == to ? 0 : range.size();
  transfer.kind = kind;
  transfer.buffer = buffer;
  return transfer;
}

/// A rank's blocks pass over `handled` of its elements when `after` have arrived.
Transfer pass_over(std::int32_t rank, std::int64_t handled, std::vector<std::int32_t> after) {
  Transfer transfer;
  transfer.from = transfer.to = rank;
  transfer.handled = handled;
  transfer.kind = TransferKind::Pass;
  transfer.after = std::move(after);
  return transfer;
}

Schedule empty_schedule(const char* algorithm, std::int32_t ranks, std::int64_t elements) {
  Schedule schedule;
  schedule.algorithm = algorithm;
  schedule.ranks = ranks;
  schedule.elements = elements;
  return schedule;
}

/// Everyone's inputs in `range` come to `to` and are summed in the order of ranks.
std::vector<std::int32_t> gather_sum(Schedule& schedule, std::int32_t to, ElementRange range) {
  std::vector<std::int32_t> arrived;
  for (std::int32_t from = 0; from < schedule.ranks; ++from) {
    const TransferKind kind = from == 0 ? TransferKind::Copy : TransferKind::Add;
    arrived.push_back(schedule.add(message(from, to, range, kind, TransferSource::Input)));
  }
  return arrived;
}

}  // namespace

Schedule one_shot(std::int32_t ranks, std::int64_t elements) {
  Schedule schedule = empty_schedule("one_shot", ranks, elements);
  for (std::int32_t to = 0; to < ranks; ++to) {
    std::vector<std::int32_t> arrived = gather_sum(schedule, to, {0, elements});
    schedule.add(pass_over(to, elements * ranks, std::move(arrived)));
  }
  return schedule;
}

Schedule two_shot(std::int32_t ranks, std::int64_t elements) {
  Schedule schedule = empty_schedule("two_shot", ranks, elements);
  std::vector<std::vector<std::int32_t>> summed;
  for (std::int32_t owner = 0; owner < ranks; ++owner) {
    summed.push_back(gather_sum(schedule, owner, part_of({0, elements}, owner, ranks)));
  }
  for (std::int32_t distance = 1; distance < ranks; ++distance) {
    for (std::int32_t owner = 0; owner < ranks; ++owner) {
      Transfer transfer =
          message(owner, (owner + distance) % ranks, part_of({0, elements}, owner, ranks),
                  TransferKind::Copy, TransferSource::Work);
      transfer.after = summed[index_of(owner)];
      schedule.add(std::move(transfer));
    }
  }
  return schedule;
}

namespace {

/// Parts of the message that may be under way through the switch at a time, on their way up, down
/// or back; of a buffer's size together, twice over.
constexpr std::size_t parts_under_way = 8;
constexpr std::int64_t parts_per_buffer = 4;

/// Lays the parts of an in-switch reduction one after the other.
class SwitchReduction {
 public:
  explicit SwitchReduction(Schedule& schedule)
      : schedule_(schedule),
        asked_(index_of(schedule.ranks)),
        arrived_(parts_under_way, Arrivals(index_of(schedule.ranks))) {}

  /// One part through the switch and back.
  void lay(ElementRange part) {
    Arrivals arrivals(index_of(schedule_.ranks));
    for (std::int32_t owner = 0; owner < schedule_.ranks; ++owner) {
      const ElementRange piece = part_of(part, owner, schedule_.ranks);
      if (piece.size() > 0) lay_piece(owner, piece, arrivals[index_of(owner)]);
    }
    arrived_.push_back(std::move(arrivals));
  }

 private:
  /// Where each rank got each owner's piece of a part.
  using Arrivals = std::vector<std::vector<std::int32_t>>;

  /// A rank contributes behind its part before, and when the part that filled the room has come
  /// back to it.
  void ask(std::int32_t owner, ElementRange piece) {
    std::vector<std::int32_t> contributions = gather_sum(schedule_, schedule_.ranks, piece);
    const Arrivals& ends = arrived_[arrived_.size() - parts_under_way];
    const std::vector<std::int32_t>& room = ends[index_of(owner)];
    std::vector<std::int32_t>& before = asked_[index_of(owner)];
    for (std::size_t i = 0; i < contributions.size(); ++i) {
      Transfer& transfer = schedule_.transfers[index_of(contributions[i])];
      transfer.is_awaited = false;
      if (!room.empty()) transfer.after.push_back(room[i]);
      if (!before.empty()) transfer.after.push_back(before[i]);
    }
    before = std::move(contributions);
  }

  void lay_piece(std::int32_t owner, ElementRange piece, std::vector<std::int32_t>& arrivals) {
    const std::int32_t hub = schedule_.ranks;
    ask(owner, piece);
    const std::int32_t summed = send(hub, owner, piece, true, asked_[index_of(owner)]);
    const std::int32_t stored = send(owner, hub, piece, false, {summed});
    for (std::int32_t to = 0; to < schedule_.ranks; ++to) {
      arrivals.push_back(send(hub, to, piece, true, {stored}));
    }
  }

  std::int32_t send(std::int32_t from, std::int32_t to, ElementRange piece, bool is_awaited,
                    std::vector<std::int32_t> after) {
    Transfer transfer = message(from, to, piece, TransferKind::Copy, TransferSource::Work);
    if (from == schedule_.ranks) transfer.handled = 0;
    transfer.is_awaited = is_awaited;
    transfer.after = std::move(after);
    return schedule_.add(std::move(transfer));
  }

  Schedule& schedule_;
  std::vector<std::vector<std::int32_t>> asked_;  // contributions to a piece, by owner
  std::vector<Arrivals> arrived_;                 // ends of the parts so far
};

}  // namespace

Schedule in_switch(std::int32_t ranks, std::int64_t elements, std::int64_t buffer) {
  Schedule schedule = empty_schedule("in_switch", ranks, elements);
  const std::int64_t part = std::max<std::int64_t>(1, buffer / parts_per_buffer);
  const std::int64_t parts = std::max<std::int64_t>(1, ceil_div(elements, part));
  SwitchReduction reduction(schedule);
  for (std::int64_t k = 0; k < parts; ++k) reduction.lay(part_of({0, elements}, k, parts));
  return schedule;
}

Schedule all_to_all(std::int32_t ranks, std::int64_t elements) {
  Schedule schedule = empty_schedule("direct", ranks, elements);
  const auto send = [&](std::int32_t from, std::int32_t to) {
    const ElementRange source = part_of({0, elements}, to, ranks);
    Transfer transfer = message(from, to, source, TransferKind::Copy, TransferSource::Input);
    transfer.target = part_of({0, elements}, from, ranks).begin;
    transfer.handled = source.size();
    return transfer;
  };
  for (std::int32_t distance = 0; distance < ranks; ++distance) {
    for (std::int32_t from = 0; from < ranks; ++from) {
      schedule.add(send(from, (from + distance) % ranks));
    }
  }
  return schedule;
}

Schedule send_recv(std::int64_t elements) {
  Schedule schedule = empty_schedule("direct", 2, elements);
  schedule.add(message(0, 1, {0, elements}, TransferKind::Copy, TransferSource::Input));
  return schedule;
}

Schedule exchange_rows(std::int32_t ranks, std::int64_t elements) {
  Schedule schedule = empty_schedule("direct", ranks, elements * ranks);
  std::vector<std::vector<std::int32_t>> arrived(index_of(ranks));
  for (std::int32_t distance = 0; distance < ranks; ++distance) {
    for (std::int32_t from = 0; from < ranks; ++from) {
      const std::int32_t to = (from + distance) % ranks;
      Transfer transfer =
          message(from, to, {0, elements}, TransferKind::Copy, TransferSource::Input);
      transfer.handled = elements;
      arrived[index_of(to)].push_back(schedule.add(std::move(transfer)));
    }
  }
  for (std::int32_t rank = 0; rank < ranks; ++rank) {
    schedule.add(pass_over(rank, elements * ranks, std::move(arrived[index_of(rank)])));
  }
  return schedule;
}

}  // namespace tandem::link
