#include "models/lpu/compiler/rank_share.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

// A run of channels; those from `limit` on do not exist and are zeros.
struct Channels {
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::int64_t limit = 0;
};

// One rank's channels of a layer's attention.
struct Share {
  Channels query, key;
  Channels heads;  ///< of queries
};

void require_dividing_heads(const ops::AttentionShape& shape, int ranks) {
  const bool divides = shape.kv_heads % ranks == 0 || ranks % shape.kv_heads == 0;
  if (shape.heads % ranks == 0 && divides) return;
  throw ModelError(fmt::format("lpu.compiler: {} heads on {} kv heads do not divide over {} LPUs",
                               shape.heads, shape.kv_heads, ranks));
}

void cut(GroupedAttention& attention, int ranks) {
  require_dividing_heads(attention.shape, ranks);
  attention.shape.heads /= ranks;
  attention.shape.kv_heads = std::max<std::int64_t>(1, attention.shape.kv_heads / ranks);
}

void cut(GatedDelta& delta, int ranks) {
  if (delta.shape.key_heads % ranks != 0) {
    throw ModelError(fmt::format("lpu.compiler: {} key heads do not divide over {} LPUs",
                                 delta.shape.key_heads, ranks));
  }
  delta.shape.key_heads /= ranks;
  delta.shape.value_heads /= ranks;
}

void cut(LatentAttention& latent, int ranks) {
  if (latent.shape.heads % ranks != 0) {
    throw ModelError(
        fmt::format("lpu.compiler: {} heads of latent attention do not divide over {} "
                    "LPUs",
                    latent.shape.heads, ranks));
  }
  latent.shape.heads /= ranks;
}

void cut(MixerElsewhere&, int) {}

// What one rank has of a layer.
void cut(LayerKind& kind, int ranks) {
  std::visit([ranks](auto& mixer) { cut(mixer, ranks); }, kind.mixer);
  kind.ffn.intermediate = ceil_div(kind.ffn.intermediate, ranks);
  if (!kind.ffn.experts) return;
  Experts& experts = *kind.ffn.experts;
  experts.intermediate = ceil_div(experts.intermediate, ranks);
  experts.shared_intermediate = ceil_div(experts.shared_intermediate, ranks);
}

