// Rings: the bandwidth-optimal schedules of the library.
#include "models/link/collectives/schedule.hpp"
#include "sim/core/integers.hpp"

namespace tandem::link {
namespace {

/// Ring `c`: the ranks of each node from local rank c on, node by node.
std::vector<std::int32_t> ring_order(const RankNodes& nodes, std::size_t c) {
  std::vector<std::int32_t> order;
  for (const auto& node : nodes) {
    for (std::size_t i = 0; i < node.size(); ++i) order.push_back(node[(c + i) % node.size()]);
  }
  return order;
}

/// Lays the steps of all rings; `last` holds the arrival that the next send of a position needs.
class RingBuilder {
 public:
  RingBuilder(const RankNodes& nodes, std::int64_t elements) {
    const std::size_t rings = nodes.size() > 1 ? nodes.front().size() : 1;
    for (std::size_t c = 0; c < rings; ++c) orders_.push_back(ring_order(nodes, c));
    schedule_.algorithm = "ring";
    schedule_.ranks = static_cast<std::int32_t>(orders_.front().size());
    schedule_.elements = elements;
    schedule_.starts_filled = true;
    last_.assign(orders_.size(), std::vector<std::int32_t>(orders_.front().size(), none));
  }

  /// n - 1 steps: in step k position p sends the piece owned k + `lag` positions back.
  void circulate(TransferKind kind, std::int32_t lag) {
    for (std::int32_t k = 0; k + 1 < schedule_.ranks; ++k) {
      for (std::size_t c = 0; c < orders_.size(); ++c) step(c, k + lag, kind);
    }
  }

  Schedule finish() {
    for (std::size_t c = 0; c < orders_.size(); ++c) {
      for (std::int32_t p = 0; p < schedule_.ranks; ++p) pass(c, p);
    }
    return std::move(schedule_);
  }

 private:
  static constexpr std::int32_t none = -1;

  [[nodiscard]] ElementRange piece(std::size_t ring, std::int32_t owner) const {
    const ElementRange whole = part_of({0, schedule_.elements}, owner, schedule_.ranks);
    return part_of(whole, static_cast<std::int64_t>(ring),
                   static_cast<std::int64_t>(orders_.size()));
  }

  void step(std::size_t c, std::int32_t back, TransferKind kind) {
    const std::vector<std::int32_t>& order = orders_[c];
    const std::int32_t n = schedule_.ranks;
    std::vector<std::int32_t> arrivals(index_of(n), none);
    for (std::int32_t p = 0; p < n; ++p) {
      const std::int32_t next = (p + 1) % n;
      const ElementRange range = piece(c, order[index_of((p - back + 2 * n) % n)]);
      Transfer transfer{order[index_of(p)],
                        order[index_of(next)],
                        range.begin,
                        range.begin,
                        range.size(),
                        range.size(),
                        kind,
                        {},
                        true,
                        {}};
      transfer.buffer = TransferSource::Work;
      if (last_[c][index_of(p)] != none) transfer.after.push_back(last_[c][index_of(p)]);
      arrivals[index_of(next)] = schedule_.add(std::move(transfer));
    }
    last_[c] = std::move(arrivals);
  }

  /// What came last is copied out of the library's buffer.
  void pass(std::size_t c, std::int32_t p) {
    const std::int32_t rank = orders_[c][index_of(p)];
    const std::int64_t size = piece(c, rank).size();
    Transfer transfer;
    transfer.from = transfer.to = rank;
    transfer.handled = size;
    transfer.kind = TransferKind::Pass;
    if (last_[c][index_of(p)] != none) transfer.after.push_back(last_[c][index_of(p)]);
    schedule_.add(std::move(transfer));
  }

  std::vector<std::vector<std::int32_t>> orders_;
  std::vector<std::vector<std::int32_t>> last_;  // by ring and position
  Schedule schedule_;
};

}  // namespace

Schedule ring(CollectiveOp op, const RankNodes& nodes, std::int64_t elements) {
  RingBuilder builder(nodes, elements);
  if (op != CollectiveOp::AllGather) builder.circulate(TransferKind::Add, 1);
  if (op != CollectiveOp::ReduceScatter) builder.circulate(TransferKind::Copy, 0);
  return builder.finish();
}

}  // namespace tandem::link
