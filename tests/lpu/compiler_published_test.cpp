// Products whose cycles are published or follow from a published form: C4 (ISCA 2022, figure 13)
// and C5 (ISCA 2022, figure 14), both in fp16 on LPU v1. A pair of planes multiplies 160 rows by
// 320 columns of a tile per cycle; two pairs work side by side.
#include <gtest/gtest.h>

#include "models/lpu/compiler/gemm.hpp"
#include "tests/lpu/compiler_harness.hpp"

namespace tandem::test {
namespace {

using lpu::GemmShape;
using lpu::LatencyTable;
using lpu::Type;

std::int64_t cycles_of(const GemmShape& shape) {
  return lpu::compile_gemm(lpu_v1_geometry(), LatencyTable{}, "lpu_v1", shape).cycles;
}

void report(const char* name, std::int64_t cycles, std::int64_t closed_form) {
  const double ratio = double(cycles) / double(closed_form);
  ::testing::Test::RecordProperty(name, std::to_string(ratio));
  std::printf("%s: %lld cycles, %.3f of the closed form\n", name, static_cast<long long>(cycles),
              ratio);
}

// 2304 x 4096 x 1376: ceil(4096/160) * ceil(1376/320) / 2 * 2304 = 26 * 5 / 2 * 2304 = 149,760.
// The operands of 2304 rows do not fit the slices next to the vector unit, so rows go in two
// halves. The fifth column of tiles would leave a pair idle: both hemispheres hold it, each for
// half of the rows, so that it is a product of 1152 rows and two columns of tiles
// (compiler_gemm_test checks such a product's bits). 4 columns: 2 * (26 * 2 * 1152) = 119,808; the
// fifth: 26 * 1152 = 29,952. Peak is 102,400 products per cycle; published is "at least 80 %".
TEST(LpuPublished, ProductOfIsca2022Figure13) {
  const std::int64_t closed_form = 149'760;
  const std::int64_t cycles = 2 * cycles_of({1152, 4096, 1280, Type::Float16}) +
                              cycles_of({1152, 4096, 640, Type::Float16});
  report("C4", cycles, closed_form);
  EXPECT_GT(cycles, closed_form);
  EXPECT_LT(double(cycles), 1.06 * double(closed_form));
  EXPECT_GE(2304.0 * 4096 * 1376 / 102'400 / double(cycles), 0.80);
}

// 800 x 32576 x 1024 on each of eight chips: ceil(32576/160) * 4 / 2 * 800 = 204 * 2 * 800 =
// 326,400 cycles, 363 us at 900 MHz; about 330 us were measured. Rows of 102 vectors fill the
// slices next to the vector unit, so they go in three parts of 267, 267 and 266; weights stay.
TEST(LpuPublished, ProductOnEachOfEightChips) {
  const std::int64_t closed_form = 326'400;
  const std::int64_t cycles = 2 * cycles_of({267, 32576, 1024, Type::Float16}) +
                              cycles_of({266, 32576, 1024, Type::Float16});
  report("C5", cycles, closed_form);
  EXPECT_GT(cycles, closed_form);
  EXPECT_LT(double(cycles), 1.06 * double(closed_form));
}

}  // namespace
}  // namespace tandem::test
