#include "models/lpu/compiler/tile_writer.hpp"

#include <algorithm>
#include <cmath>

namespace tandem::lpu {
namespace {

constexpr float largest_e4m3 = 448.0F;

std::size_t index_of(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

}  // namespace

// As many tiles as the maps have vectors. A layout that is cut along its inputs takes its own.
void TileWriter::tiles(const MatrixLayout& matrix, const Slab& slab, const ChannelMap& outputs,
                       const ChannelMap& inputs, const TileOrigin& origin) const {
  const auto lanes = index_of(layout_.shape.lanes);
  const int rows = static_cast<int>(outputs.size() / lanes);
  const int columns =
      std::min(matrix.k_tiles - origin.k, static_cast<int>(inputs.size() / lanes) - matrix.first_k);
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

void TileWriter::write_tile(const ColumnTile& tile, Type type, const Slab& slab,
                            std::span<const std::int64_t> outputs,
                            std::span<const std::int64_t> inputs) const {
  std::vector<float> column(inputs.size());
  for (std::size_t c = 0; c < outputs.size(); ++c) {
    for (std::size_t lane = 0; lane < inputs.size(); ++lane) {
      const bool exists = outputs[c] != absent && inputs[lane] != absent;
      column[lane] = exists ? slab.values[index_of(outputs[c] * slab.width + inputs[lane])] : 0.0F;
      if (slab.scale != 1.0F) column[lane] /= slab.scale;
    }
    Rows rows;
    for (int byte = 0; byte < tile.bytes; ++byte) {
      rows.push_back(tile.place(geometry_, byte, static_cast<int>(c)));
    }
    value(rows, type, column);
  }
}

void TileWriter::vectors(const std::vector<Rows>& rows, const Tensor& tensor) const {
  const std::span<const float> values = tensor.floats();
  const auto lanes = index_of(layout_.shape.lanes);
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const std::size_t first = k * lanes;
    value(rows[k], Type::Float32, values.subspan(first, std::min(lanes, values.size() - first)));
  }
}

Rows TileWriter::column_rows(const ColumnTile& tile, int column, int rows) const {
  Rows places;
  for (int byte = 0; byte < tile.bytes; ++byte) {
    places.push_back(tile.place(geometry_, byte, column));
    places.back().row += rows;
  }
  return places;
}

float TileWriter::tensor_scale(const MatrixLayout& matrix, std::span<const float> values) const {
  if (matrix.scale.empty()) return 1.0F;
  float largest = 0.0F;
  for (const float v : values) largest = std::max(largest, std::fabs(v));
  const float scale = largest > 0.0F ? largest / largest_e4m3 : 1.0F;
  value(matrix.scale, Type::Float32, std::vector<float>(index_of(layout_.shape.lanes), scale));
  return scale;
}

}  // namespace tandem::lpu
