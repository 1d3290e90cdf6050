// Quantisation and its inverse on the vector unit, bit for bit against plain loops.
#include "models/lpu/compiler/quantise.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "models/lpu/compiler/image.hpp"
#include "models/lpu/compiler/quantised_product.hpp"
#include "models/lpu/machine.hpp"
#include "models/lpu/verifier.hpp"
#include "sim/numerics/dot.hpp"
#include "sim/numerics/element.hpp"
#include "sim/numerics/special.hpp"
#include "tests/lpu/compiler_harness.hpp"

namespace tandem::test {
namespace {

using lpu::LatencyTable;
using lpu::Type;

struct Case {
  Type type;
  float largest;
};
constexpr Case cases[] = {{Type::Int8, 127.0F}, {Type::Fp8E4m3, 448.0F}, {Type::Fp8E5m2, 57344.0F}};

std::vector<std::uint32_t> read(const lpu::Machine& machine, const lpu::Rows& rows) {
  std::vector<std::uint32_t> bits;
  for (std::size_t b = 0; b < rows.size(); ++b) {
    const auto bytes = machine.read_row(rows[b].slice, rows[b].bank, rows[b].row);
    bits.resize(bytes.size());
    for (std::size_t l = 0; l < bits.size(); ++l) bits[l] |= std::uint32_t{bytes[l]} << (8 * b);
  }
  return bits;
}

// `values` over vectors of the chip; a factor of 0 asks for one of the token's own.
void expect_codes(const lpu::Geometry& geometry, const std::vector<float>& values, const Case& c,
                  float tensor_factor) {
  const auto lanes = static_cast<std::size_t>(geometry.lanes());
  const int vectors = static_cast<int>((values.size() + lanes - 1) / lanes);
  const bool per_token = tensor_factor == 0.0F;
  const auto compiled =
      lpu::compile_quantise(geometry, LatencyTable{}, "chip", vectors, c.type, per_token);
  lpu::Machine machine(geometry, LatencyTable{}, true);
  machine.load(compiled.program, {});
  const lpu::RowWriter write = [&](const lpu::Place& place, std::span<const std::uint8_t> bytes) {
    machine.write_row(place.slice, place.bank, place.row, bytes);
  };
  RandomStream random(4, "factors");
  std::vector<float> by_output;
  for (std::size_t i = 0; i < values.size(); ++i) {
    by_output.push_back(static_cast<float>(0.5 + random.uniform()));
  }
  for (std::size_t k = 0; k < static_cast<std::size_t>(vectors); ++k) {
    const std::size_t count = std::min(lanes, values.size() - k * lanes);
    const auto part = [&](const std::vector<float>& all) {
      return std::span<const float>(all).subspan(k * lanes, count);
    };
    lpu::write_vector(geometry, compiled.rows.values[k], Type::Float32, part(values), write);
    lpu::write_vector(geometry, compiled.back.by_output[k], Type::Float32, part(by_output), write);
  }
  lpu::write_vector(geometry, compiled.rows.factor, Type::Float32,
                    std::vector<float>(lanes, tensor_factor), write);
  EXPECT_EQ(machine.run().cycles, compiled.cycles);
  float factor = tensor_factor;
  if (per_token) {
    float amax = 0x1p-100F;
    for (const float v : values) amax = std::max(amax, std::fabs(v));
    factor = amax * (1.0F / c.largest);
  }
  for (const std::uint32_t bits : read(machine, compiled.rows.factor)) {
    ASSERT_EQ(bits, std::bit_cast<std::uint32_t>(factor));
  }
  const ElementType element = lpu::element_type(c.type);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint32_t code = encode_element(element, values[i] * special::recip(factor)) & 0xffU;
    ASSERT_EQ(read(machine, compiled.rows.codes[i / lanes])[i % lanes], code) << values[i];
    const float back = decode_element(element, code) * by_output[i] * factor;
    ASSERT_EQ(read(machine, compiled.back.values[i / lanes])[i % lanes],
              std::bit_cast<std::uint32_t>(back));
  }
  for (const auto& fault : lpu::verify(compiled.program, geometry, LatencyTable{})) {
    ADD_FAILURE() << lpu::format_violation(fault);
  }
}

std::vector<float> random_values(std::size_t count, double spread, RandomStream& random) {
  std::vector<float> values;
  for (std::size_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(spread * random.normal()));
  }
  return values;
}

TEST(LpuQuantise, ATokenGetsTheFactorOfItsLargestMagnitude) {
  // 127 / 127 = 1: int8 codes are the values, halves go to the even neighbour.
  const std::vector<float> values{-127.0F, 0.5F, 1.5F, 2.5F, -3.25F, 0.0F};
  expect_codes(narrow_geometry(1), values, cases[0], 0.0F);
}

TEST(LpuQuantise, AnyShapeAndTypeHasTheBitsOfTheReference) {
  RandomStream random(1, "quantise");
  for (const Case& c : cases) {
    for (int turn = 0; turn < 4; ++turn) {
      const lpu::Geometry geometry = narrow_geometry(static_cast<int>(random.integer(1, 5)));
      const auto count = static_cast<std::size_t>(random.integer(1, 300));
      expect_codes(geometry, random_values(count, 10, random), c, 0.0F);
      expect_codes(geometry, random_values(count, 10, random), c, 0.125F);
      if (HasFatalFailure()) return;
    }
    expect_codes(lpu_v1_geometry(), random_values(700, 1e-3, random), c, 0.0F);
    expect_codes(lp30_geometry(), random_values(330, 1e5, random), c, 0.0F);
  }
}

