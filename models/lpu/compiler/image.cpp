#include "models/lpu/compiler/image.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/lpu/compiler/channel_map.hpp"

namespace tandem::lpu {
namespace {

constexpr float largest_e4m3 = 448.0F;
// Below all scores of experts, and finite: its product with zero is zero.
constexpr float far_below = -1e30F;

std::size_t index_of(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

class ConstantWriter {
 public:
  ConstantWriter(const Geometry& geometry, const StageLayout& layout, const RowWriter& write)
      : geometry_(geometry), layout_(layout), write_(write) {}

  void write_layer(const LayerLayout& layer, const Weights& weights, std::int64_t index) {
    const LayerTensors tensors{weights, index};
    vectors(layer.attention_norm, tensors.at("attention_norm"));
    vectors(layer.ffn_norm, tensors.at("ffn_norm"));
    write_grouped_attention(layer, tensors);
    if (layer.experts) {
      write_experts(layer, tensors);
    } else {
      write_dense_block(layer, tensors);
    }
  }

  void write_head(const Weights& weights) {
    const StageShape& s = layout_.shape;
    const Stage& stage = layout_.stage;
    const std::int64_t rows = stage.head_end - stage.head_begin;
    vectors(layout_.final_norm, weights.at("final_norm"));
    matrix(layout_.head, weights.head(), natural(stage.head_begin, rows, s.head_vectors, s.lanes),
           natural(0, layout_.network().hidden, s.hidden_vectors, s.lanes));
    std::vector<float> mask(index_of(s.lanes), 0.0F);
    const std::int64_t used = rows - std::int64_t{s.head_vectors - 1} * s.lanes;
    std::fill(mask.begin() + used, mask.end(), -std::numeric_limits<float>::infinity());
    value(layout_.logit_mask, Type::Float32, mask);
  }

  void write_tables() {
    const StageShape& s = layout_.shape;
    for (int p = 0; p < static_cast<int>(layout_.head_mask.size()); ++p) {
      std::vector<float> mask(index_of(s.lanes), 0.0F);
      std::fill_n(mask.begin() + p * s.head_dim, s.head_dim, 1.0F);
      value(layout_.head_mask[index_of(p)], Type::Float32, mask);
    }
    for (const auto& side : layout_.one_hot) {
      for (std::size_t channel = 0; channel < side.size(); ++channel) {
        std::vector<float> one(index_of(s.lanes), 0.0F);
        one[channel] = 1.0F;
        value(side[channel], s.kv, one);
      }
    }
    write_routing_tables();
  }

 private:
  /// The tensors of one layer by name.
  struct LayerTensors {
    const Weights& weights;
    std::int64_t layer;
    [[nodiscard]] const Tensor& at(std::string_view name) const {
      return weights.layer(layer, name);
    }
  };

  [[nodiscard]] ChannelMap hidden_map() const {
    const StageShape& s = layout_.shape;
    return natural(0, layout_.network().hidden, s.hidden_vectors, s.lanes);
  }

  void write_grouped_attention(const LayerLayout& layer, const LayerTensors& tensors) {
    const ChannelMap hidden = hidden_map();
    const ChannelMap heads = packed(layout_.shape, layout_.shape.group);
    const ChannelMap kv_heads = packed(layout_.shape, 1);
    matrix(layer.q, tensors.at("attention.query"), heads, hidden);
    matrix(layer.k, tensors.at("attention.key"), kv_heads, hidden);
    matrix(layer.v, tensors.at("attention.value"), kv_heads, hidden);
    matrix(layer.o, tensors.at("attention.output"), hidden, heads);
    for (const PackLayout& pack : layer.packs) ones_column(pack);
    write_head_vectors(layer.q_vectors, heads, tensors, "attention.query");
    write_head_vectors(layer.k_vectors, kv_heads, tensors, "attention.key");
    for (std::size_t j = 0; j < layer.v_bias.size(); ++j) {
      const auto bias = tensors.at("attention.value_bias").floats();
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
      std::vector<float> norm(index_of(layout_.shape.lanes));
      const auto weight = tensors.at(name + "_norm").floats();
      for (std::size_t lane = 0; lane < index_of(layout_.shape.channels()); ++lane) {
        norm[lane] = weight[lane % weight.size()];
      }
      value(heads[i].norm, Type::Float32, norm);
      value(heads[i].partner_norm, Type::Float32, partners_of(norm));
    }
  }

  void write_dense_block(const LayerLayout& layer, const LayerTensors& tensors) {
    const ChannelMap hidden = hidden_map();
    const ChannelMap ffn =
        natural(0, layer.kind.ffn.intermediate, layer.gate.n_tiles, layout_.shape.lanes);
    matrix(layer.gate, tensors.at("ffn.gate"), ffn, hidden);
    matrix(layer.up, tensors.at("ffn.up"), ffn, hidden);
    matrix(layer.down, tensors.at("ffn.down"), hidden, ffn);
  }

  // The router's bias in the lanes of experts; no score reaches what stands in the others.
  void write_offset(const LayerLayout& layer, const LayerTensors& tensors) {
    const Experts& experts = *layer.kind.ffn.experts;
    std::vector<float> offset(index_of(layout_.shape.lanes), far_below);
    std::fill_n(offset.begin(), experts.router.experts, 0.0F);
    if (experts.router.bias) {
      std::ranges::copy(tensors.at("experts.router_bias").floats(), offset.begin());
    }
    value(layer.experts->offset, Type::Float32, offset);
  }

  void write_experts(const LayerLayout& layer, const LayerTensors& tensors) {
    const ExpertsLayout& experts = *layer.experts;
    write_offset(layer, tensors);
    const Tensor& router = tensors.at("experts.router");
    const float scale = tensor_scale(experts.router.front(), router.floats());
    const std::int64_t lanes = layout_.shape.lanes;
    for (const MatrixLayout& part : experts.router) {
      const Slab slab{router.floats(), layout_.network().hidden, scale};
      tiles(part, slab, natural(0, router.dim(0), 1, static_cast<int>(lanes)), hidden_map(), {});
    }
    for (const auto& [parts, name] : {std::pair(&experts.gate, "gate"), {&experts.up, "up"}}) {
      write_wide(layer, tensors, *parts, name);
    }
    write_down(layer, tensors);
    write_bias_table(experts.gate_bias, tensors, "experts.gate_bias");
    write_bias_table(experts.up_bias, tensors, "experts.up_bias");
    write_bias_table(experts.down_bias, tensors, "experts.down_bias");
  }

  // Row e of table i: vector i of expert e.
  void write_bias_table(const std::vector<Rows>& tables, const LayerTensors& tensors,
                        const char* name) {
    if (tables.empty()) return;
    const Tensor& biases = tensors.at(name);
    const auto width = index_of(biases.dim(1));
    const auto lanes = index_of(layout_.shape.lanes);
    for (std::int64_t e = 0; e < biases.dim(0); ++e) {
      for (std::size_t i = 0; i < tables.size(); ++i) {
        Rows rows = tables[i];
        for (Place& place : rows) place.row += static_cast<int>(e);
        const auto own = biases.floats().subspan(index_of(e) * width, width);
        value(rows, Type::Float32, own.subspan(i * lanes, std::min(lanes, width - i * lanes)));
      }
    }
  }

  // One factor for routed and shared experts: the planes add both in one accumulator.
  float experts_scale(const MatrixLayout& matrix, const LayerLayout& layer,
                      const LayerTensors& tensors, const std::string& name) {
    const auto routed = tensors.at("experts." + name).floats();
    std::vector<float> all(routed.begin(), routed.end());
    if (layer.experts->shared_vectors > 0) {
      const auto shared = tensors.at("shared." + name).floats();
      all.insert(all.end(), shared.begin(), shared.end());
    }
    return tensor_scale(matrix, all);
  }

  // Gate or up: rows of outputs, those of shared experts first.
  void write_wide(const LayerLayout& layer, const LayerTensors& tensors,
                  const std::vector<MatrixLayout>& parts, const std::string& name) {
    const ExpertsLayout& experts = *layer.experts;
    const Experts& kind = *layer.kind.ffn.experts;
    const std::int64_t hidden = layout_.network().hidden;
    const int lanes = layout_.shape.lanes;
    const float scale = experts_scale(parts.front(), layer, tensors, name);
    for (const MatrixLayout& part : parts) {
      if (experts.shared_vectors > 0) {
        const Slab shared{tensors.at("shared." + name).floats(), hidden, scale};
        tiles(part, shared, natural(0, kind.shared_intermediate, experts.shared_vectors, lanes),
              hidden_map(), {});
      }
      const ChannelMap outputs = natural(0, kind.intermediate, experts.vectors, lanes);
      for (std::int64_t e = 0; e < kind.router.experts; ++e) {
        const Slab slab = expert_slab(tensors.at("experts." + name), e, scale);
        tiles(part, slab, outputs, hidden_map(),
              {experts.shared_vectors, 0, row_shift(experts, e)});
      }
    }
  }

  void write_down(const LayerLayout& layer, const LayerTensors& tensors) {
    const ExpertsLayout& experts = *layer.experts;
    const Experts& kind = *layer.kind.ffn.experts;
    const int lanes = layout_.shape.lanes;
    const float scale = experts_scale(experts.down, layer, tensors, "down");
    if (experts.shared_vectors > 0) {
      const Slab shared{tensors.at("shared.down").floats(), kind.shared_intermediate, scale};
      tiles(experts.down, shared, hidden_map(),
            natural(0, kind.shared_intermediate, experts.shared_vectors, lanes), {});
    }
    const ChannelMap inputs = natural(0, kind.intermediate, experts.vectors, lanes);
    for (std::int64_t e = 0; e < kind.router.experts; ++e) {
      const Slab slab = expert_slab(tensors.at("experts.down"), e, scale);
      tiles(experts.down, slab, hidden_map(), inputs,
            {0, experts.shared_vectors, row_shift(experts, e)});
    }
  }

  void write_routing_tables() {
    const RoutingBuffers& routing = layout_.routing;
    if (routing.lane_index.empty()) return;
    const auto lanes = index_of(layout_.shape.lanes);
    std::vector<float> index(lanes);
    for (std::size_t lane = 0; lane < lanes; ++lane) index[lane] = static_cast<float>(lane);
    value(routing.lane_index, Type::Float32, index);
    std::int64_t experts = 0;
    for (const LayerLayout& layer : layout_.layers) {
      if (layer.experts) experts = layer.kind.ffn.experts->router.experts;
    }
    std::vector<float> beyond(lanes, far_below);
    std::fill_n(beyond.begin(), experts, 0.0F);
    value(routing.beyond, Type::Float32, beyond);
  }

  /// A matrix [out, width] and the factor its values are divided by.
  struct Slab {
    std::span<const float> values;
    std::int64_t width = 0;
    float scale = 1;
  };
  /// Where a matrix begins among the tiles of a layout, and rows by which those are moved.
  struct TileOrigin {
    int n = 0;
    int k = 0;
    int rows = 0;
  };

  static Slab expert_slab(const Tensor& all, std::int64_t expert, float scale) {
    const std::size_t size = index_of(all.dim(1) * all.dim(2));
    return {all.floats().subspan(index_of(expert) * size, size), all.dim(2), scale};
  }
  static int row_shift(const ExpertsLayout& experts, std::int64_t expert) {
    return static_cast<int>(expert) * experts.unit_rows;
  }

  // As many tiles as the maps have vectors. A layout that is cut along its inputs takes its own.
  void tiles(const MatrixLayout& matrix, const Slab& slab, const ChannelMap& outputs,
             const ChannelMap& inputs, const TileOrigin& origin) {
    const auto lanes = index_of(layout_.shape.lanes);
    const int rows = static_cast<int>(outputs.size() / lanes);
    const int columns = std::min(matrix.k_tiles - origin.k,
                                 static_cast<int>(inputs.size() / lanes) - matrix.first_k);
    for (int n = 0; n < rows; ++n) {
      for (int k = 0; k < columns; ++k) {
        ColumnTile tile = matrix.tile(origin.n + n, origin.k + k);
        tile.row += origin.rows;
        tile.reg = 0;
        const auto from = index_of(k + matrix.first_k) * lanes;
        write_tile(tile, matrix.type, slab, {&outputs[index_of(n) * lanes], lanes},
                   {&inputs[from], lanes});
      }
    }
  }

  void write_tile(const ColumnTile& tile, Type type, const Slab& slab,
                  std::span<const std::int64_t> outputs, std::span<const std::int64_t> inputs) {
    std::vector<float> column(inputs.size());
    for (std::size_t c = 0; c < outputs.size(); ++c) {
      for (std::size_t lane = 0; lane < inputs.size(); ++lane) {
        const bool exists = outputs[c] != absent && inputs[lane] != absent;
        column[lane] =
            exists ? slab.values[index_of(outputs[c] * slab.width + inputs[lane])] : 0.0F;
        if (slab.scale != 1.0F) column[lane] /= slab.scale;
      }
      Rows rows;
      for (int byte = 0; byte < tile.bytes; ++byte) {
        rows.push_back(tile.place(geometry_, byte, static_cast<int>(c)));
      }
      value(rows, type, column);
    }
  }

  void value(const Rows& rows, Type type, std::span<const float> values) {
    write_vector(geometry_, rows, type, values, write_);
  }

  void vectors(const std::vector<Rows>& rows, const Tensor& tensor) {
    const std::span<const float> values = tensor.floats();
    const auto lanes = index_of(layout_.shape.lanes);
    for (std::size_t k = 0; k < rows.size(); ++k) {
      const std::size_t first = k * lanes;
      value(rows[k], Type::Float32, values.subspan(first, std::min(lanes, values.size() - first)));
    }
  }

  // The same column of ones in every KV unit.
  void ones_column(const PackLayout& pack) {
    const std::vector<float> ones(index_of(layout_.shape.lanes), 1.0F);
    for (int unit = 0; unit < layout_.units(); ++unit) {
      Rows rows;
      for (int byte = 0; byte < pack.values.bytes; ++byte) {
        rows.push_back(pack.values.place(geometry_, byte, layout_.shape.channels()));
        rows.back().row += unit * layout_.unit_rows;
      }
      value(rows, layout_.shape.kv, ones);
    }
  }

  float tensor_scale(const MatrixLayout& matrix, std::span<const float> values) {
    if (matrix.scale.empty()) return 1.0F;
    float largest = 0.0F;
    for (const float v : values) largest = std::max(largest, std::fabs(v));
    const float scale = largest > 0.0F ? largest / largest_e4m3 : 1.0F;
    value(matrix.scale, Type::Float32, std::vector<float>(index_of(layout_.shape.lanes), scale));
    return scale;
  }

  void matrix(const MatrixLayout& matrix, const Tensor& tensor, const ChannelMap& outputs,
              const ChannelMap& inputs) {
    const float scale = tensor_scale(matrix, tensor.floats());
    tiles(matrix, {tensor.floats(), tensor.dim(1), scale}, outputs, inputs, {});
  }

  const Geometry& geometry_;
  const StageLayout& layout_;
  const RowWriter& write_;
};

}  // namespace

void write_constants(const Geometry& geometry, const StageLayout& layout, const Weights& weights,
                     const RowWriter& write) {
  ConstantWriter writer(geometry, layout, write);
  for (std::size_t l = 0; l < layout.layers.size(); ++l) {
    writer.write_layer(layout.layers[l], weights,
                       layout.stage.first_layer + static_cast<std::int64_t>(l));
  }
  if (layout.stage.has_head()) writer.write_head(weights);
  writer.write_tables();
}

}  // namespace tandem::lpu
