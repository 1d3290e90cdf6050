// One vector value as the bytes of its rows.
#include "models/lpu/compiler/image.hpp"

namespace tandem::lpu {

void write_vector(const Geometry& geometry, const Rows& rows, Type type,
                  std::span<const float> values, const RowWriter& write) {
  std::vector<std::vector<std::uint8_t>> bytes(
      rows.size(), std::vector<std::uint8_t>(static_cast<std::size_t>(geometry.vector_bytes())));
  for (std::size_t lane = 0; lane < values.size(); ++lane) {
    const std::uint32_t bits = encode_element(element_type(type), values[lane]);
    for (std::size_t b = 0; b < rows.size(); ++b) {
      bytes[b][lane] = static_cast<std::uint8_t>(bits >> (8 * b));
    }
  }
  for (std::size_t b = 0; b < rows.size(); ++b) write(rows[b], bytes[b]);
}

}  // namespace tandem::lpu
