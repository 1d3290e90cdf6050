// Is the floor the roofline of the work, and does the cache only take bytes away?
#include "sim/lower/floor.hpp"

#include <gtest/gtest.h>

#include "sim/core/diagnostics.hpp"
#include "tests/lower/networks.hpp"

namespace tandem {
namespace {

/// One byte and one thousand bfloat16 operations per picosecond.
Peaks round_peaks() {
  Peaks peaks;
  peaks.matrix = {{MatrixPipe::Bfloat16, FlopsPerSecond(1e15)},
                  {MatrixPipe::Fp8, FlopsPerSecond(2e15)}};
  peaks.memory = BytesPerSecond(1e12);
  peaks.cache = Bytes(1000);
  return peaks;
}

TEST(Floor, a_gemm_is_bound_by_the_longer_of_memory_and_products) {
  const Peaks peaks = round_peaks();
  // m 1: 2*100*100 = 20,000 operations = 20 ps; bytes 2*(10000 + 100 + 100) = 20,400 = 20,400 ps.
  const Kernel thin{"g", 0, ElementType::Bfloat16, GemmKernel{1, 100, 100}, {}};
  EXPECT_EQ(floor_of(thin, peaks, false), Picoseconds(20400));
  EXPECT_EQ(floor_of(thin, peaks, true), Picoseconds(19400));
  // 4096^3: 2^37 operations = 137,438,953 ps; bytes 3 * 2^25 = 100,663,296 ps.
  const Kernel cube{"g", 0, ElementType::Bfloat16, GemmKernel{4096, 4096, 4096}, {}};
  EXPECT_EQ(floor_of(cube, peaks, false), Picoseconds(137438953));
}

TEST(Floor, vector_and_special_rates_bound_when_given) {
  Peaks peaks = round_peaks();
  const Kernel act{"a", 0, ElementType::Bfloat16, ActivationKernel{10, 100}, {}};
  // 1000 elements: bytes 6000 -> 6000 ps; 2000 special at 1e11/s = 20,000 ps.
  EXPECT_EQ(floor_of(act, peaks, false), Picoseconds(6000));
  peaks.special = FlopsPerSecond(1e11);
  EXPECT_EQ(floor_of(act, peaks, false), Picoseconds(20000));
}

TEST(Floor, an_unknown_product_type_is_an_error) {
  const Kernel gemm{"g",
                    0,
                    ElementType::Float32,
                    GemmKernel{1, 1, 1, ElementType::Float32, ElementType::Float32},
                    {}};
  EXPECT_THROW((void)floor_of(gemm, round_peaks(), false), ModelError);
}

TEST(Floor, attention_takes_the_faster_of_its_two_types) {
  AttentionKernel shape{{{1000, 1000}},      8, 1, 128, 0, true, ElementType::Bfloat16,
                        ElementType::Fp8E4m3};
  // Pairs 500,500 x 4 x 8 x 128 = 2,050,048,000 operations at 2e15/s = 1,025,024 ps;
  // bytes: q and out 2*1000*8*128*2 = 4,096,000 -> without a memory rate only products are left.
  Peaks peaks = round_peaks();
  peaks.memory = BytesPerSecond(0);
  EXPECT_EQ(floor_of({"attention", 0, ElementType::Bfloat16, shape, {}}, peaks, false),
            Picoseconds(1025024));
}

TEST(Floor, a_decode_pass_of_llama_8b_streams_its_weights_and_old_kv) {
  // Weights 15,009,849,344 B (all but the embedding table); KV of 1023 earlier tokens x 131,072 B
  // = 134,086,656 B; one byte per picosecond.
  const KernelGraph graph = lower(whole_model(test::llama_8b(), {}), {{{1, 1023, 1, true}}});
  const Peaks peaks = round_peaks();
  EXPECT_EQ(floor_of(graph, peaks, false), Picoseconds(15'143'936'000));
  EXPECT_EQ(floor_of(graph, peaks, true), Picoseconds(15'143'935'000));
}

TEST(Floor, a_pass_is_never_bound_above_the_sum_of_its_kernels) {
  const KernelGraph graph = lower(whole_model(test::llama_8b(), {}), {{{1, 0, 512, true}}});
  const Peaks peaks = round_peaks();
  Picoseconds sum;
  for (const Kernel& kernel : graph.kernels) sum += floor_of(kernel, peaks, false);
  EXPECT_LE(floor_of(graph, peaks, false), sum);
}

}  // namespace
}  // namespace tandem
