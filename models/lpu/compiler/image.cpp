#include "models/lpu/compiler/image.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/lpu/compiler/delta_layout.hpp"

namespace tandem::lpu {
namespace {

constexpr float largest_e4m3 = 448.0F;
constexpr int absent = -1;

std::size_t index_of(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

// Channel of a matrix for every lane of every vector; `absent` for padding.
using ChannelMap = std::vector<std::int64_t>;

ChannelMap natural(std::int64_t first, std::int64_t width, int vectors, int lanes) {
  ChannelMap map(index_of(std::int64_t{vectors} * lanes), absent);
  for (std::int64_t i = 0; i < width; ++i) map[index_of(i)] = first + i;
  return map;
}

// Lane d of head p of pack j carries channel d of kv head j * P + p, or of q head g of its group.
ChannelMap packed(const StageShape& shape, int group) {
  const int vectors = shape.packs * group;
  ChannelMap map(index_of(std::int64_t{vectors} * shape.lanes), absent);
  for (int vector = 0; vector < vectors; ++vector) {
    const int j = vector / group;
    for (int p = 0; p < shape.heads_in_pack(j); ++p) {
      const std::int64_t head = std::int64_t{j * shape.pack_heads + p} * group + vector % group;
      for (int d = 0; d < shape.head_dim; ++d) {
        map[index_of(std::int64_t{vector} * shape.lanes + p * shape.head_dim + d)] =
            head * shape.head_dim + d;
      }
    }
  }
  return map;
}

// Two matrices of equal width, the rows of one below those of the other.
Tensor stacked(const Tensor& upper, const Tensor& lower) {
  Tensor both(ElementType::Float32, {upper.dim(0) + lower.dim(0), upper.dim(1)});
  const auto rest = std::ranges::copy(upper.floats(), both.floats().begin()).out;
  std::ranges::copy(lower.floats(), rest);
  return both;
}

class ConstantWriter {
 public:
  ConstantWriter(const Geometry& geometry, const StageLayout& layout, const RowWriter& write)
      : geometry_(geometry), layout_(layout), write_(write) {}

  void write_layer(const LayerLayout& layer, const Weights& weights, std::int64_t index) {
    const LayerTensors tensors{weights, index};
    norm(layer.attention_norm, tensors.at("attention_norm"));
    norm(layer.ffn_norm, tensors.at("ffn_norm"));
    if (std::holds_alternative<GatedDelta>(layer.kind.mixer)) {
      write_delta(layer, tensors);
    } else {
      write_grouped_attention(layer, tensors);
    }
    write_dense_block(layer, tensors);
  }

  void write_head(const Weights& weights) {
    const StageShape& s = layout_.shape;
    const Stage& stage = layout_.stage;
    const std::int64_t rows = stage.head_end - stage.head_begin;
    norm(layout_.final_norm, weights.at("final_norm"));
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
    if (layout_.delta) {
      write_delta_buffers(geometry_, *layout_.delta, layout_.delta_buffers, write_);
    }
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
        natural(0, layer.kind.ffn.intermediate, layer.gate.n_tiles, layout_.shape.lanes);
    matrix(layer.gate, tensors.at("ffn.gate"), ffn, hidden);
    matrix(layer.up, tensors.at("ffn.up"), ffn, hidden);
    matrix(layer.down, tensors.at("ffn.down"), hidden, ffn);
  }

  void value(const Rows& rows, Type type, std::span<const float> values) {
    write_vector(geometry_, rows, type, values, write_);
  }

  // Weights of a norm, 1 + w where the network stores w.
  void norm(const std::vector<Rows>& rows, const Tensor& tensor) {
    std::vector<float> values(tensor.floats().begin(), tensor.floats().end());
    if (layout_.network().norm.one_plus_weight) {
      for (float& w : values) w = 1.0F + w;
    }
    vectors(rows, values);
  }

  void vectors(const std::vector<Rows>& rows, std::span<const float> values) {
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
    const std::span<const float> values = tensor.floats();
    const float scale = tensor_scale(matrix, values);
    const auto lanes = index_of(layout_.shape.lanes);
    const auto width = index_of(tensor.dim(1));
    std::vector<float> column(lanes);
    for (int n = 0; n < matrix.n_tiles; ++n) {
      for (int k = 0; k < matrix.k_tiles; ++k) {
        const ColumnTile& tile = matrix.tile(n, k);
        for (std::size_t c = 0; c < lanes; ++c) {
          const std::int64_t output = outputs[index_of(n) * lanes + c];
          for (std::size_t lane = 0; lane < lanes; ++lane) {
            const std::int64_t input = inputs[index_of(k) * lanes + lane];
            const bool exists = output != absent && input != absent;
            column[lane] = exists ? values[index_of(output) * width + index_of(input)] : 0.0F;
            if (scale != 1.0F) column[lane] /= scale;
          }
          Rows rows;
          for (int byte = 0; byte < tile.bytes; ++byte) {
            rows.push_back(tile.place(geometry_, byte, static_cast<int>(c)));
          }
          value(rows, matrix.type, column);
        }
      }
    }
  }

  const Geometry& geometry_;
  const StageLayout& layout_;
  const RowWriter& write_;
};

}  // namespace

void write_vector(const Geometry& geometry, const Rows& rows, Type type,
                  std::span<const float> values, const RowWriter& write) {
  std::vector<std::vector<std::uint8_t>> bytes(
      rows.size(), std::vector<std::uint8_t>(index_of(geometry.vector_bytes())));
  for (std::size_t lane = 0; lane < values.size(); ++lane) {
    const std::uint32_t bits = encode_element(element_type(type), values[lane]);
    for (std::size_t b = 0; b < rows.size(); ++b) {
      bytes[b][lane] = static_cast<std::uint8_t>(bits >> (8 * b));
    }
  }
  for (std::size_t b = 0; b < rows.size(); ++b) write(rows[b], bytes[b]);
}

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
