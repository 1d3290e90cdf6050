#include "sim/lower/chip_model.hpp"

#include <algorithm>
#include <limits>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem {

Activity& Activity::operator+=(const Activity& other) {
  for (const auto& [name, count] : other.counts) {
    counts[name] += count;
  }
  return *this;
}

std::int64_t Fit::kv_tokens() const {
  if (free_for_kv().count() <= 0) {
    return 0;
  }
  if (kv_per_token.count() <= 0) {  // a stage without layers keeps no KV
    return std::numeric_limits<std::int64_t>::max();
  }
  return free_for_kv().count() / kv_per_token.count();
}

Bytes Fit::bytes_of_sequence(std::int64_t tokens) const {
  return kv_per_token * (ceil_div(tokens, kv_block) * kv_block) + state_per_sequence;
}

std::int64_t Fit::sequences(std::int64_t tokens) const {
  const Bytes bytes = bytes_of_sequence(tokens);
  if (bytes.count() <= 0) return kv_tokens();
  return std::max<std::int64_t>(0, free_for_kv().count() / bytes.count());
}

std::unique_ptr<RankPass> LoadedStage::begin(const Batch&, const StageData&) {
  throw ModelError("this chip model does not execute single chips of a gang");
}

void LoadedStage::keep(std::int64_t, std::int64_t) {
  throw ModelError("this chip model cannot drop the last tokens of a request");
}

void LoadedStage::keep_path(std::int64_t request, std::int64_t tokens,
                            std::span<const std::int64_t> places) {
  for (const std::int64_t place : places) {
    if (place != tokens++) throw ModelError("this chip model does not verify trees of drafts");
  }
  keep(request, tokens);
}

void LoadedStage::fork(std::int64_t from, std::int64_t to) {
  import_kv(to, export_kv(from));
}

Fit ChipModel::fit_beside(const Stage& stage, const Neighbours& neighbours, std::int64_t sequences,
                          std::int64_t max_context) const {
  Fit both = fit(stage, sequences, max_context);
  const Fit own = fit(neighbours.stage, sequences, max_context);
  both.weights += own.weights * neighbours.copies;
  both.kv_per_token += own.kv_per_token * neighbours.copies;
  both.workspace += neighbours.stage.state_bytes() * (sequences * neighbours.copies);
  return both;
}

}  // namespace tandem
