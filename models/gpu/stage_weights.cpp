#include "models/gpu/stage_weights.hpp"

#include <fmt/format.h>

#include "models/gpu/weight_cutter.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {
namespace {

RoleWeights cut_layer(const Stage& stage, StoredWeights& all, std::int64_t layer) {
  RoleWeights out;
  WeightCutter cutter(all, fmt::format("layers.{}.", layer), stage.shard, out);
  const LayerKind& kind = stage.network.layer(layer);
  if (kind.has_mixer()) {
    cutter.norm("attention_norm", "attention_norm");
    std::visit([&](const auto& mixer) { cut_mixer(mixer, cutter); }, kind.mixer);
    if (kind.post_norms) cutter.norm("attention_post_norm", "attention_post_norm");
  }
  if (kind.ffn.is_elsewhere()) return out;
  cutter.norm("ffn_norm", "ffn_norm");
  cut_feed_forward(kind.ffn, cutter);
  if (kind.post_norms) cutter.norm("ffn_post_norm", "ffn_post_norm");
  return out;
}

/// What a module of multi-token prediction joins tokens and hidden states with; every chip of a
/// gang does so for itself.
void cut_join(const Stage& stage, StoredWeights& all, RoleWeights& out) {
  WeightCutter cutter(all, "", stage.shard, out);
  cutter.norm("mtp_embedding_norm", "embedding_norm");
  cutter.norm("mtp_hidden_norm", "hidden_norm");
  cutter.whole("mtp_combine", "combine");
}

/// The weights may be those of a network of which the stage's layers are halves.
void check_stage(const Stage& stage, const Weights& all) {
  check_weights(all);
  const std::int64_t last = stage.first_layer + stage.layers;
  if (last > all.network.layers()) {
    throw ModelError(fmt::format("gpu: the stage ends at layer {}, the weights have {}", last,
                                 all.network.layers()));
  }
  for (const TensorSpec& needed : tensors_of(stage.network)) {
    if (all.at(needed.name).shape() == needed.shape) continue;
    throw ModelError(fmt::format("gpu: tensor '{}' has another shape than '{}' needs", needed.name,
                                 stage.network.name));
  }
}

}  // namespace

const WeightMatrix* RoleWeights::find(std::string_view role) const {
  const auto found = matrices_.find(role);
  return found == matrices_.end() ? nullptr : &found->second;
}

const WeightMatrix& RoleWeights::at(std::string_view role) const {
  const WeightMatrix* found = find(role);
  if (found == nullptr) throw ModelError(fmt::format("gpu: no weights for a kernel '{}'", role));
  return *found;
}

StageWeights cut_weights(const Stage& stage, const Weights& all) {
  check_stage(stage, all);
  StageWeights out;
  StoredWeights stored(all, stage.precision);
  WeightCutter cutter(stored, "", stage.shard, out.outer);
  const std::int64_t parts = stage.shard.of.group_ranks();
  const std::int64_t part = stage.shard.group_rank();
  if (stage.has_embedding) {
    const ShareRange held = tandem::share_of(stage.network.vocabulary, parts, part);
    out.first_token = held.begin;
    cutter.plain_rows("embedding", "embedding", held);
    if (stage.network.learned_positions) cutter.whole("position_embedding", "positions");
  }
  for (std::int64_t i = 0; i < stage.layers; ++i) {
    out.layers.push_back(cut_layer(stage, stored, stage.first_layer + i));
  }
  if (stage.network.joins_hidden) cut_join(stage, stored, out.layers.front());
  if (stage.has_head()) {
    cutter.norm("final_norm", "final_norm");
    ShareRange held = tandem::share_of(stage.head_end - stage.head_begin, parts, part);
    held = {stage.head_begin + held.begin, stage.head_begin + held.end};
    cutter.rows("lm_head", stage.network.tied_embeddings ? "embedding" : "head", held);
  }
  return out;
}

}  // namespace tandem::gpu