Share share_of(const ops::AttentionShape& shape, int ranks, int rank) {
  const std::int64_t q_width = shape.heads / ranks * shape.head_dim;
  const std::int64_t kv_heads = std::max<std::int64_t>(1, shape.kv_heads / ranks);
  Share share;
  share.heads = {rank * shape.heads / ranks, shape.heads / ranks, shape.heads};
  share.query = {rank * q_width, q_width, shape.heads * shape.head_dim};
  share.key = {rank * shape.kv_heads / ranks * shape.head_dim, kv_heads * shape.head_dim,
               shape.kv_heads * shape.head_dim};
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

Tensor stacked(const std::vector<Tensor>& parts) {
  std::int64_t rows = 0;
  for (const Tensor& part : parts) rows += part.dim(0);
  Tensor result(ElementType::Float32, {rows, parts.front().dim(1)});
  std::int64_t at = 0;
  for (const Tensor& part : parts) {
    for (std::int64_t i = 0; i < part.elements(); ++i) result.store(at++, part.load(i));
  }
  return result;
}

// Rows of every matrix of a tensor [experts, rows, width].
Tensor cut_wide(const Tensor& tensor, const Channels& rows) {
  const std::int64_t size = tensor.dim(1) * tensor.dim(2);
  Tensor result(ElementType::Float32, {tensor.dim(0), rows.count, tensor.dim(2)});
  const std::int64_t live = std::clamp<std::int64_t>(rows.limit - rows.first, 0, rows.count);
  for (std::int64_t e = 0; e < tensor.dim(0); ++e) {
    for (std::int64_t i = 0; i < live * tensor.dim(2); ++i) {
      result.store(e * rows.count * tensor.dim(2) + i,
                   tensor.load(e * size + rows.first * tensor.dim(2) + i));
    }
  }
  return result;
}

// Columns of every matrix of a tensor [experts, rows, width].
Tensor cut_last(const Tensor& tensor, const Channels& columns) {
  Tensor result(ElementType::Float32, {tensor.dim(0), tensor.dim(1), columns.count});
  const std::int64_t live =
      std::clamp<std::int64_t>(columns.limit - columns.first, 0, columns.count);
  for (std::int64_t row = 0; row < tensor.dim(0) * tensor.dim(1); ++row) {
    for (std::int64_t c = 0; c < live; ++c) {
      result.store(row * columns.count + c, tensor.load(row * tensor.dim(2) + columns.first + c));
    }
  }
  return result;
}

// Cuts the tensors of one layer into those of a rank.
class LayerCutter {
 public:
  LayerCutter(const Weights& whole, std::int64_t layer, Weights& result)
      : whole_(whole), layer_(layer), result_(result) {}

  // Queries and their gates lie head by head, so a rank's are as many channels of each.
  void cut_attention(const Share& share, bool has_gates) {
    const std::int64_t runs = has_gates ? 2 : 1;
    rows("attention.query",
         {{share.query.first * runs, share.query.count * runs, share.query.limit * runs}});
    rows("attention.key", {share.key});
    if (has("attention.value")) rows("attention.value", {share.key});
    columns("attention.output", share.query);
    for (const char* tail : {"_bias", "_norm"}) {
      cut_by_channel("attention.query", tail, share.query);
      cut_by_channel("attention.key", tail, share.key);
      cut_by_channel("attention.value", tail, share.key);
    }
    if (has("attention.sinks")) elements("attention.sinks", share.heads);
  }

  // Heads in order, each with its rows of keys and of values; what makes latents is whole.
  void cut_latent(const ops::LatentShape& shape, int ranks, int rank) {
    const std::int64_t heads = shape.heads / ranks;
    const auto run = [&](std::int64_t width) {
      return Channels{rank * heads * width, heads * width, shape.heads * width};
    };
    rows("attention.query_up", {run(shape.query_dim())});
    rows("attention.kv_up", {run(shape.nope_dim + shape.value_dim)});
    columns("attention.output", run(shape.value_dim));
  }

  // Key heads in order, each with its value heads; the norm serves all heads.
  void cut_delta(const ops::GatedDeltaShape& shape, int ranks, int rank) {
    const std::int64_t keys = shape.key_heads * shape.key_dim;
    const std::int64_t values = shape.value_width();
    const std::vector<Channels> qkv{
        {rank * keys / ranks, keys / ranks, keys},
        {keys + rank * keys / ranks, keys / ranks, 2 * keys},
        {2 * keys + rank * values / ranks, values / ranks, 2 * keys + values}};
    const Channels value{rank * values / ranks, values / ranks, values};
    const std::int64_t heads = shape.value_heads / ranks;
    const Channels head{rank * heads, heads, shape.value_heads};
    rows("delta.qkv", qkv);
    rows("delta.conv", qkv);
    rows("delta.z", {value});
    for (const char* name : {"delta.a", "delta.b"}) rows(name, {head});
    for (const char* name : {"delta.a_log", "delta.dt_bias"}) elements(name, head);
    columns("delta.output", value);
  }

  // A head's own norm stays whole.
  void cut_by_channel(const std::string& matrix, const char* tail, const Channels& share) {
    const std::string name = matrix + tail;
    if (has(name) && tensor(name).elements() == share.limit) elements(name, share);
  }

  // Of every expert, and of the shared ones, a run of its width.
  void cut_experts(const Channels& routed, const Channels& shared) {
    for (const char* name : {"experts.gate", "experts.up"}) {
      put(name, cut_wide(tensor(name), routed));
      const std::string bias = std::string(name) + "_bias";
      if (has(bias)) put(bias, cut_columns(tensor(bias), routed));
    }
    put("experts.down", cut_last(tensor("experts.down"), routed));
    if (!has("shared.gate")) return;
    rows("shared.gate", {shared});
    rows("shared.up", {shared});
    columns("shared.down", shared);
  }

  void cut_block(const Channels& inner) {
    if (!has("ffn.up")) return;
    for (const char* name : {"ffn.gate", "ffn.up"}) {
      if (has(name)) rows(name, {inner});
      const std::string bias = std::string(name) + "_bias";
      if (has(bias)) elements(bias, inner);
    }
    columns("ffn.down", inner);
  }

 private:
  [[nodiscard]] const Tensor& tensor(const std::string& name) const {
    return whole_.layer(layer_, name);
  }
  [[nodiscard]] std::string full(const std::string& name) const {
    return "layers." + std::to_string(layer_) + "." + name;
  }
  [[nodiscard]] bool has(const std::string& name) const {
    return whole_.tensors.contains(full(name));
  }
  void put(const std::string& name, Tensor tensor) {
    result_.tensors[full(name)] = std::move(tensor);
  }
  void rows(const char* name, const std::vector<Channels>& runs) {
    std::vector<Tensor> parts;
    for (const Channels& run : runs) parts.push_back(cut_rows(tensor(name), run));
    put(name, stacked(parts));
  }
  void columns(const char* name, const Channels& channels) {
    put(name, cut_columns(tensor(name), channels));
  }
  void elements(const std::string& name, const Channels& run) {
    Tensor part(ElementType::Float32, {run.count});
    const std::int64_t live = std::clamp<std::int64_t>(run.limit - run.first, 0, run.count);
    for (std::int64_t i = 0; i < live; ++i) part.store(i, tensor(name).load(run.first + i));
    put(name, std::move(part));
  }

  const Weights& whole_;
  std::int64_t layer_;
  Weights& result_;
};

}  // namespace

