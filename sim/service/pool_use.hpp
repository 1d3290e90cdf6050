// What the pools of a run did, collected from their replicas and estimators.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/service/occupancy.hpp"
#include "sim/service/replica.hpp"
#include "sim/step/estimator.hpp"
#include "sim/step/pool_model.hpp"

namespace tandem {

/// What one pool did.
struct PoolUse {
  /// "prefill" and "decode", "verify" and "draft", or the pool's own name where it does all.
  std::string name;
  std::string pool;
  std::string chip;
  std::string model;
  std::int64_t chips = 0;   ///< placed, all replicas
  std::int64_t spares = 0;  ///< further chips of the pool that stand by idle
  std::int64_t chips_per_replica = 0;
  std::int64_t replicas = 0;
  double kept_share = 1;       ///< of the replicas, those that are on, mean over the run
  double busy = 0;             ///< time that chips computed over the run's time, mean over chips
  double bottleneck_busy = 0;  ///< the same for the busiest station
  double kv_peak = 0;          ///< largest share of KV room in use, worst replica
  std::vector<OccupancyChange> occupancy;  ///< over the run, all replicas
  std::int64_t kv_capacity = 0;            ///< blocks of KV, or slots, of all replicas
  bool has_slots = false;                  ///< KV is in slots
  std::int64_t kv_slots = 0;  ///< requests of full length that fit on a replica at once
  std::string formats;        ///< of weights and rows, as the chip runs them (formats_text())
  bool has_formats = false;   ///< whether they are more than element types
  bool keeps_rows = false;    ///< rows were to be quantised and the chip has no pipe for the pair
  Bytes weights{0};           ///< of the fullest chip, scales included
  Bytes kv_of_request{0};     ///< of a request of full length on the fullest chip
  std::string bottleneck;     ///< what bounds the slowest stations most of the time
  PoolTotals totals;
  /// Per chip, from the floors of a large and of a thin matrix product; 0 where the chip model
  /// does not answer single kernels.
  double peak_flops_per_s = 0;
  double peak_bytes_per_s = 0;
  double static_power_w = 0;  ///< per chip
  std::map<std::string, double> energy_per_count_j;
  Picoseconds floor_busy;  ///< busiest replica: sum of floors of pass periods
  /// Chips that cost and draw static power.
  [[nodiscard]] double kept_chips() const {
    return kept_share * static_cast<double>(chips) + static_cast<double>(spares);
  }
};

/// Of a pool with these replicas, over a run of `seconds`; without the peaks.
[[nodiscard]] PoolUse pool_use(StepEstimator& estimator,
                               const std::vector<std::unique_ptr<Replica>>& replicas,
                               double seconds);
/// Adds what the passes that draft on the same chips did; they are parts of the pool's steps.
void add_drafting_totals(const PoolTotals& drafting, PoolTotals& totals);
/// Adds the passes of another tier on the same chips.
void add_tier_totals(const PoolTotals& tier, PoolTotals& totals);
/// Peaks of the pool's chips, from the floors of a large and a thin matrix product.
void add_peaks(const PoolModel& pool, PoolUse& use);
/// The chips that run the feed-forward halves of a decode pool.
[[nodiscard]] PoolUse feed_forward_use(const FeedForwardPool& pool, const PoolUse& decode,
                                       double seconds);

}  // namespace tandem
