// Trained models under every technique on every placement, all in one format: the same tokens, or a
// refusal. Tests check every cell; docs/conformance.md is printed from the same cells.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "tests/conformance/table.hpp"

namespace tandem::conformance {

/// A trained model of this repository.
struct TrainedModel {
  std::string name;
  std::string checkpoint;        ///< below workloads/checkpoints
  std::string draft_model;       ///< of technique "draft model"
  std::string draft_checkpoint;  ///< empty: part of the model's
};
inline void PrintTo(const TrainedModel& model, std::ostream* out) {
  *out << model.name;
}
[[nodiscard]] std::vector<TrainedModel> trained_models();

/// A pool of a placement: where its precision is set, and the kind of its chips.
struct PlacedPool {
  std::string key;
  bool is_lpu = false;
  bool caches = true;  ///< keys and values lie on it
};

/// Where a model runs.
struct PlacementRow {
  std::string name;
  std::string scenario;  ///< whose model is replaced
  std::vector<PlacedPool> pools;
  std::vector<std::string> sets;  ///< further overrides, `path=value`
};
[[nodiscard]] std::vector<PlacementRow> placement_rows();

/// What is done to a model or its cache. Weights and caches are float16 but for what it says.
struct Technique {
  std::string name;
  std::string weights = "float16";
  std::string kv_cache = "float16";
  std::vector<std::string> sets = {};
  bool uses_draft_model = false;
  bool keeps_text = false;  ///< the text is that of no technique at all
};
[[nodiscard]] std::vector<Technique> techniques();

/// The overrides of a cell.
[[nodiscard]] std::vector<std::string> overrides_of(const TrainedModel& model,
                                                    const PlacementRow& placement,
                                                    const Technique& technique);

/// The same tokens as on one GPU, or the refusal.
[[nodiscard]] Promise same_tokens(const TrainedModel& model, const PlacementRow& placement,
                                  const Technique& technique);

/// Its part of docs/conformance.md.
[[nodiscard]] std::string same_tokens_page();

}  // namespace tandem::conformance
