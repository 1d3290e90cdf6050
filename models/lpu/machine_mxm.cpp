#include "models/lpu/machine_mxm.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "sim/numerics/dot.hpp"
#include "sim/numerics/element.hpp"

namespace tandem::lpu {
namespace {

// e5m2 codes are few: their values, once.
const std::array<float, 256>& e5m2_values() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values{};
    for (std::size_t code = 0; code < values.size(); ++code) {
      values[code] = decode_fp8_e5m2(static_cast<std::uint8_t>(code));
    }
    return values;
  }();
  return table;
}

float decode_as(Type type, std::uint32_t bits) {
  switch (type) {
    case Type::Float16:
      return decode_float16(static_cast<std::uint16_t>(bits));
    case Type::Bfloat16:
      return decode_bfloat16(static_cast<std::uint16_t>(bits));
    default:
      return e5m2_values()[bits & 0xffU];
  }
}

// As decode_float16() of each: a half's bits, moved to a float's places, are the value times
// 2^-112, subnormals included; infinities and NaN are looked for apart.
void decode_float16_row(const std::uint8_t* low, const std::uint8_t* high, float* out,
                        std::size_t count) {
  std::uint32_t special = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t bits = low[i] | std::uint32_t{high[i]} << 8;
    const std::uint32_t magnitude = (bits & 0x7fffU) << 13;
    const float value = std::bit_cast<float>(magnitude) * 0x1p112F;
    out[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | (bits & 0x8000U) << 16);
    special |= (bits & 0x7c00U) == 0x7c00U ? 1U : 0U;
  }
  if (special == 0) return;
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = decode_float16(static_cast<std::uint16_t>(low[i] | std::uint32_t{high[i]} << 8));
  }
}

// One rounded sum enters the accumulator: set, or added in its own type.
void accumulate(std::uint32_t& accumulator, bool add, float sum) {
  accumulator = std::bit_cast<std::uint32_t>(add ? std::bit_cast<float>(accumulator) + sum : sum);
}

std::span<const std::int8_t> as_int8(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const std::int8_t*>(bytes.data()), bytes.size()};
}

}  // namespace

MatrixPlanes::MatrixPlanes(const Geometry& geometry, const LatencyTable& latency, bool functional)
    : rows_(static_cast<std::size_t>(geometry.plane_rows)),
      columns_(static_cast<std::size_t>(geometry.plane_columns)),
      weight_streams_(geometry.weight_streams_per_plane),
      latency_(latency),
      functional_(functional),
      planes_(static_cast<std::size_t>(geometry.planes)) {
  for (Plane& plane : planes_) {
    plane.accumulators.resize(static_cast<std::size_t>(geometry.accumulators));
    if (!functional) continue;
    plane.fresh.resize(columns_);
    for (Weights* weights : {&plane.shadow, &plane.active}) {
      weights->bytes.resize(rows_ * columns_);
      weights->present.resize(columns_);
    }
  }
}

void MatrixPlanes::clear() {
  for (Plane& plane : planes_) {
    plane.loaded = plane.installed = plane.decoded_valid = false;
    plane.last_use = -1;
    for (Weights* weights : {&plane.shadow, &plane.active}) {
      std::fill(weights->bytes.begin(), weights->bytes.end(), std::uint8_t{0});
      std::fill(weights->present.begin(), weights->present.end(), std::uint8_t{0});
    }
    std::fill(plane.fresh.begin(), plane.fresh.end(), std::uint8_t{0});
    for (Accumulator& accumulator : plane.accumulators) {
      accumulator.state = Accumulator::State::Empty;
    }
  }
}

void MatrixPlanes::load(const Instruction& instruction, std::int64_t cycle,
                        std::span<const std::uint8_t* const> columns) {
  Plane& plane = planes_[instruction.plane];
  plane.loaded = true;
  plane.shadow_ready = cycle + latency_.mxm_load;
  if (!functional_) return;
  const auto first = static_cast<std::size_t>(instruction.column_group * weight_streams_);
  for (std::size_t j = 0; j < columns.size(); ++j) {
    std::copy_n(columns[j], rows_,
                plane.shadow.bytes.begin() + static_cast<std::ptrdiff_t>((first + j) * rows_));
    plane.shadow.present[first + j] = 1;
    plane.fresh[first + j] = 1;
  }
}

const char* MatrixPlanes::install(int plane, std::int64_t cycle) {
  Plane& target = planes_[static_cast<std::size_t>(plane)];
  if (!target.loaded) return "IW before any LW";
  if (cycle < target.shadow_ready) return "IW before the last LW has reached the shadow buffer";
  if (cycle <= target.last_use) return "IW while an ABC still multiplies with the old weights";
  target.installed = true;
  target.active_ready = cycle + latency_.mxm_install;
  if (!functional_) return nullptr;
  for (std::size_t column = 0; column < columns_; ++column) {
    if (target.fresh[column] != 0) continue;
    target.shadow.present[column] = target.active.present[column];
    std::copy_n(target.active.bytes.begin() + static_cast<std::ptrdiff_t>(column * rows_), rows_,
                target.shadow.bytes.begin() + static_cast<std::ptrdiff_t>(column * rows_));
  }
  std::swap(target.active, target.shadow);
  std::fill(target.fresh.begin(), target.fresh.end(), std::uint8_t{0});
  target.decoded_valid = false;
  planes_[static_cast<std::size_t>(plane & ~1)].decoded_valid = false;  // of the 16-bit pair
  return nullptr;
}

const char* MatrixPlanes::check_plane(const Plane& plane, std::int64_t cycle) const {
  if (!plane.installed) return "ABC before any IW";
  if (cycle < plane.active_ready) return "ABC before the installed weights are active";
  if (cycle <= plane.last_use) return "ABC while the plane still multiplies for another ABC";
  return nullptr;
}

