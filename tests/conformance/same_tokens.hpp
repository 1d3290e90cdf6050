// Trained models under techniques on placements, all in one format: the same tokens, or a refusal.
// Tests check every cell; docs/conformance.md is printed from the same cells.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

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

/// By what a text shows that a technique was at work.
enum class Trace : std::uint8_t {
  None,
  OtherLogits,     ///< they differ from those of no technique from the first one on
  EvictedTokens,   ///< they differ from the pass on that first misses a token, and not before
  RejectedDrafts,  ///< of the drafts some were accepted and some rejected
  SharedPrompt     ///< a second text begins behind the one pass over the prompt
};

/// What is done to a model or its cache. Weights and caches are float16 but for what it says.
struct Technique {
  std::string name;
  std::string weights = "float16";
  std::string kv_cache = "float16";
  std::vector<std::string> sets = {};
  bool uses_draft_model = false;
  bool keeps_text = false;  ///< the text is that of no technique at all
  Trace trace = Trace::None;
  std::int64_t texts = 1;  ///< sampled ones where there are several
  double kept_share = 0;   ///< of a prompt's tokens, of EvictedTokens; 0: the first `kept_tokens`
  std::int64_t kept_tokens = 0;
};
[[nodiscard]] std::vector<Technique> techniques();

/// The overrides of a cell.
[[nodiscard]] std::vector<std::string> overrides_of(const TrainedModel& model,
                                                    const PlacementRow& placement,
                                                    const Technique& technique);

enum class CellKind : std::uint8_t {
  Same,     ///< the tokens of one GPU
  OwnText,  ///< the placement has to write a text of its own
  Tie,      ///< texts part where two tokens are as good as each other in float16
  Refused
};

struct Cell {
  CellKind kind = CellKind::Same;
  std::string words = {};  ///< of the refusal, or why the text is another one
  /// Passes of LPUs take long: the cell is tested by scripts/full.sh alone.
  bool takes_long = false;
};
[[nodiscard]] Cell same_tokens(const TrainedModel& model, const PlacementRow& placement,
                               const Technique& technique);

/// Its part of docs/conformance.md.
[[nodiscard]] std::string same_tokens_page();

}  // namespace tandem::conformance
