// The chips behind one model of a service: which pools there are, and what they are to hold.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "sim/lower/chip_model.hpp"
#include "sim/lower/network_model.hpp"
#include "sim/step/pool_model.hpp"
#include "sim/step/stage_store.hpp"

namespace tandem {

/// Chips of each pool of a system that others have taken.
using ChipsTaken = std::map<std::string, std::int64_t>;

/// The pools of a placement, ready to serve any load of the scenario's kind of request.
///
/// Contract: scenario and store outlive it.
class DeploymentModel {
 public:
  /// Takes its chips behind those of `taken`, and adds them. Throws ConfigError when the placement
  /// does not fit.
  DeploymentModel(const Scenario& scenario, const Catalogue& catalogue,
                  const NetworkFactory& make_network, StageStore& store, ChipsTaken& taken);

  [[nodiscard]] const Scenario& scenario() const { return scenario_; }
  /// Time of one request of mean length by itself, on the analytical clock.
  [[nodiscard]] Picoseconds time_alone();
  [[nodiscard]] PoolModel& prefill_pool() const { return *prefill_; }
  /// The same as prefill_pool() where one pool does both.
  [[nodiscard]] PoolModel& decode_pool() const { return decode_ ? *decode_ : *prefill_; }
  /// Drafts on a pool of its own; null where nothing does.
  [[nodiscard]] PoolModel* draft_pool() const { return draft_.get(); }
  /// Prompts and tokens have pools of their own.
  [[nodiscard]] bool is_split() const { return decode_ != nullptr; }
  /// What drafts on the chips of a pool; null where nothing does.
  [[nodiscard]] PoolModel* drafting_of(const PoolModel& pool) const {
    return &pool == prefill_.get() ? prefill_drafting_.get() : decode_drafting_.get();
  }
  /// The pool that a result calls by this name, the deployment's left out.
  [[nodiscard]] const PoolModel& pool_named(const std::string& name) const;

 private:
  [[nodiscard]] Picoseconds time_of_rounds(const Batch& token);

  const Scenario& scenario_;
  std::unique_ptr<PoolModel> prefill_;
  std::unique_ptr<PoolModel> decode_;
  std::unique_ptr<PoolModel> draft_;
  std::unique_ptr<PoolModel> prefill_drafting_;
  std::unique_ptr<PoolModel> decode_drafting_;
};

}  // namespace tandem