const char* MatrixPlanes::activate(const Instruction& instruction, std::int64_t cycle,
                                   std::span<const std::uint8_t* const> activation) {
  const int width = streams_of(instruction.type);
  for (int i = 0; i < width; ++i) {
    Plane& plane = planes_[static_cast<std::size_t>(instruction.plane + i)];
    if (const char* wrong = check_plane(plane, cycle)) return wrong;
    plane.last_use = cycle + instruction.halves - 1;
  }
  Accumulator& accumulator = planes_[instruction.plane].accumulators[instruction.accumulator];
  const bool is_integer = instruction.type == Type::Int8;
  using State = Accumulator::State;
  if (!instruction.add && accumulator.state == State::Waiting) {
    return "an accumulator is set again before its ACC";
  }
  if (instruction.add && accumulator.state == State::Empty) {
    return "ABC adds to an accumulator that was never set";
  }
  if (instruction.add && accumulator.is_integer != is_integer) {
    return "ABC adds integers to a float accumulator or the reverse";
  }
  accumulator.state = State::Waiting;
  accumulator.is_integer = is_integer;
  accumulator.ready = cycle + instruction.halves - 1 + latency_.mxm_result;
  if (functional_) multiply(instruction, activation, accumulator);
  return nullptr;
}

const char* MatrixPlanes::emit(const Instruction& instruction, std::int64_t cycle,
                               std::span<const std::uint32_t>& values) {
  Accumulator& accumulator = planes_[instruction.plane].accumulators[instruction.accumulator];
  if (accumulator.state == Accumulator::State::Empty) return "ACC of an accumulator never set";
  if (cycle < accumulator.ready) return "ACC before the result of its ABC is complete";
  accumulator.state = Accumulator::State::Emitted;
  values = accumulator.values;
  return nullptr;
}

bool MatrixPlanes::has_column(int plane, Type type, std::size_t column) const {
  const auto first = static_cast<std::size_t>(plane);
  const bool low = planes_[first].active.present[column] != 0;
  return low || (streams_of(type) == 2 && planes_[first + 1].active.present[column] != 0);
}

void MatrixPlanes::decode_weights(int plane, Type type) {
  Plane& low = planes_[static_cast<std::size_t>(plane)];
  if (low.decoded_valid && low.decoded_type == type) return;
  low.decoded.resize(rows_ * columns_);
  const std::uint8_t* high = streams_of(type) == 2
                                 ? planes_[static_cast<std::size_t>(plane) + 1].active.bytes.data()
                                 : nullptr;
  for (std::size_t column = 0; column < columns_; ++column) {
    if (!has_column(plane, type, column)) continue;
    if (type == Type::Float16) {
      decode_float16_row(low.active.bytes.data() + column * rows_, high + column * rows_,
                         low.decoded.data() + column * rows_, rows_);
      continue;
    }
    for (std::size_t i = column * rows_; i < (column + 1) * rows_; ++i) {
      const std::uint32_t upper = high == nullptr ? 0U : std::uint32_t{high[i]} << 8;
      low.decoded[i] = decode_as(type, low.active.bytes[i] | upper);
    }
  }
  low.decoded_valid = true;
  low.decoded_type = type;
}

void MatrixPlanes::multiply(const Instruction& instruction,
                            std::span<const std::uint8_t* const> activation,
                            Accumulator& accumulator) {
  accumulator.values.resize(columns_);
  if (instruction.type != Type::Int8 && instruction.type != Type::Fp8E4m3) {
    return multiply_wide(instruction, activation, accumulator);
  }
  const std::span<const std::uint8_t> vector(activation[0], rows_);
  const Weights& weights = planes_[instruction.plane].active;
  for (std::size_t column = 0; column < columns_; ++column) {
    std::uint32_t& value = accumulator.values[column];
    const bool present = weights.present[column] != 0;
    const std::span<const std::uint8_t> row(weights.bytes.data() + column * rows_, rows_);
    if (instruction.type == Type::Int8) {
      const std::int32_t sum = present ? dot_int8(as_int8(vector), as_int8(row)) : 0;
      value = (instruction.add ? value : 0U) + std::bit_cast<std::uint32_t>(sum);
    } else {
      accumulate(value, instruction.add, present ? dot_fp8_e4m3(vector, row) : 0.0F);
    }
  }
}

void MatrixPlanes::multiply_wide(const Instruction& instruction,
                                 std::span<const std::uint8_t* const> activation,
                                 Accumulator& accumulator) {
  decode_weights(instruction.plane, instruction.type);
  const bool pair = streams_of(instruction.type) == 2;
  std::vector<float> vector(rows_);
  for (std::size_t i = 0; i < rows_; ++i) {
    const std::uint32_t upper = pair ? std::uint32_t{activation[1][i]} << 8 : 0U;
    vector[i] = decode_as(instruction.type, activation[0][i] | upper);
  }
  const std::size_t terms = pair ? rows_ / 2 : rows_;
  const auto& weights = planes_[instruction.plane].decoded;
  for (std::size_t half = 0; half < instruction.halves; ++half) {
    const bool add = instruction.add || half > 0;
    for (std::size_t column = 0; column < columns_; ++column) {
      const std::size_t first = half * terms;
      const float sum = has_column(instruction.plane, instruction.type, column)
                            ? dot_wide(std::span(vector).subspan(first, terms),
                                       std::span(weights).subspan(column * rows_ + first, terms))
                            : 0.0F;
      accumulate(accumulator.values[column], add, sum);
    }
  }
}

}  // namespace tandem::lpu
