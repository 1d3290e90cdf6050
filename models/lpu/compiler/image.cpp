#include "models/lpu/compiler/image.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "models/lpu/compiler/channel_map.hpp"
#include "models/lpu/compiler/delta_layout.hpp"
#include "models/lpu/compiler/tile_writer.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

// Two matrices of equal width, the rows of one below those of the other.
Tensor stacked(const Tensor& upper, const Tensor& lower) {
  Tensor both(ElementType::Float32, {upper.dim(0) + lower.dim(0), upper.dim(1)});
  const auto rest = std::ranges::copy(upper.floats(), both.floats().begin()).out;
  std::ranges::copy(lower.floats(), rest);
  return both;
}

class ConstantWriter : private TileWriter {
 public:
  using TileWriter::TileWriter;

  void write_layer(const LayerLayout& layer, const Weights& weights, std::int64_t index) {
    const LayerTensors tensors{weights, index};
    norm(layer.attention_norm, tensors, "attention_norm");
    norm(layer.ffn_norm, tensors, "ffn_norm");
    norm(layer.attention_post_norm, tensors, "attention_post_norm");
    norm(layer.ffn_post_norm, tensors, "ffn_post_norm");
    norm(layer.dense_post_norm, tensors, "ffn.post_norm");
    norm(layer.experts_norm, tensors, "experts.norm");
    norm(layer.experts_post_norm, tensors, "experts.post_norm");
    if (std::holds_alternative<GatedDelta>(layer.kind.mixer)) {
      write_delta(layer, tensors);
    } else if (layout_.latent) {
      write_latent(*this, layer, tensors);
    } else if (layer.kind.has_mixer()) {
      write_grouped_attention(layer, tensors);
    }
    if (layer.up.n_tiles > 0) write_dense_block(layer, tensors);
    if (layer.experts) write_experts(*this, layer, tensors);
  }

  // The token's channels, then those given: the columns of the product in this order.
  void write_join(const Weights& weights) {
    const bool has_bias = layout_.network().norm.kind == NormKind::Layer;
    const auto write_norm = [&](const std::vector<Rows>& rows, const std::string& name) {
      norm(rows, weights.at(name), has_bias ? &weights.at(name + "_bias") : nullptr);
    };
    write_norm(layout_.join_norms[0], "embedding_norm");
    write_norm(layout_.join_norms[1], "hidden_norm");
    const StageShape& s = layout_.shape;
    const std::int64_t width = layout_.network().hidden;
    ChannelMap inputs = hidden_map();
    const ChannelMap given = natural(width, width, s.hidden_vectors, s.lanes);
    inputs.insert(inputs.end(), given.begin(), given.end());
    matrix(layout_.combine, weights.at("combine"), hidden_map(), inputs);
  }

  void write_head(const Weights& weights) {
    const StageShape& s = layout_.shape;
    const Stage& stage = layout_.stage;
    const std::int64_t rows = stage.head_end - stage.head_begin;
    const bool has_bias = layout_.network().norm.kind == NormKind::Layer;
    norm(layout_.final_norm, weights.at("final_norm"),
         has_bias ? &weights.at("final_norm_bias") : nullptr);
    matrix(layout_.head, weights.head(), natural(stage.head_begin, rows, s.head_vectors, s.lanes),
           natural(0, layout_.network().hidden, s.hidden_vectors, s.lanes));
    std::vector<float> mask(index_of(s.lanes), 0.0F);
    const std::int64_t used = rows - std::int64_t{s.head_vectors - 1} * s.lanes;
    std::fill(mask.begin() + used, mask.end(), -std::numeric_limits<float>::infinity());
    value(layout_.logit_mask, Type::Float32, mask);
    if (layout_.lane_index.empty()) return;
    std::vector<float> index(index_of(s.lanes));
    std::iota(index.begin(), index.end(), 0.0F);
    value(layout_.lane_index, Type::Float32, index);
  }

  void write_hidden_mask() {
    if (layout_.hidden_mask.empty()) return;
    const std::int64_t used = layout_.network().hidden % layout_.shape.lanes;
    value(layout_.hidden_mask, Type::Float32, std::vector<float>(index_of(used), 1.0F));
  }

  void write_tables() {
    write_hidden_mask();
    const StageShape& s = layout_.shape;
    for (int p = 0; p < static_cast<int>(layout_.head_mask.size()); ++p) {
      std::vector<float> mask(index_of(s.lanes), 0.0F);
      std::fill_n(mask.begin() + p * s.head_dim, s.head_dim, 1.0F);
      value(layout_.head_mask[index_of(p)], Type::Float32, mask);
    }
    for (int t = 0; t < layout_.tokens; ++t) {
      const TokenBuffers& token = layout_.token(t);
      for (const Rows& table : token.mask) mask_spare_blocks(table, layout_.blocks_per_slot);
      for (const Rows& table : token.window_mask) {
        mask_spare_blocks(table, layout_.window.blocks - 1);
      }
    }
    for (const auto& side : layout_.one_hot) {
      for (std::size_t channel = 0; channel < side.size(); ++channel) {
        std::vector<float> one(index_of(s.lanes), 0.0F);
        one[channel] = 1.0F;
        value(side[channel], s.kv, one);
      }
    }
    if (layout_.delta) {
      write_delta_buffers(geometry_, *layout_.delta, layout_.delta_buffers, write_);
    }
    write_routing_tables(*this);
    write_latent_masks(*this);
  }

