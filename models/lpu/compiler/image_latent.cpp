// The constants of latent attention: projections cut by head, norms, masks of lanes.
#include <algorithm>

#include "models/lpu/compiler/tile_writer.hpp"

namespace tandem::lpu {
namespace {

std::size_t index_of(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

// One vector of channels, absent where `channel` says so.
template <class Channel>
ChannelMap vector_map(int lanes, Channel channel) {
  ChannelMap map;
  for (int lane = 0; lane < lanes; ++lane) map.push_back(channel(lane));
  return map;
}

class LatentWriter {
 public:
  LatentWriter(const TileWriter& writer, const LayerLayout& layer, const LayerTensors& tensors)
      : writer_(writer), plan_(*writer.layout().latent), layer_(layer), tensors_(tensors) {}

  void write() {
    const ChannelMap hidden = writer_.hidden_map();
    ChannelMap query = hidden;
    if (plan_.query_rank > 0) {
      query = natural(0, plan_.query_rank, plan_.query_vectors, plan_.lanes);
      matrix(layer_.latent.query_down, "attention.query_down", query, hidden);
      norm(layer_.latent.query_norm, tensors_.at("attention.query_norm"));
    }
    matrix(layer_.latent.query_up, "attention.query_up", queries(), query);
    matrix(layer_.latent.kv_down, "attention.kv_down", keys(), hidden);
    norm(layer_.latent.kv_norm, tensors_.at("attention.kv_norm"));
    write_up();
    matrix(layer_.o, "attention.output", hidden, outputs());
    write_ones();
  }

 private:
  void matrix(const MatrixLayout& matrix, const char* name, const ChannelMap& outputs,
              const ChannelMap& inputs) const {
    const Tensor& tensor = tensors_.at(name);
    const float scale = writer_.tensor_scale(matrix, tensor.floats());
    writer_.tiles(matrix, {tensor.floats(), tensor.dim(1), scale}, outputs, inputs, {});
  }

  // Weights of a norm, 1 + w where the network stores w.
  void norm(const std::vector<Rows>& rows, const Tensor& tensor) const {
    Tensor weights = tensor;
    const bool is_offset = writer_.layout().network().norm.one_plus_weight;
    for (float& w : weights.floats()) w += is_offset ? 1.0F : 0.0F;
    writer_.vectors(rows, weights);
  }

  // Vectors of parts that do not rotate, then of those that do.
  [[nodiscard]] ChannelMap queries() const {
    const int width = plan_.nope + plan_.rope;
    ChannelMap map;
    const auto add = [&](int vectors, int heads, int part, int offset) {
      for (int j = 0; j < vectors; ++j) {
        for (int lane = 0; lane < plan_.lanes; ++lane) {
          const int head = j * heads + lane / part;
          const bool exists = lane / part < heads && head < plan_.heads;
          map.push_back(exists ? std::int64_t{head} * width + offset + lane % part : absent);
        }
      }
    };
    add(plan_.nope_vectors, plan_.nope_heads, plan_.nope, 0);
    add(plan_.rope_vectors, plan_.rope_heads, plan_.rope, plan_.nope);
    return map;
  }

  [[nodiscard]] ChannelMap keys() const {
    ChannelMap map = natural(0, plan_.rank, plan_.key_vectors, plan_.lanes);
    const auto first = index_of((plan_.key_vectors - 1) * plan_.lanes + plan_.rope_lane);
    for (int d = 0; d < plan_.rope; ++d) map[first + index_of(d)] = plan_.rank + d;
    return map;
  }

  // Of the values of all heads side by side.
  [[nodiscard]] ChannelMap outputs() const {
    ChannelMap map;
    for (int j = 0; j < plan_.output_vectors; ++j) {
      const int live = plan_.heads_of_output(j) * plan_.value;
      const std::int64_t first = std::int64_t{j} * plan_.value_heads * plan_.value;
      const ChannelMap vector =
          vector_map(plan_.lanes, [&](int lane) { return lane < live ? first + lane : absent; });
      map.insert(map.end(), vector.begin(), vector.end());
    }
    return map;
  }

  // The tensor has, per head, rows of keys and then of values, each as long as the latent. Keys are
  // wanted the other way round: inputs are rows, outputs channels of the latent.
  void write_up() const {
    const Tensor& up = tensors_.at("attention.kv_up");
    const float scale = writer_.tensor_scale(layer_.latent.key_up.front(), up.floats());
    const Slab by_row{up.floats(), plan_.rank, scale};
    const Slab turned{up.floats(), 1, scale};
    const auto row_of = [&](int head) { return std::int64_t{head} * (plan_.nope + plan_.value); };
    const ChannelMap latent = natural(0, plan_.rank, plan_.latent_vectors, plan_.lanes);
    for (int j = 0; j < plan_.nope_vectors; ++j) {
      MatrixLayout keys = layer_.latent.key_up[index_of(j * plan_.nope_heads)];
      keys.first_k = 0;
      const int live = plan_.heads_of_nope(j) * plan_.nope;
      const ChannelMap inputs = vector_map(plan_.lanes, [&](int lane) {
        const int head = j * plan_.nope_heads + lane / plan_.nope;
        return lane < live ? (row_of(head) + lane % plan_.nope) * plan_.rank : absent;
      });
      writer_.tiles(keys, turned, latent, inputs, {});
    }
    for (int h = 0; h < plan_.heads; ++h) {
      MatrixLayout values = layer_.latent.value_up[index_of(h / plan_.value_heads)];
      values.first_k = 0;
      const int place = h % plan_.value_heads;
      const ChannelMap outputs = vector_map(plan_.lanes, [&](int lane) {
        const bool is_own = lane / plan_.value == place;
        return is_own ? row_of(h) + plan_.nope + lane % plan_.value : absent;
      });
      writer_.tiles(values, by_row, outputs, latent, {0, place * plan_.latent_vectors, 0});
    }
  }

  // The same column of ones in every KV unit.
  void write_ones() const {
    const StageLayout& layout = writer_.layout();
    const ColumnTile& tile = layer_.packs[index_of(plan_.ones_vector())].values;
    const std::vector<float> ones(index_of(plan_.lanes), 1.0F);
    for (int unit = 0; unit < layout.units(); ++unit) {
      writer_.value(writer_.column_rows(tile, plan_.ones_lane(), unit * layout.unit_rows),
                    layout.shape.kv, ones);
    }
  }

  const TileWriter& writer_;
  const LatentPlan& plan_;
  const LayerLayout& layer_;
  const LayerTensors& tensors_;
};

}  // namespace

void write_latent(const TileWriter& writer, const LayerLayout& layer, const LayerTensors& tensors) {
  LatentWriter(writer, layer, tensors).write();
}

void write_latent_masks(const TileWriter& writer) {
  const StageLayout& layout = writer.layout();
  if (!layout.latent) return;
  const LatentPlan& plan = *layout.latent;
  const auto ones = [&](const Rows& rows, int first, int count) {
    std::vector<float> mask(index_of(plan.lanes), 0.0F);
    std::fill_n(mask.begin() + first, count, 1.0F);
    writer.value(rows, Type::Float32, mask);
  };
  for (int p = 0; p < plan.nope_heads; ++p) {
    ones(layout.nope_mask[index_of(p)], p * plan.nope, plan.nope);
  }
  ones(layout.latent_mask, 0, plan.latent_lanes(plan.latent_vectors - 1));
}

}  // namespace tandem::lpu
