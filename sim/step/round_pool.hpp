// A pool that verifies and drafts, with real numbers: the model's stage, and beside it on the same
// chips what drafts.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/step/functional_pool.hpp"

namespace tandem {

/// The weights that drafts are made with: of one draft model, or of each module.
[[nodiscard]] std::vector<Weights> drafting_weights(const Speculation& speculation,
                                                    const Weights& model,
                                                    const Weights& draft_model);

class RoundPool {
 public:
  /// `placement` is that of the verifying side; `first_chip` counts chips that another pool of the
  /// same group has. The network must outlive the pool.
  RoundPool(const Scenario& scenario, const PoolPlacement& placement, const Catalogue& catalogue,
            const NetworkFactory& make_network, const Weights& weights,
            const std::vector<Weights>& drafting, const GenerateOptions& options,
            std::int64_t first_chip, NetworkModel& network);

  [[nodiscard]] FunctionalPool& model() { return *model_; }
  [[nodiscard]] std::vector<FunctionalPool*> drafting();
  /// The pool's model and what drafts, in this order.
  [[nodiscard]] std::vector<FunctionalPool*> all();
  /// Adds cycles by chip and messages.
  void add_to(GenerateResult& result) const;

 private:
  /// Throws ConfigError where the model and what drafts do not fit on one chip together.
  void require_room_for_all(const PoolPlacement& placement, std::int64_t positions) const;

  std::unique_ptr<CollectiveModel> collectives_;
  std::unique_ptr<ChipModel> chip_;
  std::unique_ptr<FunctionalPool> model_;
  std::vector<std::unique_ptr<FunctionalPool>> drafting_;
};

}  // namespace tandem
