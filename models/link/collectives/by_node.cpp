// Expert exchanges in bulk over several nodes: between nodes by adapter, within them by NVLink.
#include <algorithm>

#include "models/link/collectives/schedule.hpp"
#include "sim/core/integers.hpp"

namespace tandem::link {
namespace {

/// Parts under way on an adapter at least, so that what comes in is sent on meanwhile.
constexpr std::int64_t least_parts = 8;

class BulkExchange {
 public:
  BulkExchange(const RankNodes& nodes, const BulkRows& rows) : nodes_(nodes), rows_(rows) {
    schedule_.algorithm = "by_node";
    for (const auto& node : nodes) schedule_.ranks += static_cast<std::int32_t>(node.size());
    const auto others = static_cast<std::int64_t>(nodes.size()) - 1;
    parts_ = std::clamp<std::int64_t>(ceil_div(least_parts, others), 1,
                                      std::max<std::int64_t>(1, rows.to_rank));
    arrived_.resize(index_of(schedule_.ranks));
  }

  Schedule dispatch() {
    within_nodes();
    for_ways([&](std::size_t node, std::size_t place, std::size_t other, std::int64_t part) {
      const std::int32_t between = entrance(other, place);
      const std::int32_t crossed =
          send(nodes_[node][place], between, part_size(rows_.to_node, part), {});
      for (const std::int32_t to : nodes_[other]) {
        forward(between, to, part_size(rows_.to_rank, part), {crossed});
      }
    });
    return finish();
  }

  Schedule combine() {
    within_nodes();
    for_ways([&](std::size_t node, std::size_t place, std::size_t other, std::int64_t part) {
      const std::int32_t between = entrance(other, place);
      std::vector<std::int32_t> gathered;
      for (const std::int32_t from : nodes_[other]) {
        const std::int64_t size = part_size(rows_.to_rank, part);
        if (from != between) gathered.push_back(send(from, between, size, {}));
      }
      const std::int32_t to = nodes_[node][place];
      const std::int64_t size = part_size(rows_.to_node, part);
      arrived_[index_of(to)].push_back(send(between, to, size, std::move(gathered)));
    });
    return finish();
  }

 private:
  /// Calls for every rank, other node and part; ranks spread over the nodes at any time.
  template <class Visit>
  void for_ways(const Visit& visit) {
    for (std::int64_t part = 0; part < parts_; ++part) {
      for (std::size_t distance = 1; distance < nodes_.size(); ++distance) {
        for (std::size_t node = 0; node < nodes_.size(); ++node) {
          for (std::size_t place = 0; place < nodes_[node].size(); ++place) {
            visit(node, place, (node + distance) % nodes_.size(), part);
          }
        }
      }
    }
  }

  void within_nodes() {
    for (const auto& node : nodes_) {
      for (const std::int32_t from : node) {
        for (const std::int32_t to : node) forward(from, to, rows_.to_rank, {});
      }
    }
  }

  [[nodiscard]] std::int32_t entrance(std::size_t node, std::size_t place) const {
    return nodes_[node][place % nodes_[node].size()];
  }
  [[nodiscard]] std::int64_t part_size(std::int64_t rows, std::int64_t part) const {
    return part_of({0, rows}, part, parts_).size();
  }

  void forward(std::int32_t from, std::int32_t to, std::int64_t rows,
               std::vector<std::int32_t> after) {
    arrived_[index_of(to)].push_back(send(from, to, rows, std::move(after)));
  }

  std::int32_t send(std::int32_t from, std::int32_t to, std::int64_t rows,
                    std::vector<std::int32_t> after) {
    Transfer transfer;
    transfer.from = from;
    transfer.to = to;
    transfer.elements = transfer.handled = rows;
    transfer.kind = TransferKind::Copy;
    transfer.buffer = TransferSource::Input;
    transfer.after = std::move(after);
    return schedule_.add(std::move(transfer));
  }

  /// Receivers pass over all rows that they have got.
  Schedule finish() {
    for (std::int32_t rank = 0; rank < schedule_.ranks; ++rank) {
      std::vector<std::int32_t>& arrived = arrived_[index_of(rank)];
      Transfer pass;
      pass.from = pass.to = rank;
      pass.kind = TransferKind::Pass;
      for (const std::int32_t i : arrived)
        pass.handled += schedule_.transfers[index_of(i)].elements;
      pass.after = std::move(arrived);
      schedule_.elements = std::max(schedule_.elements, pass.handled);
      schedule_.add(std::move(pass));
    }
    return std::move(schedule_);
  }

  const RankNodes& nodes_;
  BulkRows rows_;
  Schedule schedule_;
  std::int64_t parts_ = 1;
  std::vector<std::vector<std::int32_t>> arrived_;  ///< transfers that end at a rank
};

}  // namespace

Schedule dispatch_by_node(const RankNodes& nodes, const BulkRows& rows) {
  return BulkExchange(nodes, rows).dispatch();
}

Schedule combine_by_node(const RankNodes& nodes, const BulkRows& rows) {
  return BulkExchange(nodes, rows).combine();
}

}  // namespace tandem::link
