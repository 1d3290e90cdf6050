#include "models/lpu/compiler/rank_share.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"
#include "sim/describe/dense_decoder.hpp"

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

// One rank's part of a dense decoder.
struct Share {
  DenseDecoder network;  ///< of the rank
  Channels query, key, inner;
};

Share share_of(const DenseDecoder& whole, int ranks, int rank) {
  const bool divides = whole.kv_heads % ranks == 0 || ranks % whole.kv_heads == 0;
  if (whole.heads % ranks != 0 || !divides) {
    throw ModelError(fmt::format("lpu.compiler: {} heads on {} kv heads do not divide over {} LPUs",
                                 whole.heads, whole.kv_heads, ranks));
  }
  Share share{whole, {}, {}, {}};
  share.network.heads = whole.heads / ranks;
  share.network.kv_heads = std::max<std::int64_t>(1, whole.kv_heads / ranks);
  share.network.intermediate = ceil_div(whole.intermediate, ranks);
  const std::int64_t first_kv = rank * whole.kv_heads / ranks;
  share.query = {rank * share.network.q_width(), share.network.q_width(), whole.q_width()};
  share.key = {first_kv * whole.head_dim, share.network.kv_width(), whole.kv_width()};
  share.inner = {rank * share.network.intermediate, share.network.intermediate, whole.intermediate};
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
  const DenseDecoder whole = dense_decoder_of(stage.network, "lpu.compiler");
  result.network = network_of(share_of(whole, ranks, rank).network);
  if (!stage.has_head()) return result;
  const std::int64_t rows = ceil_div(stage.head_end - stage.head_begin, ranks);
  result.head_begin = std::min(stage.head_begin + rank * rows, stage.head_end - rows);
  result.head_end = result.head_begin + rows;
  return result;
}

Weights rank_weights(const Weights& weights, int ranks, int rank) {
  if (ranks == 1) return weights;
  const Share share = share_of(dense_decoder_of(weights.network, "lpu.compiler"), ranks, rank);
  Weights result = weights;
  result.network = network_of(share.network);
  for (std::int64_t l = 0; l < share.network.layers; ++l) {
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
