#include "models/lpu/compiler/rank_share.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

// A run of channels; those from `limit` on do not exist and are zeros.
struct Channels {
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::int64_t limit = 0;
};

// One rank's channels of a layer.
struct Share {
  Channels query, key, inner;
};

void require_dividing_heads(const ops::AttentionShape& shape, int ranks) {
  const bool divides = shape.kv_heads % ranks == 0 || ranks % shape.kv_heads == 0;
  if (shape.heads % ranks == 0 && divides) return;
  throw ModelError(fmt::format("lpu.compiler: {} heads on {} kv heads do not divide over {} LPUs",
                               shape.heads, shape.kv_heads, ranks));
}

// What one rank has of a layer.
void cut(LayerKind& kind, int ranks, const std::string& network) {
  auto* attention = std::get_if<GroupedAttention>(&kind.mixer);
  if (attention == nullptr) {
    throw ModelError("lpu.compiler: " + network +
                     " has layers that are not shared among LPUs: only grouped attention is");
  }
  require_dividing_heads(attention->shape, ranks);
  attention->shape.heads /= ranks;
  attention->shape.kv_heads = std::max<std::int64_t>(1, attention->shape.kv_heads / ranks);
  kind.ffn.intermediate = ceil_div(kind.ffn.intermediate, ranks);
  if (!kind.ffn.experts) return;
  Experts& experts = *kind.ffn.experts;
  experts.intermediate = ceil_div(experts.intermediate, ranks);
  experts.shared_intermediate = ceil_div(experts.shared_intermediate, ranks);
}

Share share_of(const LayerKind& whole, int ranks, int rank) {
  const ops::AttentionShape& shape = std::get<GroupedAttention>(whole.mixer).shape;
  const std::int64_t q_width = shape.heads / ranks * shape.head_dim;
  const std::int64_t kv_heads = std::max<std::int64_t>(1, shape.kv_heads / ranks);
  const std::int64_t inner = ceil_div(whole.ffn.intermediate, ranks);
  Share share;
  share.query = {rank * q_width, q_width, shape.heads * shape.head_dim};
  share.key = {rank * shape.kv_heads / ranks * shape.head_dim, kv_heads * shape.head_dim,
               shape.kv_heads * shape.head_dim};
  share.inner = {rank * inner, inner, whole.ffn.intermediate};
  return share;
}

Tensor cut_rows(const Tensor& tensor, const Channels& rows) {
  const std::int64_t width = tensor.dim(1);
  Tensor result(ElementType::Float32, {rows.count, width});
  const std::int64_t live = std::clamp<std::int64_t>(rows.limit - rows.first, 0, rows.count);
  for (std::int64_t i = 0; i < live * width; ++i) {
    result.store(i, tensor.load(rows.first * width + i));
  }
  return result;
}

Tensor cut_columns(const Tensor& tensor, const Channels& columns) {
  const std::int64_t height = tensor.dim(0);
  const std::int64_t width = tensor.dim(1);
  Tensor result(ElementType::Float32, {height, columns.count});
  const std::int64_t live =
      std::clamp<std::int64_t>(columns.limit - columns.first, 0, columns.count);
  for (std::int64_t row = 0; row < height; ++row) {
    for (std::int64_t c = 0; c < live; ++c) {
      result.store(row * columns.count + c, tensor.load(row * width + columns.first + c));
    }
  }
  return result;
}

}  // namespace

Stage rank_stage(const Stage& stage, int ranks, int rank) {
  if (ranks == 1) return stage;
  Stage result = stage;
  for (LayerKind& kind : result.network.kinds) cut(kind, ranks, stage.network.name);
  if (!stage.has_head()) return result;
  const std::int64_t rows = ceil_div(stage.head_end - stage.head_begin, ranks);
  result.head_begin = std::min(stage.head_begin + rank * rows, stage.head_end - rows);
  result.head_end = result.head_begin + rows;
  return result;
}

Weights rank_weights(const Weights& weights, int ranks, int rank) {
  if (ranks == 1) return weights;
  for (const LayerKind& kind : weights.network.kinds) {
    const auto* attention = std::get_if<GroupedAttention>(&kind.mixer);
    const bool has_more = attention != nullptr && (attention->qkv_bias || attention->sinks);
    if (kind.ffn.experts || has_more) {
      throw ModelError("lpu.compiler: experts, biases and sinks are not cut among LPUs yet");
    }
  }
  Weights result = weights;
  for (LayerKind& kind : result.network.kinds) cut(kind, ranks, weights.network.name);
  for (std::int64_t l = 0; l < weights.network.layers(); ++l) {
    const Share share = share_of(weights.network.layer(l), ranks, rank);
    const std::string layer = "layers." + std::to_string(l) + ".";
    const auto rows = [&](const char* name, const Channels& channels) {
      result.tensors[layer + name] = cut_rows(weights.layer(l, name), channels);
    };
    const auto columns = [&](const char* name, const Channels& channels) {
      result.tensors[layer + name] = cut_columns(weights.layer(l, name), channels);
    };
    rows("attention.query", share.query);
    rows("attention.key", share.key);
    rows("attention.value", share.key);
    columns("attention.output", share.query);
    rows("ffn.gate", share.inner);
    rows("ffn.up", share.inner);
    columns("ffn.down", share.inner);
  }
  return result;
}

}  // namespace tandem::lpu