TEST(LpuQuantise, ZerosHaveAFiniteFactorAndValuesBeyondATensorsFactorSaturate) {
  for (const Case& c : cases) expect_codes(narrow_geometry(2), {0.0F, 0.0F, 0.0F}, c, 0.0F);
  // 1000 / 1 is beyond 127 and 448.
  expect_codes(narrow_geometry(2), {1000.0F, -1000.0F}, cases[0], 1.0F);
  expect_codes(narrow_geometry(2), {1000.0F, -1000.0F}, cases[1], 1.0F);
}

// Products with activations quantised as they come: int8 sums are exact, e4m3 sums are rounded once
// a tile.
void expect_product(const lpu::Geometry& geometry, int k, int n, const Case& c) {
  const auto product =
      lpu::compile_quantised_product(geometry, LatencyTable{}, "chip", {k, n, c.type});
  const auto lanes = static_cast<std::size_t>(geometry.lanes());
  const auto width = static_cast<std::size_t>(product.k_tiles) * lanes;
  RandomStream random(6, "product");
  const ElementType element = lpu::element_type(c.type);
  lpu::Machine machine(geometry, LatencyTable{}, true);
  machine.load(product.program, {});
  const lpu::RowWriter write = [&](const lpu::Place& place, std::span<const std::uint8_t> bytes) {
    machine.write_row(place.slice, place.bank, place.row, bytes);
  };
  std::vector<float> x = random_values(static_cast<std::size_t>(k), 3, random);
  x.resize(width);
  for (std::size_t v = 0; v < width; v += lanes) {
    lpu::write_vector(geometry, product.input.values[v / lanes], Type::Float32,
                      std::span<const float>(x).subspan(v, lanes), write);
  }
  float amax = 0;
  for (const float value : x) amax = std::max(amax, std::fabs(value));
  const float factor = amax * (1.0F / c.largest);
  std::vector<std::uint32_t> codes;
  for (const float value : x) {
    codes.push_back(encode_element(element, value * special::recip(factor)) & 0xffU);
  }
  std::vector<std::vector<std::uint32_t>> w;
  std::vector<float> factors;
  for (int row = 0; row < n; ++row) {
    std::vector<float> values;
    for (int i = 0; i < k; ++i) {
      values.push_back(static_cast<float>(random.integer(-100, 100)));
    }
    values.resize(width);
    w.emplace_back();
    for (const float value : values) w.back().push_back(encode_element(element, value) & 0xffU);
    factors.push_back(static_cast<float>(0.01 + random.uniform()));
    const auto column = static_cast<std::size_t>(row);
    for (int t = 0; t < product.k_tiles; ++t) {
      const auto& tile =
          product.weights[column / lanes * static_cast<std::size_t>(product.k_tiles) +
                          static_cast<std::size_t>(t)];
      lpu::write_vector(
          geometry, {tile.place(geometry, 0, static_cast<int>(column % lanes))}, c.type,
          std::span<const float>(values).subspan(static_cast<std::size_t>(t) * lanes, lanes),
          write);
    }
  }
  for (std::size_t v = 0; v < product.factors.size(); ++v) {
    const std::size_t count = std::min(lanes, factors.size() - v * lanes);
    lpu::write_vector(geometry, product.factors[v], Type::Float32,
                      std::span<const float>(factors).subspan(v * lanes, count), write);
  }
  EXPECT_EQ(machine.run().cycles, product.cycles);
  for (std::size_t row = 0; row < w.size(); ++row) {
    float sum = 0;
    for (std::size_t first = 0; first < width; first += lanes) {
      float tile =
          0;  // integers this small are exact in float, and so are e4m3 sums of a few lanes
      std::vector<std::uint8_t> a, b;
      for (std::size_t i = first; i < first + lanes; ++i) {
        a.push_back(static_cast<std::uint8_t>(codes[i]));
        b.push_back(static_cast<std::uint8_t>(w[row][i]));
        tile += decode_element(element, codes[i]) * decode_element(element, w[row][i]);
      }
      sum += c.type == Type::Int8 ? tile : dot_fp8_e4m3(a, b);
    }
    const float expected = (sum * factors[row]) * factor;
    ASSERT_EQ(read(machine, product.outputs[row / lanes])[row % lanes],
              std::bit_cast<std::uint32_t>(expected))
        << row;
  }
  for (const auto& fault : lpu::verify(product.program, geometry, LatencyTable{})) {
    ADD_FAILURE() << lpu::format_violation(fault);
  }
}

TEST(LpuQuantise, ProductsOfQuantisedTokensHaveTheBitsOfTheReference) {
  RandomStream random(2, "products");
  for (int turn = 0; turn < 3; ++turn) {
    for (const Case& c : {cases[0], cases[1]}) {
      const lpu::Geometry geometry = narrow_geometry(static_cast<int>(random.integer(1, 4)));
      expect_product(geometry, static_cast<int>(random.integer(1, 150)),
                     static_cast<int>(random.integer(1, 150)), c);
      if (HasFatalFailure()) return;
    }
  }
  expect_product(lpu_v1_geometry(), 400, 330, cases[0]);
  expect_product(lp30_geometry(), 330, 400, cases[1]);
  EXPECT_THROW(lpu::compile_quantised_product(narrow_geometry(1), LatencyTable{}, "chip",
                                              {4, 4, Type::Fp8E5m2}),
               ModelError);
}

TEST(LpuQuantise, OnlyOneByteTypesAreCodes) {
  EXPECT_THROW(
      lpu::compile_quantise(narrow_geometry(2), LatencyTable{}, "chip", 1, Type::Float16, true),
      ModelError);
}

}  // namespace
}  // namespace tandem::test
