// Token mixers: attention with its rotary embedding, latent attention, Gated DeltaNet.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/config/build_layers.hpp"

namespace tandem::config {
namespace {

ops::Llama3Scaling build_llama3(const MapReader& reader) {
  ops::Llama3Scaling scaling;
  scaling.factor = reader.number("factor");
  scaling.low_frequency_factor = reader.number("low_frequency_factor");
  scaling.high_frequency_factor = reader.number("high_frequency_factor");
  scaling.original_context = reader.count("original_context");
  if (reader.has_all({"low_frequency_factor", "high_frequency_factor"}) &&
      scaling.high_frequency_factor <= scaling.low_frequency_factor) {
    reader.report("high_frequency_factor",
                  "'high_frequency_factor' must be greater than 'low_frequency_factor'");
  }
  return scaling;
}

ops::YarnScaling build_yarn(const MapReader& reader) {
  ops::YarnScaling scaling;
  scaling.factor = reader.number("factor");
  scaling.original_context = reader.count("original_context");
  scaling.beta_fast = reader.number("beta_fast");
  scaling.beta_slow = reader.number("beta_slow");
  scaling.truncate = reader.flag("truncate");
  scaling.mscale = reader.number("mscale");
  scaling.mscale_all = reader.number("mscale_all");
  if (scaling.beta_fast < scaling.beta_slow) {
    reader.report("beta_fast", "'beta_fast' must be at least 'beta_slow'");
  }
  return scaling;
}

ops::RopeScaling build_scaling(const Tree& tree, ReadContext& context) {
  const Tree* kind = tree.is_map() ? tree.find("kind") : nullptr;
  const std::vector<std::string> kinds = {"llama3", "yarn", "linear"};
  if (kind == nullptr || std::find(kinds.begin(), kinds.end(), kind->text) == kinds.end()) {
    context.problems.report(kind == nullptr ? tree.place : kind->place,
                            fmt::format("rope scaling needs 'kind': {}{}", fmt::join(kinds, ", "),
                                        kind == nullptr ? "" : suggestion(kind->text, kinds)));
    return {};
  }
  const MapReader reader(tree, rope_scaling_section(kind->text), kind->text + " scaling", context);
  if (kind->text == "llama3") return build_llama3(reader);
  if (kind->text == "yarn") return build_yarn(reader);
  return ops::LinearScaling{reader.number("factor")};
}

/// The rotation of heads of `head_dim`, of which `whole` dimensions rotate where nothing is said.
ops::Rope build_rope(const Tree& tree, std::int64_t head_dim, std::int64_t whole,
                     ReadContext& context) {
  const MapReader reader(tree, rope_section(), "rope", context);
  ops::Rope rope;
  if (!tree.is_map()) return rope;
  const std::optional<double> theta = reader.optional_number("theta");
  rope.theta = theta.value_or(rope.theta);
  if (theta && *theta <= 1) {
    reader.report("theta", "'theta' is 1; must be more than 1, or all wavelengths are the same");
  }
  const std::optional<double> rotated = reader.optional_number("rotated");
  rope.rotated = rotated ? std::llround(*rotated) : whole;
  rope.layout = reader.choice<RopeLayout>(
      "layout", {{"half_split", RopeLayout::HalfSplit}, {"interleaved", RopeLayout::Interleaved}});
  rope.partial = reader.choice<ops::PartialRotary>(
      "partial", {{"first_dims", ops::PartialRotary::FirstDims},
                  {"proportional", ops::PartialRotary::Proportional}});
  if (reader.has("scaling")) rope.scaling = build_scaling(*reader.child("scaling"), context);
  if (rotated && (rope.rotated % 2 != 0 || rope.rotated > head_dim)) {
    reader.report("rotated", fmt::format("'rotated' is {}; must be even and at most the {} of a "
                                         "head",
                                         rope.rotated, head_dim));
  }
  if (rope.partial == ops::PartialRotary::Proportional &&
      std::holds_alternative<ops::YarnScaling>(rope.scaling)) {
    reader.report("scaling", "yarn scaling does not go with 'partial: proportional'");
  }
  return rope;
}

GroupedAttention read_attention(const MapReader& reader) {
  GroupedAttention attention;
  attention.shape.heads = reader.count("heads");
  attention.shape.kv_heads = reader.count("kv_heads");
  attention.shape.head_dim = reader.count("head_dim");
  const auto head_dim = static_cast<double>(attention.shape.head_dim);
  const double softmax_dim = reader.optional_number("softmax_dim").value_or(head_dim);
  if (softmax_dim != head_dim) attention.shape.scale = 1 / std::sqrt(softmax_dim);
  attention.shape.softcap = reader.number("softcap");
  attention.qk_norm = reader.choice<QkNorm>(
      "qk_norm",
      {{"none", QkNorm::None}, {"per_head", QkNorm::PerHead}, {"all_heads", QkNorm::AllHeads}});
  attention.output_gate = reader.flag("output_gate");
  attention.sinks = reader.flag("sinks");
  attention.qkv_bias = reader.flag("qkv_bias");
  attention.output_bias = reader.flag("output_bias");
  attention.keys_are_values = reader.flag("keys_are_values");
  attention.value_norm = reader.flag("value_norm");
  if (reader.has_all({"heads", "kv_heads"}) &&
      attention.shape.heads % attention.shape.kv_heads != 0) {
    reader.report("kv_heads", fmt::format("'heads' ({}) is not a multiple of 'kv_heads' ({})",
                                          attention.shape.heads, attention.shape.kv_heads));
  }
  return attention;
}

void add_rope(GroupedAttention& attention, const Tree* rope, const MapReader& reader,
              ReadContext& context) {
  if (rope == nullptr || rope->is_null()) return;
  const std::int64_t head_dim = attention.shape.head_dim;
  attention.rope = build_rope(*rope, head_dim, head_dim, context);
  const bool is_whole = attention.rope->rotated == head_dim ||
                        attention.rope->partial == ops::PartialRotary::Proportional;
  if (reader.has("head_dim") && is_whole && head_dim % 2 != 0) {
    reader.report("head_dim", fmt::format("'head_dim' is {}; rope needs an even number", head_dim));
  }
}

/// The indexer beside heads of which `rope_dim` elements rotate; 0: not known.
ops::IndexerShape build_indexer(const Tree& tree, std::int64_t rope_dim, ReadContext& context) {
  const MapReader reader(tree, indexer_section(), "indexer", context);
  if (!tree.is_map()) return {};
  const ops::IndexerShape shape{reader.count("heads"), reader.count("head_dim"),
                                reader.count("top_k")};
  if (reader.has("head_dim") && shape.head_dim < rope_dim) {
    reader.report("head_dim",
                  fmt::format("'head_dim' of the indexer is {}; must be at least 'rope_dim' ({}), "
                              "as that many elements of its keys rotate",
                              shape.head_dim, rope_dim));
  }
  return shape;
}

}  // namespace

GroupedAttention build_attention(const Tree& tree, const Tree* rope, ReadContext& context) {
  const MapReader reader(tree, attention_section(), "attention", context);
  if (!tree.is_map()) return {};
  GroupedAttention attention = read_attention(reader);
  add_rope(attention, rope, reader, context);
  return attention;
}

GroupedAttention build_sliding_attention(const Tree& tree, const Tree* attention, const Tree* rope,
                                         ReadContext& context) {
  const Section section = sliding_attention_section();
  const std::vector<std::string> known = names_of(section);
  Tree merged = tree;
  if (tree.is_map() && attention != nullptr) {
    for (const TreeEntry& entry : attention->entries) {
      const bool is_known = std::find(known.begin(), known.end(), entry.key) != known.end();
      if (is_known && tree.find(entry.key) == nullptr) merged.entries.push_back(entry);
    }
  }
  const MapReader reader(merged, section, "sliding_attention", context);
  if (!tree.is_map()) return {};
  for (const char* key : {"heads", "kv_heads", "head_dim"}) {
    if (merged.find(key) != nullptr || attention != nullptr) continue;  // reported in `attention`
    context.problems.report(tree.place, fmt::format("sliding_attention needs the key '{}', as "
                                                    "there is no 'attention' to take it from",
                                                    key));
  }
  GroupedAttention result = read_attention(reader);
  result.shape.window = reader.count("window");
  const Tree* own = merged.find("rope");
  add_rope(result, own != nullptr ? own : rope, reader, context);
  return result;
}

LatentAttention build_latent_attention(const Tree& tree, const Tree& rope, ReadContext& context) {
  const MapReader reader(tree, latent_attention_section(), "latent_attention", context);
  LatentAttention latent;
  if (!tree.is_map()) return latent;
  latent.shape.heads = reader.count("heads");
  latent.shape.query_rank = reader.count("query_rank");
  latent.shape.kv_rank = reader.count("kv_rank");
  latent.shape.nope_dim = reader.count("nope_dim");
  latent.shape.rope_dim = reader.count("rope_dim");
  latent.shape.value_dim = reader.count("value_dim");
  latent.rope = build_rope(rope, latent.shape.rope_dim, latent.shape.rope_dim, context);
  if (reader.has("rope_dim") &&
      (latent.shape.rope_dim % 2 != 0 || latent.rope.rotated != latent.shape.rope_dim)) {
    reader.report("rope_dim", fmt::format("'rope_dim' is {}; it must be even and rotates whole, so "
                                          "'rotated' of 'rope' is left out",
                                          latent.shape.rope_dim));
  }
  latent.shape.scale_factor = ops::yarn_softmax_factor(latent.rope);
  if (reader.has("indexer")) {
    const std::int64_t rope_dim = reader.has("rope_dim") ? latent.shape.rope_dim : 0;
    latent.indexer = build_indexer(*reader.child("indexer"), rope_dim, context);
  }
  return latent;
}

GatedDelta build_gated_delta(const Tree& tree, ReadContext& context) {
  const MapReader reader(tree, gated_delta_section(), "gated_delta", context);
  GatedDelta delta;
  if (!tree.is_map()) return delta;
  delta.shape.key_heads = reader.count("key_heads");
  delta.shape.value_heads = reader.count("value_heads");
  delta.shape.key_dim = reader.count("key_dim");
  delta.shape.value_dim = reader.count("value_dim");
  delta.shape.conv_taps = reader.count("conv_taps");
  delta.shape.chunk = reader.count("chunk");
  if (reader.has_all({"key_heads", "value_heads"}) &&
      delta.shape.value_heads % delta.shape.key_heads != 0) {
    reader.report("value_heads",
                  fmt::format("'value_heads' ({}) is not a multiple of 'key_heads' ({})",
                              delta.shape.value_heads, delta.shape.key_heads));
  }
  return delta;
}

}  // namespace tandem::config
