// Writes vectors and column tiles of a stage into SRAM. Inside of the compiler; see image.hpp.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "models/lpu/compiler/channel_map.hpp"
#include "models/lpu/compiler/image.hpp"

namespace tandem::lpu {

/// The tensors of one layer by name.
struct LayerTensors {
  const Weights& weights;
  std::int64_t layer;
  [[nodiscard]] const Tensor& at(std::string_view name) const { return weights.layer(layer, name); }
};

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

/// Values on their way into the rows of a layout.
class TileWriter {
 public:
  TileWriter(const Geometry& geometry, const StageLayout& layout, const RowWriter& write)
      : geometry_(geometry), layout_(layout), write_(write) {}
  [[nodiscard]] const StageLayout& layout() const { return layout_; }
  [[nodiscard]] ChannelMap hidden_map() const {
    const StageShape& s = layout_.shape;
    return natural(0, layout_.network().hidden, s.hidden_vectors, s.lanes);
  }
  void value(const Rows& rows, Type type, std::span<const float> values) const {
    write_vector(geometry_, rows, type, values, write_);
  }
  void vectors(const std::vector<Rows>& rows, const Tensor& tensor) const;
  /// Where a column of a tile lies that is moved by `rows`.
  [[nodiscard]] Rows column_rows(const ColumnTile& tile, int column, int rows) const;
  /// As many tiles as the maps have vectors. A layout that is cut along its inputs takes its own.
  void tiles(const MatrixLayout& matrix, const Slab& slab, const ChannelMap& outputs,
             const ChannelMap& inputs, const TileOrigin& origin) const;
  /// The factor of a one-byte matrix, written to every lane of its row; 1 for others.
  [[nodiscard]] float tensor_scale(const MatrixLayout& matrix, std::span<const float> values) const;

 protected:
  void write_tile(const ColumnTile& tile, Type type, const Slab& slab,
                  std::span<const std::int64_t> outputs,
                  std::span<const std::int64_t> inputs) const;
  const Geometry& geometry_;
  const StageLayout& layout_;
  const RowWriter& write_;
};

/// Weights, biases and tables of a mixture of experts (image_experts.cpp).
void write_experts(const TileWriter& writer, const LayerLayout& layer, const LayerTensors& tensors);
void write_routing_tables(const TileWriter& writer);

/// The same of latent attention (image_latent.cpp).
void write_latent(const TileWriter& writer, const LayerLayout& layer, const LayerTensors& tensors);
void write_latent_masks(const TileWriter& writer);

}  // namespace tandem::lpu
