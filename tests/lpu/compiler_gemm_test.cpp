// Products by themselves: their numbers, their cycles, and how close they come to the streams and
// to the peak of the planes.
#include <gtest/gtest.h>

#include "models/lpu/compiler/gemm.hpp"
#include "models/lpu/machine.hpp"
#include "models/lpu/verifier.hpp"
#include "sim/numerics/dot.hpp"
#include "sim/numerics/element.hpp"
#include "tests/lpu/compiler_harness.hpp"

namespace tandem::test {
namespace {

using lpu::CompiledGemm;
using lpu::GemmShape;
using lpu::LatencyTable;
using lpu::Type;

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// Codes of a row-major matrix padded to whole tiles.
struct Codes {
  std::int64_t width;
  std::vector<std::uint32_t> bits;
  Codes(std::int64_t rows, std::int64_t columns, std::int64_t padded, Type type,
        RandomStream& random)
      : width(padded), bits(at(rows * padded)) {
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c) {
        const auto value = static_cast<float>(4 * random.uniform() - 2);
        bits[at(r * width + c)] = type == Type::Int8
                                      ? static_cast<std::uint8_t>(random.integer(-128, 127))
                                      : encode_element(element_type(type), value);
      }
    }
  }
  [[nodiscard]] std::vector<std::uint8_t> bytes(std::int64_t row, std::int64_t from, int lanes,
                                                std::size_t byte) const {
    std::vector<std::uint8_t> result;
    for (int i = 0; i < lanes; ++i) {
      result.push_back(static_cast<std::uint8_t>(bits[at(row * width + from + i)] >> (8 * byte)));
    }
    return result;
  }
};

// One tile's sum: exact for one-byte types, halves of a vector for two-byte types.
void add_tile(const GemmShape& shape, const Codes& a, std::int64_t row, const Codes& w,
              std::int64_t n, std::int64_t from, int lanes, float& sum, std::int32_t& integer) {
  const auto x = a.bytes(row, from, lanes, 0);
  const auto y = w.bytes(n, from, lanes, 0);
  if (shape.type == Type::Int8) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      integer += static_cast<std::int8_t>(x[i]) * static_cast<std::int8_t>(y[i]);
    }
    return;
  }
  if (shape.type == Type::Fp8E4m3) {
    sum += dot_fp8_e4m3(x, y);
    return;
  }
  std::vector<float> u, v;
  for (int i = 0; i < lanes; ++i) {
    u.push_back(decode_element(element_type(shape.type), a.bits[at(row * a.width + from + i)]));
    v.push_back(decode_element(element_type(shape.type), w.bits[at(n * w.width + from + i)]));
  }
  const std::size_t half = u.size() / 2;
  const std::span<const float> us(u), vs(v);
  sum += dot_wide(us.first(half), vs.first(half));
  if (shape.k - from > lanes / 2) sum += dot_wide(us.subspan(half), vs.subspan(half));
}

