// Does a meter that averages over a second read what a sum by hand gives?
#include "sim/entry/validation/power_meter.hpp"

#include <gtest/gtest.h>

namespace tandem::entry {
namespace {
using namespace literals;

Software software_with(std::initializer_list<std::pair<const char*, double>> values) {
  Software software;
  for (const auto& [key, value] : values) {
    Parameter parameter;
    parameter.value = value;
    software.parameters.set(key, parameter);
  }
  return software;
}

NamedRow row_of(const char* dtype, const char* tokens) {
  return {{"dtype", {dtype, {}}}, {"m", {tokens, {}}}, {"n", {"512", {}}}, {"k", {"512", {}}}};
}

double reading(double seconds) {
  return mean_reading(Watts(800), Watts(200), seconds).count();
}

TEST(PowerMeter, ALongRunAfterRestReadsHalfOfEach) {
  // Samples at 0 .. 1 s hold 0 .. 1 s of the run: (800 + 200) / 2. At 0 .. 0.5 s: a quarter.
  EXPECT_NEAR(reading(1), 500, 1e-9);
  EXPECT_NEAR(reading(0.5), 350, 1e-9);
  // Of 2 s the second one holds the run alone: (500 + 800) / 2.
  EXPECT_NEAR(reading(2), 650, 1e-9);
}

TEST(PowerMeter, RepeatsAreCountedByEagerRuns) {
  const Software software = software_with({{"meter_launch", 8e-6}, {"meter_module", 1e-4}});
  // 1 s / 1 ms = 1000 replays, which take 1.2 ms each once the clock has fallen.
  EXPECT_NEAR(run_seconds("gemm", 5, software, 1_ms, 1200_us), 1.2, 1e-9);
  // 0.3 s / 50 us would be 6000 replays, 3000 are 0.15 s.
  EXPECT_NEAR(run_seconds("gemm", 1, software, 50_us, 50_us), 0.15, 1e-9);
  // 20 launches take 160 us, in a module 2 ms: 1 s / 2 ms = 500 replays of 1 ms.
  EXPECT_NEAR(run_seconds("gemm", 20, software, 50_us, 50_us), 0.15, 1e-9);
  EXPECT_NEAR(run_seconds("mla_module_decode", 20, software, 1_ms, 1_ms), 0.5, 1e-9);
}

TEST(PowerMeter, RemembersHowTheCollectorPrepares) {
  const Software software = software_with(
      {{"meter_rests_modules", 1}, {"meter_rests_blocks", 1}, {"meter_fills_caches", 1}});
  const auto memory = [&](const char* op, const char* dtype) {
    return memory_before(op, row_of(dtype, "64"), software);
  };
  EXPECT_EQ(memory("mla_module_decode", ""), MeterMemory::Rest);
  EXPECT_EQ(memory("gemm", "nvfp4"), MeterMemory::Rest);
  EXPECT_EQ(memory("attention_decode", "bfloat16"), MeterMemory::Filling);
  EXPECT_EQ(memory("gemm", "bfloat16"), MeterMemory::Run);
  EXPECT_EQ(memory("moe", "fp8"), MeterMemory::Rest);
  EXPECT_EQ(memory("attention_prefill", "fp8"), MeterMemory::Run);
  EXPECT_EQ(memory_before("gemm", row_of("nvfp4", "64"), Software{}), MeterMemory::Run);
}

TEST(PowerMeter, TheFirstRowsOfNewWidthsFollowRest) {
  const Software descends = software_with({{"meter_descends", 1}});
  const auto memory = [&](const char* op, const char* dtype, const char* tokens) {
    return memory_before(op, row_of(dtype, tokens), descends);
  };
  EXPECT_EQ(memory("gemm", "bfloat16", "32768"), MeterMemory::Rest);
  EXPECT_EQ(memory("gemm", "bfloat16", "3584"), MeterMemory::Run);
  EXPECT_EQ(memory("gemm", "fp8", "32768"), MeterMemory::Run);
  EXPECT_EQ(memory("attention_prefill", "bfloat16", "32768"), MeterMemory::Run);
  EXPECT_EQ(memory_before("gemm", row_of("bfloat16", "32768"), Software{}), MeterMemory::Run);
}

TEST(PowerMeter, OtherRowsFollowAboutTwiceTheTokens) {
  const Software descends = software_with({{"meter_descends", 1}});
  const auto before = run_before("gemm", row_of("bfloat16", "64"), descends);
  ASSERT_TRUE(before);
  ASSERT_EQ(before->kernels.size(), 1u);
  EXPECT_EQ(std::get<GemmKernel>(before->kernels.front().shape).m, 128);
  const auto first = run_before("gemm", row_of("fp8", "32768"), descends);
  EXPECT_EQ(std::get<GemmKernel>(first->kernels.front().shape).m, 8);
  EXPECT_FALSE(run_before("gemm", row_of("bfloat16", "64"), Software{}));
  EXPECT_FALSE(run_before("attention_prefill", row_of("bfloat16", "64"), descends));
}

}  // namespace
}  // namespace tandem::entry
