// The way of a gang's ranks through a pass: they compute, and wait for each other where they
// exchange. Micro-batches share the ranks: one computes while another exchanges.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sim/lower/collective.hpp"
#include "sim/lower/exchange.hpp"
#include "sim/step/pass_trace.hpp"
#include "sim/step/stage_store.hpp"

namespace tandem {

/// What one kind of rank does with one micro-batch: its times between exchanges, and these.
struct RankWork {
  StageResult result;
  std::vector<Exchange> exchanges;
};

/// How one rank went through with one micro-batch.
struct RankPassage {
  std::size_t micro_batch = 0, rank = 0;
  /// From the arrival at exchanges to their end, by role: waiting for others included, and what
  /// other micro-batches compute meanwhile.
  std::map<std::string, Picoseconds> exchanges;
};

struct Passage {
  Picoseconds time;  ///< until the last rank is through with the last micro-batch
  /// As GangCost::legs; for one micro-batch.
  std::vector<Picoseconds> legs;
  std::map<std::string, std::int64_t> link_bytes;
  RankPassage last;  ///< which ends at `time`
};

/// Cost of an exchange among ranks of the gang. Equal questions get equal answers; they are asked
/// once.
using ExchangePrice =
    std::function<CollectiveCost(const std::vector<std::int64_t>& ranks, const Exchange&)>;

/// `work[m][r]`: what rank r does with micro-batch m. All ranks begin with all micro-batches at
/// time 0; a rank computes one at a time, the one that became ready first (of several the lower
/// number). An exchange begins when the last of its ranks has arrived and the exchange before it
/// among the same ranks is over. Computing and exchanging do not slow each other. Throws
/// std::logic_error where ranks that should meet wait in different exchanges. `trace`, where
/// wanted, gets what every rank does with every micro-batch.
[[nodiscard]] Passage pass_through(const std::vector<std::vector<const RankWork*>>& work,
                                   const Sharding& sharding, const ExchangePrice& price,
                                   PassTrace* trace = nullptr);

}  // namespace tandem