// `apart`: the hemispheres hold other rows, and both the same tile of weights (two-byte types).
void expect_product(const lpu::Geometry& geometry, const GemmShape& shape, bool apart = false) {
  const CompiledGemm gemm = lpu::compile_gemm(geometry, LatencyTable{}, "chip", shape);
  const int lanes = geometry.lanes();
  RandomStream random(3, "gemm");
  const std::int64_t eastern = apart ? shape.m : 0;
  const std::int64_t columns = apart ? shape.n / 2 : shape.n;
  const Codes a(shape.m + eastern, shape.k, std::int64_t{gemm.k_tiles} * lanes, shape.type, random);
  const Codes w(shape.n, shape.k, std::int64_t{gemm.k_tiles} * lanes, shape.type, random);
  lpu::Machine machine(geometry, LatencyTable{}, true);
  machine.load(gemm.program, {});
  const auto write = [&](const lpu::Place& place, const std::vector<std::uint8_t>& bytes) {
    machine.write_row(place.slice, place.bank, place.row, bytes);
  };
  for (int k = 0; k < gemm.k_tiles; ++k) {
    const std::int64_t from = std::int64_t{k} * lanes;
    for (std::int64_t row = 0; row < shape.m; ++row) {
      for (const std::size_t side : {0, 1}) {
        const lpu::Rows& rows = gemm.activations[side][at(row * gemm.k_tiles + k)];
        const std::int64_t held = row + (side == 1 ? eastern : 0);
        for (std::size_t b = 0; b < rows.size(); ++b) write(rows[b], a.bytes(held, from, lanes, b));
      }
    }
    for (std::int64_t n = 0; n < shape.n; ++n) {
      const lpu::ColumnTile& tile = gemm.weights[at(n / lanes * gemm.k_tiles + k)];
      for (int b = 0; b < tile.bytes; ++b) {
        write(tile.place(geometry, b, static_cast<int>(n % lanes)),
              w.bytes(n % columns, from, lanes, at(b)));
      }
    }
  }
  EXPECT_EQ(machine.run().cycles, gemm.cycles);
  for (std::int64_t row = 0; row < shape.m; ++row) {
    for (std::int64_t n = 0; n < shape.n; ++n) {
      float sum = 0;
      std::int32_t integer = 0;
      for (int k = 0; k < gemm.k_tiles; ++k) {
        add_tile(shape, a, row + n / columns * eastern, w, n % columns, std::int64_t{k} * lanes,
                 lanes, sum, integer);
      }
      std::uint32_t bits = 0;
      const lpu::Rows& rows = gemm.outputs[at(row * gemm.n_tiles + n / lanes)];
      for (std::size_t b = 0; b < 4; ++b) {
        const auto bytes = machine.read_row(rows[b].slice, rows[b].bank, rows[b].row);
        bits |= std::uint32_t{bytes[at(n % lanes)]} << (8 * b);
      }
      const auto expected = shape.type == Type::Int8 ? static_cast<std::uint32_t>(integer)
                                                     : std::bit_cast<std::uint32_t>(sum);
      ASSERT_EQ(bits, expected) << "row " << row << " column " << n;
    }
  }
  for (const auto& fault : lpu::verify(gemm.program, geometry, LatencyTable{})) {
    ADD_FAILURE() << lpu::format_violation(fault);
  }
}

TEST(LpuGemm, EveryFormatEqualsTheSumOfItsTiles) {
  for (const Type type : {Type::Int8, Type::Fp8E4m3, Type::Float16, Type::Bfloat16}) {
    SCOPED_TRACE(static_cast<int>(type));
    expect_product(narrow_geometry(2), {3, 75, 150, type});
  }
}

TEST(LpuGemm, MoreRowsThanAccumulators) {
  expect_product(narrow_geometry(2), {270, 70, 100, Type::Fp8E4m3});
  expect_product(narrow_geometry(2), {130, 40, 70, Type::Float16});
}

TEST(LpuGemm, AnyShapeAndFormatEqualsTheSumOfItsTiles) {
  RandomStream random(8, "products");
  constexpr Type types[] = {Type::Int8, Type::Fp8E4m3, Type::Float16, Type::Bfloat16};
  for (int turn = 0; turn < 12; ++turn) {
    const GemmShape shape{random.integer(1, 20), random.integer(1, 150), random.integer(1, 150),
                          types[turn % 4]};
    SCOPED_TRACE(turn);
    expect_product(narrow_geometry(static_cast<int>(random.integer(1, 5))), shape);
    if (HasFatalFailure()) return;
  }
}

// A last column of tiles that leaves half the planes idle: both hemispheres hold it, each for half
// of the rows.
TEST(LpuGemm, HemispheresMayHoldOtherRowsForTheSameTile) {
  const lpu::Geometry geometry = narrow_geometry(2);
  expect_product(geometry, {5, 70, 2 * std::int64_t{geometry.lanes()}, Type::Float16}, true);
}

TEST(LpuGemm, OddShapesOnTheWideWeightPath) {
  expect_product(lp30_geometry(), {1, 700, 330, Type::Fp8E4m3});
  expect_product(lp30_geometry(), {5, 400, 650, Type::Float16});
}

}  // namespace
}  // namespace tandem::test