Stage rank_stage(const Stage& stage, int ranks, int rank) {
  if (ranks == 1) return stage;
  Stage result = stage;
  for (LayerKind& kind : result.network.kinds) cut(kind, ranks);
  if (!stage.has_head()) return result;
  const std::int64_t rows = ceil_div(stage.head_end - stage.head_begin, ranks);
  result.head_begin = std::min(stage.head_begin + rank * rows, stage.head_end - rows);
  result.head_end = result.head_begin + rows;
  return result;
}

Weights rank_weights(const Weights& weights, int ranks, int rank) {
  if (ranks == 1) return weights;
  Weights result = weights;
  for (LayerKind& kind : result.network.kinds) cut(kind, ranks);
  for (std::int64_t l = 0; l < weights.network.layers(); ++l) {
    const LayerKind& kind = weights.network.layer(l);
    LayerCutter cutter(weights, l, result);
    if (const auto* attention = std::get_if<GroupedAttention>(&kind.mixer)) {
      cutter.cut_attention(share_of(attention->shape, ranks, rank), attention->output_gate);
    } else if (const auto* latent = std::get_if<LatentAttention>(&kind.mixer)) {
      cutter.cut_latent(latent->shape, ranks, rank);
    } else if (const auto* delta = std::get_if<GatedDelta>(&kind.mixer)) {
      cutter.cut_delta(delta->shape, ranks, rank);
    }
    const auto run = [&](std::int64_t width) {
      const std::int64_t part = ceil_div(width, ranks);
      return Channels{rank * part, part, width};
    };
    cutter.cut_block(run(kind.ffn.intermediate));
    if (!kind.ffn.experts) continue;
    const Experts& experts = *kind.ffn.experts;
    cutter.cut_experts(run(experts.intermediate), run(experts.shared_intermediate));
  }
  return result;
}

}  // namespace tandem::lpu