 private:
  // Blocks behind the last one of a context, whose row is `last`.
  void mask_spare_blocks(const Rows& table, int last) {
    const std::vector<float> nothing(index_of(layout_.shape.lanes),
                                     -std::numeric_limits<float>::infinity());
    for (int spare = 1; spare <= layout_.spare_blocks && !table.empty(); ++spare) {
      Rows rows = table;
      for (Place& place : rows) place.row += last + spare;
      value(rows, Type::Float32, nothing);
    }
  }

  void write_grouped_attention(const LayerLayout& layer, const LayerTensors& tensors) {
    const ChannelMap hidden = hidden_map();
    const ChannelMap heads = packed(layout_.shape, layout_.shape.group);
    const ChannelMap kv_heads = packed(layout_.shape, 1);
    const Tensor& query = tensors.at("attention.query");
    if (layer.output_gate.n_tiles > 0) {
      const auto width = std::int64_t{layout_.shape.head_dim};
      matrix(layer.q, query, half_of_pairs(heads, width, 0), hidden);
      matrix(layer.output_gate, query, half_of_pairs(heads, width, 1), hidden);
    } else {
      matrix(layer.q, query, heads, hidden);
    }
    matrix(layer.k, tensors.at("attention.key"), kv_heads, hidden);
    if (layer.v.n_tiles > 0) matrix(layer.v, tensors.at("attention.value"), kv_heads, hidden);
    matrix(layer.o, tensors.at("attention.output"), hidden, heads);
    for (const PackLayout& pack : layer.packs) ones_column(pack);
    write_head_vectors(layer.q_vectors, heads, tensors, "attention.query");
    write_head_vectors(layer.k_vectors, kv_heads, tensors, "attention.key");
    for (std::size_t j = 0; j < layer.v_bias.size(); ++j) {
      const bool from_keys = layer.v.n_tiles == 0;
      const auto bias =
          tensors.at(from_keys ? "attention.key_bias" : "attention.value_bias").floats();
      value(layer.v_bias[j], Type::Float32, lanes_of(bias, kv_heads, j));
    }
    write_sinks(layer, tensors);
    if (!layer.o_bias.empty()) vectors(layer.o_bias, tensors.at("attention.output_bias"));
  }

