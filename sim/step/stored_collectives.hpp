// Collectives whose costs are kept in the store of stages.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sim/lower/collective.hpp"
#include "sim/step/stage_store.hpp"

namespace tandem {

/// Everything of a system and its software that the cost of a collective may depend on.
[[nodiscard]] std::uint64_t collectives_key(const System& system, const Software& software);

/// Answers of another model, each asked for once per store.
class StoredCollectives final : public CollectiveModel {
 public:
  /// `key`: of what `model` stands for, as collectives_key() has it.
  StoredCollectives(std::unique_ptr<CollectiveModel> model, std::uint64_t key, StageStore& store)
      : model_(std::move(model)), key_(key), store_(store) {}
  [[nodiscard]] CollectiveCost cost(const std::vector<ChipAddress>& ranks,
                                    const Collective& collective) override;
  [[nodiscard]] Picoseconds floor(const std::vector<ChipAddress>& ranks,
                                  const Collective& collective) override {
    return model_->floor(ranks, collective);
  }
  [[nodiscard]] std::vector<Tensor> exchange(const std::vector<ChipAddress>& ranks,
                                             const Collective& collective,
                                             const std::vector<Tensor>& inputs) override {
    return model_->exchange(ranks, collective, inputs);
  }

 private:
  std::unique_ptr<CollectiveModel> model_;
  std::uint64_t key_;
  StageStore& store_;
};

}  // namespace tandem
