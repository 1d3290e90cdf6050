// Weights of experts: one layout for all, moved from expert to expert.
#include <algorithm>
#include <cmath>
#include <string>

#include "models/lpu/compiler/tile_writer.hpp"

namespace tandem::lpu {
namespace {

// Below all scores of experts, and finite: its product with zero is zero.
constexpr float far_below = -1e30F;

std::size_t index_of(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

class ExpertsWriter : private TileWriter {
 public:
  explicit ExpertsWriter(const TileWriter& writer) : TileWriter(writer) {}

  // The router's bias in the lanes of experts; no score reaches what stands in the others.
  void write_offset(const LayerLayout& layer, const LayerTensors& tensors) {
    const Experts& experts = *layer.kind.ffn.experts;
    std::vector<float> offset(index_of(layout().shape.lanes), far_below);
    std::fill_n(offset.begin(), experts.router.experts, 0.0F);
    if (experts.router.bias) {
      std::ranges::copy(tensors.at("experts.router_bias").floats(), offset.begin());
    }
    value(layer.experts->offset, Type::Float32, offset);
  }

  void write_experts(const LayerLayout& layer, const LayerTensors& tensors) {
    const ExpertsLayout& experts = *layer.experts;
    write_offset(layer, tensors);
    write_places(layer);
    write_router_norm(layer, tensors);
    const std::vector<float> router = router_rows(layer, tensors);
    const float scale = tensor_scale(experts.router.front(), router);
    const std::int64_t lanes = layout().shape.lanes;
    for (const MatrixLayout& part : experts.router) {
      const Slab slab{router, layout().network().hidden, scale};
      const std::int64_t rows = static_cast<std::int64_t>(router.size()) / slab.width;
      tiles(part, slab, natural(0, rows, 1, static_cast<int>(lanes)), hidden_map(), {});
    }
    for (const auto& [parts, name] : {std::pair(&experts.gate, "gate"), {&experts.up, "up"}}) {
      write_wide(layer, tensors, *parts, name);
    }
    write_down(layer, tensors);
    write_bias_table(experts.gate_bias, tensors, "experts.gate_bias", experts.side_by_side);
    write_bias_table(experts.up_bias, tensors, "experts.up_bias", experts.side_by_side);
    write_bias_table(experts.down_bias, tensors, "experts.down_bias", 1);
  }

  // The router's norm divides by the root of the width as well; factors of experts by expert.
  void write_router_norm(const LayerLayout& layer, const LayerTensors& tensors) {
    const ExpertsLayout& experts = *layer.experts;
    if (!experts.router_norm.empty()) {
      Tensor weights = tensors.at("experts.router_norm");
      const double root = std::sqrt(static_cast<double>(weights.elements()));
      for (float& w : weights.floats()) w *= static_cast<float>(1 / root);
      vectors(experts.router_norm, weights);
    }
    if (experts.factor.empty()) return;
    const auto factors = tensors.at("experts.scale").floats();
    for (std::size_t e = 0; e < factors.size(); ++e) {
      Rows row = experts.factor;
      for (Place& place : row) place.row += static_cast<int>(e);
      value(row, Type::Float32, std::vector<float>(index_of(layout().shape.lanes), factors[e]));
    }
  }

  // A row per expert, then that of the shared experts' gate.
  static std::vector<float> router_rows(const LayerLayout& layer, const LayerTensors& tensors) {
    const auto router = tensors.at("experts.router").floats();
    std::vector<float> rows(router.begin(), router.end());
    if (!layer.kind.ffn.experts->shared_gate) return rows;
    const auto gate = tensors.at("shared.switch").floats();
    rows.insert(rows.end(), gate.begin(), gate.end());
    return rows;
  }

  // Row e of table i: vector i of expert e, in its own lanes.
  void write_bias_table(const std::vector<Rows>& tables, const LayerTensors& tensors,
                        const char* name, int side_by_side) {
    if (tables.empty()) return;
    const Tensor& biases = tensors.at(name);
    const auto width = index_of(biases.dim(1));
    const auto lanes = index_of(layout().shape.lanes);
    for (std::int64_t e = 0; e < biases.dim(0); ++e) {
      for (std::size_t i = 0; i < tables.size(); ++i) {
        Rows rows = tables[i];
        for (Place& place : rows) place.row += static_cast<int>(e);
        const auto own = biases.floats().subspan(index_of(e) * width, width);
        const auto part = own.subspan(i * lanes, std::min(lanes, width - i * lanes));
        std::vector<float> values(side_by_side > 1 ? index_of(e % side_by_side) * width : 0);
        values.insert(values.end(), part.begin(), part.end());
        value(rows, Type::Float32, values);
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
    const std::int64_t hidden = layout().network().hidden;
    const int lanes = layout().shape.lanes;
    const float scale = experts_scale(parts.front(), layer, tensors, name);
    for (const MatrixLayout& part : parts) {
      if (experts.shared_vectors > 0) {
        const Slab shared{tensors.at("shared." + name).floats(), hidden, scale};
        tiles(part, shared, natural(0, kind.shared_intermediate, experts.shared_vectors, lanes),
              hidden_map(), {});
      }
      const ChannelMap outputs = natural(0, unit_width(layer), experts.vectors, lanes);
      for (std::int64_t first = 0; first < kind.router.experts; first += experts.side_by_side) {
        const std::vector<float> unit = unit_rows(layer, tensors.at("experts." + name), first);
        tiles(part, {unit, hidden, scale}, outputs, hidden_map(),
              {experts.shared_vectors, 0, row_shift(experts, first)});
      }
    }
  }

  void write_down(const LayerLayout& layer, const LayerTensors& tensors) {
    const ExpertsLayout& experts = *layer.experts;
    const Experts& kind = *layer.kind.ffn.experts;
    const int lanes = layout().shape.lanes;
    const float scale = experts_scale(experts.down, layer, tensors, "down");
    if (experts.shared_vectors > 0) {
      const Slab shared{tensors.at("shared.down").floats(), kind.shared_intermediate, scale};
      tiles(experts.down, shared, hidden_map(),
            natural(0, kind.shared_intermediate, experts.shared_vectors, lanes), {});
    }
    const ChannelMap inputs = natural(0, unit_width(layer), experts.vectors, lanes);
    for (std::int64_t first = 0; first < kind.router.experts; first += experts.side_by_side) {
      const std::vector<float> unit = unit_columns(layer, tensors.at("experts.down"), first);
      tiles(experts.down, {unit, unit_width(layer), scale}, hidden_map(), inputs,
            {0, experts.shared_vectors, row_shift(experts, first)});
    }
  }

  // Experts that share tiles, one behind the other.
  static std::int64_t unit_width(const LayerLayout& layer) {
    return layer.experts->side_by_side * layer.kind.ffn.experts->intermediate;
  }
  static std::int64_t end_of_unit(const LayerLayout& layer, std::int64_t first) {
    return std::min(first + layer.experts->side_by_side, layer.kind.ffn.experts->router.experts);
  }
  static std::vector<float> unit_rows(const LayerLayout& layer, const Tensor& all,
                                      std::int64_t first) {
    const std::size_t size = index_of(all.dim(1) * all.dim(2));
    const auto count = index_of(end_of_unit(layer, first) - first);
    const auto part = all.floats().subspan(index_of(first) * size, count * size);
    std::vector<float> unit(part.begin(), part.end());
    unit.resize(index_of(layer.experts->side_by_side) * size);
    return unit;
  }
  static std::vector<float> unit_columns(const LayerLayout& layer, const Tensor& all,
                                         std::int64_t first) {
    const auto width = index_of(unit_width(layer));
    const auto own = index_of(all.dim(2));
    std::vector<float> unit(index_of(all.dim(1)) * width);
    for (std::int64_t e = first; e < end_of_unit(layer, first); ++e) {
      for (std::size_t row = 0; row < index_of(all.dim(1)); ++row) {
        const auto from = all.floats().subspan((index_of(e * all.dim(1)) + row) * own, own);
        std::ranges::copy(from, unit.begin() + static_cast<std::ptrdiff_t>(
                                                   row * width + index_of(e - first) * own));
      }
    }
    return unit;
  }

  // By lane and by expert: where its weights and its lanes are.
  void write_places(const LayerLayout& layer) {
    const ExpertsLayout& experts = *layer.experts;
    const auto lanes = index_of(layout().shape.lanes);
    std::vector<float> rows(lanes);
    const auto count = layer.kind.ffn.experts->router.experts;
    for (std::int64_t e = 0; e < count; ++e) {
      rows[index_of(e)] = static_cast<float>(row_shift(experts, e));
    }
    value(experts.lane_rows, Type::Float32, rows);
    for (std::int64_t e = 0; e < count && !experts.own_lanes.empty(); ++e) {
      std::vector<float> ones(lanes);
      const std::int64_t width = layer.kind.ffn.experts->intermediate;
      std::fill_n(ones.begin() + e % experts.side_by_side * width, width, 1.0F);
      Rows row = experts.own_lanes;
      for (Place& place : row) place.row += static_cast<int>(e);
      value(row, Type::Float32, ones);
    }
  }

  void write_routing_tables() {
    const RoutingBuffers& routing = layout().routing;
    if (routing.lane_index.empty()) return;
    const auto lanes = index_of(layout().shape.lanes);
    std::vector<float> index(lanes);
    for (std::size_t lane = 0; lane < lanes; ++lane) index[lane] = static_cast<float>(lane);
    value(routing.lane_index, Type::Float32, index);
    std::int64_t experts = 0;
    for (const LayerLayout& layer : layout().layers) {
      if (layer.experts) experts = layer.kind.ffn.experts->router.experts;
    }
    std::vector<float> beyond(lanes, far_below);
    std::fill_n(beyond.begin(), experts, 0.0F);
    value(routing.beyond, Type::Float32, beyond);
  }

 private:
  static int row_shift(const ExpertsLayout& experts, std::int64_t expert) {
    return static_cast<int>(expert) / experts.side_by_side * experts.unit_rows;
  }
};

}  // namespace

void write_experts(const TileWriter& writer, const LayerLayout& layer,
                   const LayerTensors& tensors) {
  ExpertsWriter(writer).write_experts(layer, tensors);
}

void write_routing_tables(const TileWriter& writer) {
  ExpertsWriter(writer).write_routing_tables();
}

}  // namespace tandem::lpu
