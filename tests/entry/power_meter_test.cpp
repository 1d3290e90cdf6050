// Does a meter that averages over a second read what a sum by hand gives?
#include "sim/entry/validation/power_meter.hpp"

#include <gtest/gtest.h>

namespace tandem::entry {
namespace {
using namespace literals;

Software software_with(const char* key) {
  Software software;
  Parameter flag;
  flag.value = 1;
  software.parameters.set(key, flag);
  return software;
}

NamedRow row_of(const char* dtype, const char* tokens) {
  return {{"dtype", {dtype, {}}}, {"m", {tokens, {}}}};
}

TEST(PowerMeter, ALongRunAfterRestReadsHalfOfEach) {
  // Samples at 0 .. 1 s hold 0 .. 1 s of the run: (800 + 200) / 2.
  EXPECT_NEAR(reading_after_rest(Watts(800), Watts(200), 1_ms).count(), 500, 1e-9);
}

TEST(PowerMeter, BriefKernelsRunTooBrieflyToShow) {
  // 50 us: 0.3 s would be 6000 repeats, 3000 are 0.15 s; mean share 0.075: 60 + 185 W.
  EXPECT_NEAR(reading_after_rest(Watts(800), Watts(200), 50_us).count(), 245, 1e-9);
}

TEST(PowerMeter, RestsOnlyWhereTheCollectorPrepares) {
  const Software experts = software_with("meter_rests_experts");
  EXPECT_TRUE(rests_before("moe", row_of("fp8", "64"), experts));
  EXPECT_TRUE(rests_before("mla_module_decode", row_of("", "64"), experts));
  EXPECT_FALSE(rests_before("gemm", row_of("nvfp4", "64"), experts));
  EXPECT_TRUE(rests_before("gemm", row_of("nvfp4", "64"), software_with("meter_rests_blocks")));
  EXPECT_FALSE(rests_before("gemm", row_of("bfloat16", "64"), software_with("meter_rests_blocks")));
  EXPECT_TRUE(rests_before("attention_decode", row_of("bfloat16", "64"),
                           software_with("meter_rests_caches")));
  EXPECT_FALSE(rests_before("attention_prefill", row_of("fp8", "64"), Software{}));
}

TEST(PowerMeter, TheFirstRowOfEachGpuFollowsRest) {
  const Software descends = software_with("meter_descends");
  EXPECT_TRUE(rests_before("gemm", row_of("bfloat16", "32768"), descends));
  EXPECT_FALSE(rests_before("gemm", row_of("bfloat16", "3584"), descends));
  EXPECT_FALSE(rests_before("gemm", row_of("bfloat16", "32768"), Software{}));
  EXPECT_FALSE(rests_before("attention_prefill", row_of("bfloat16", "32768"), descends));
}

}  // namespace
}  // namespace tandem::entry