  // The channels of vector `index` of a map; zero where it has none.
  [[nodiscard]] std::vector<float> lanes_of(std::span<const float> values, const ChannelMap& map,
                                            std::size_t index) const {
    const auto lanes = index_of(layout_.shape.lanes);
    std::vector<float> result(lanes);
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      const std::int64_t channel = map[index * lanes + lane];
      if (channel != absent) result[lane] = values[index_of(channel)];
    }
    return result;
  }

  // Head p of a pack in q vector q is the q % group-th of its kv head's group.
  void write_sinks(const LayerLayout& layer, const LayerTensors& tensors) {
    const StageShape& s = layout_.shape;
    if (layer.sinks.empty()) return;
    const auto sinks = tensors.at("attention.sinks").floats();
    for (int q = 0; q < s.q_vectors(); ++q) {
      for (int p = 0; p < s.heads_in_pack(q / s.group); ++p) {
        const int head = (q / s.group * s.pack_heads + p) * s.group + q % s.group;
        const std::vector<float> lanes(index_of(s.lanes), sinks[index_of(head)]);
        value(layer.sinks[layout_.head_slot(q, p, Hemisphere::West)], Type::Float32, lanes);
      }
    }
  }

  // What a vector's partners in the rotation have in its lanes.
  [[nodiscard]] std::vector<float> partners_of(const std::vector<float>& values) const {
    std::vector<float> result(values.size());
    const auto partners = rope_partners(layout_.shape, layout_.rope);
    for (std::size_t lane = 0; lane < values.size(); ++lane) {
      if (partners[lane] < values.size()) result[lane] = values[partners[lane]];
    }
    return result;
  }

  void write_head_vectors(const std::vector<HeadVectors>& heads, const ChannelMap& channels,
                          const LayerTensors& tensors, const std::string& name) {
    for (std::size_t i = 0; i < heads.size(); ++i) {
      if (!heads[i].bias.empty()) {
        const auto bias = lanes_of(tensors.at(name + "_bias").floats(), channels, i);
        value(heads[i].bias, Type::Float32, bias);
        value(heads[i].partner_bias, Type::Float32, partners_of(bias));
      }
      if (heads[i].norm.empty()) continue;
      const auto norm = head_norm(tensors.at(name + "_norm").floats(), channels, i);
      value(heads[i].norm, Type::Float32, norm);
      value(heads[i].partner_norm, Type::Float32, partners_of(norm));
    }
  }

  // Weights per channel of a head, or of all heads.
  [[nodiscard]] std::vector<float> head_norm(std::span<const float> weights,
                                             const ChannelMap& channels, std::size_t index) const {
    const auto lanes = index_of(layout_.shape.lanes);
    std::vector<float> norm(lanes);
    for (std::size_t lane = 0; lane < index_of(layout_.shape.channels()); ++lane) {
      const std::int64_t channel = channels[index * lanes + lane];
      if (channel != absent) norm[lane] = norm_weight(weights[index_of(channel) % weights.size()]);
    }
    return norm;
  }

  void write_delta(const LayerLayout& layer, const LayerTensors& tensors) {
    const DeltaChannelMaps maps = delta_channel_maps(*layout_.delta);
    const ChannelMap hidden = hidden_map();
    matrix(layer.delta.qkv, tensors.at("delta.qkv"), maps.qkv, hidden);
    matrix(layer.delta.gates, stacked(tensors.at("delta.a"), tensors.at("delta.b")), maps.gates,
           hidden);
    matrix(layer.delta.z, tensors.at("delta.z"), maps.values, hidden);
    matrix(layer.o, tensors.at("delta.output"), hidden, maps.values);
    write_delta_layer(geometry_, *layout_.delta, layer.delta_rows,
                      {tensors.at("delta.conv").floats(), tensors.at("delta.a_log").floats(),
                       tensors.at("delta.dt_bias").floats(), tensors.at("delta.norm").floats()},
                      write_);
  }

  void write_dense_block(const LayerLayout& layer, const LayerTensors& tensors) {
    const ChannelMap hidden = hidden_map();
    const ChannelMap ffn =
        natural(0, layer.kind.ffn.intermediate, layer.up.n_tiles, layout_.shape.lanes);
    if (layer.gate.n_tiles > 0) matrix(layer.gate, tensors.at("ffn.gate"), ffn, hidden);
    matrix(layer.up, tensors.at("ffn.up"), ffn, hidden);
    matrix(layer.down, tensors.at("ffn.down"), hidden, ffn);
    for (const auto& [rows, name] :
         {std::pair(&layer.gate_bias, "ffn.gate_bias"), std::pair(&layer.up_bias, "ffn.up_bias"),
          std::pair(&layer.down_bias, "ffn.down_bias")}) {
      if (!rows->empty()) vectors(*rows, tensors.at(name));
    }
  }

  // 1 + w where the network stores w.
  [[nodiscard]] float norm_weight(float stored) const {
    return layout_.network().norm.one_plus_weight ? 1.0F + stored : stored;
  }

  // Weights, then the biases of a LayerNorm.
  void norm(const std::vector<Rows>& rows, const Tensor& weights, const Tensor* bias) {
    const auto count = std::min(rows.size(), index_of(layout_.shape.hidden_vectors));
    const std::vector<Rows> first(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(count));
    Tensor stored = weights;
    for (float& w : stored.floats()) w = norm_weight(w);
    vectors(first, stored);
    if (bias == nullptr) return;
    vectors({rows.begin() + static_cast<std::ptrdiff_t>(count), rows.end()}, *bias);
  }
  void norm(const std::vector<Rows>& rows, const LayerTensors& tensors, const std::string& name) {
    if (rows.empty()) return;
    const bool has_bias = layout_.network().norm.kind == NormKind::Layer;
    norm(rows, tensors.at(name), has_bias ? &tensors.at(name + "_bias") : nullptr);
  }

  // The same column of ones in every KV unit.
  void ones_column(const PackLayout& pack) {
    const std::vector<float> ones(index_of(layout_.shape.lanes), 1.0F);
    for (int unit = 0; unit < layout_.units(); ++unit) {
      const int column = layout_.shape.channels();
      value(column_rows(pack.values, column, unit * layout_.unit_rows), layout_.shape.kv, ones);
    }
  }

  void matrix(const MatrixLayout& matrix, const Tensor& tensor, const ChannelMap& outputs,
              const ChannelMap& inputs) {
    const float scale = tensor_scale(matrix, tensor.floats());
    tiles(matrix, {tensor.floats(), tensor.dim(1), scale}, outputs, inputs, {});
  }
};

}  // namespace

void write_constants(const Geometry& geometry, const StageLayout& layout, const Weights& weights,
                     const RowWriter& write) {
  ConstantWriter writer(geometry, layout, write);
  for (std::size_t l = 0; l < layout.layers.size(); ++l) {
    writer.write_layer(layout.layers[l], weights,
                       layout.stage.first_layer + static_cast<std::int64_t>(l));
  }
  if (layout.network().joins_hidden) writer.write_join(weights);
  if (layout.stage.has_head()) writer.write_head(weights);
  writer.write_tables();
}

}  // namespace tandem::lpu
