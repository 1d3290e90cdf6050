// Planes in the skewed machine: superlane k holds rows 16 k.. of every column; sums pass from
// superlane to superlane, in ascending order of rows, and are rounded after the last one.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "models/lpu/skew_core.hpp"
#include "sim/numerics/element.hpp"

namespace tandem::lpu {

void SkewMachine::Core::execute_matrix(int superlane, std::size_t event) {
  const Instruction& i = *events_[event].issue.instruction;
  PlaneTile& plane = tiles_[static_cast<std::size_t>(superlane)].planes[i.plane];
  switch (i.op) {
    case Opcode::LoadWeights:
      return load_weights(superlane, i,
                          consume_group(superlane, i.in, geometry_.weight_streams_per_plane));
    case Opcode::InstallWeights:
      plane.active = plane.shadow;
      plane.active_present = plane.shadow_present;
      return;
    case Opcode::Activate:
      return activate(superlane, event, consume_group(superlane, i.in, streams_of(i.type)));
    default:
      break;
  }
  const auto& values = accumulators_[i.plane][i.accumulator];
  if (values.empty()) fail("H5", "ACC of an accumulator that holds nothing");
  for (int part = 0; part < 4; ++part) {
    Bytes16 bytes(lanes());
    for (std::size_t lane = 0; lane < lanes(); ++lane) {
      const std::size_t column = static_cast<std::size_t>(superlane) * lanes() + lane;
      bytes[lane] = static_cast<std::uint8_t>(values[column] >> (8 * part));
    }
    produce(superlane, {i.out.direction, static_cast<std::uint16_t>(i.out.id + part)}, 0,
            std::move(bytes));
  }
}

void SkewMachine::Core::load_weights(int superlane, const Instruction& instruction,
                                     const std::vector<const Bytes16*>& columns) {
  PlaneTile& plane = tiles_[static_cast<std::size_t>(superlane)].planes[instruction.plane];
  for (std::size_t j = 0; j < columns.size(); ++j) {
    const std::size_t column = instruction.column_group * columns.size() + j;
    std::copy(columns[j]->begin(), columns[j]->end(),
              plane.shadow.begin() + static_cast<std::ptrdiff_t>(column * lanes()));
    plane.shadow_present[column] = 1;
  }
}

void SkewMachine::Core::activate(int superlane, std::size_t event,
                                 const std::vector<const Bytes16*>& operand) {
  const Instruction& i = *events_[event].issue.instruction;
  const auto columns = static_cast<std::size_t>(geometry_.plane_columns);
  Product& product = products_[event];
  product.instruction = &i;
  product.integers.resize(columns);
  product.sums.resize(columns);
  product.present.resize(columns);
  const Tile& tile = tiles_[static_cast<std::size_t>(superlane)];
  const bool pair = operand.size() == 2;
  const PlaneTile& low = tile.planes[i.plane];
  const PlaneTile& high = tile.planes[i.plane + (pair ? std::size_t{1} : std::size_t{0})];
  for (std::size_t column = 0; column < columns; ++column) {
    if (low.active_present[column] == 0 && (!pair || high.active_present[column] == 0)) continue;
    product.present[column] = 1;
    for (std::size_t lane = 0; lane < lanes(); ++lane) {
      const std::size_t at = column * lanes() + lane;
      const std::uint32_t upper = pair ? std::uint32_t{high.active[at]} << 8 : 0U;
      const std::uint32_t factor = pair ? std::uint32_t{(*operand[1])[lane]} << 8 : 0U;
      multiply_lane(product, column, static_cast<std::size_t>(superlane) * lanes() + lane,
                    (*operand[0])[lane] | factor, low.active[at] | upper);
    }
  }
  if (++product.delivered == geometry_.superlanes) finish_product(product);
}

void SkewMachine::Core::multiply_lane(Product& product, std::size_t column, std::size_t row,
                                      std::uint32_t activation, std::uint32_t weight) const {
  const Type type = product.instruction->type;
  if (type == Type::Int8) {
    product.integers[column] += static_cast<std::int8_t>(static_cast<std::uint8_t>(activation)) *
                                static_cast<std::int8_t>(static_cast<std::uint8_t>(weight));
    return;
  }
  // 16-bit types: rows of the second half have sums of their own.
  const auto half_rows = static_cast<std::size_t>(geometry_.plane_rows) / 2;
  const std::size_t half = streams_of(type) == 2 && row >= half_rows ? 1 : 0;
  const double x = decode_element(element_type(type), activation);
  const double y = decode_element(element_type(type), weight);
  product.sums[column][4 * half + row % 4] += x * y;
}

void SkewMachine::Core::finish_product(const Product& product) {
  const Instruction& i = *product.instruction;
  auto& values = accumulators_[i.plane][i.accumulator];
  values.resize(product.sums.size());
  for (std::size_t column = 0; column < values.size(); ++column) {
    if (i.type == Type::Int8) {
      const auto sum = static_cast<std::uint32_t>(product.integers[column]);
      values[column] = (i.add ? values[column] : 0U) + sum;
      continue;
    }
    for (std::size_t half = 0; half < i.halves; ++half) {
      const auto& sums = product.sums[column];
      const double total =
          (sums[4 * half] + sums[4 * half + 1]) + (sums[4 * half + 2] + sums[4 * half + 3]);
      float sum = product.present[column] != 0 ? static_cast<float>(total) : 0.0F;
      if (i.type == Type::Fp8E4m3 && std::isnan(sum)) sum = std::numeric_limits<float>::quiet_NaN();
      const bool add = i.add || half > 0;
      values[column] =
          std::bit_cast<std::uint32_t>(add ? std::bit_cast<float>(values[column]) + sum : sum);
    }
  }
}

}  // namespace tandem::lpu
