// One pass of the ranks of a gang with real numbers, from exchange to exchange.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "sim/lower/chip_model.hpp"
#include "sim/lower/collective.hpp"
#include "sim/lower/exchange.hpp"

namespace tandem {

struct ExchangeRecord;

/// A rank that has begun a pass, and where it will meet others.
struct StartedRank {
  std::unique_ptr<RankPass> pass;
  std::vector<Exchange> exchanges;
};

/// Lets the ranks of one pass meet until all are through, or go where layers' other halves run.
///
/// Contract: advance() until it returns nothing, and come_back() after every visit in between; then
/// finish(). What is given must outlive the pass.
class GangPass {
 public:
  GangPass(const Sharding& sharding, const std::vector<ChipAddress>& chips,
           CollectiveModel& collectives, std::vector<StartedRank> ranks);
  /// What every rank takes to the chips of the layer's other half; nothing at the end. Throws
  /// std::logic_error where ranks wait for each other.
  std::optional<std::vector<Tensor>> advance();
  /// Hands every rank the rows that it gets back.
  void come_back(std::vector<Tensor> rows);
  /// Results of all ranks, in their order.
  [[nodiscard]] std::vector<StageData> finish();
  /// Exchanges among ranks so far, in the order in which ranks met.
  [[nodiscard]] const std::vector<ExchangeRecord>& exchanges() const { return records_; }

 private:
  struct Rank {
    StartedRank started;
    std::size_t next = 0;
    std::optional<std::vector<Tensor>> brought;  ///< to the exchange that it waits at
    [[nodiscard]] const Exchange& exchange() const { return started.exchanges[next]; }
    void advance() { brought = started.pass->advance(); }
    void receive(std::vector<Tensor> results);
  };

  [[nodiscard]] bool is_elsewhere(const Rank& rank) const;
  [[nodiscard]] bool are_there(const std::vector<std::int64_t>& peers) const;
  bool let_one_meet(std::int64_t rank);
  void meet(const std::vector<std::int64_t>& peers);

  const Sharding& sharding_;
  const std::vector<ChipAddress>& chips_;
  CollectiveModel& collectives_;
  std::vector<Rank> ranks_;
  std::vector<ExchangeRecord> records_;
};

}  // namespace tandem
