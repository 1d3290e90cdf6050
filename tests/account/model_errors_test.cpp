// How validated errors and ranges of software constants reach the times of a run.
#include "sim/account/model_errors.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace tandem {
namespace {

const FamilyError& line_of(const std::string& family, const std::string& chip) {
  const auto& all = family_errors();
  const auto found = std::find_if(all.begin(), all.end(), [&](const FamilyError& error) {
    return error.family == family && error.chip == chip;
  });
  EXPECT_NE(found, all.end()) << family << " " << chip;
  return *found;
}

/// One pool whose passes are products for 80 % of their time and attention for 20 %; gaps of 10 ms,
/// first tokens after 100 ms, prompts of 1000 tokens, 4 sequences in a pass.
RunResult run_on(const std::string& chip) {
  RunResult result;
  result.fidelity = Fidelity::Cycle;
  PoolUse pool;
  pool.name = pool.pool = "gpu";
  pool.chip = chip;
  pool.model = "gpu";
  pool.formats = "bfloat16";
  pool.totals.part_seconds = {{"qkv_projection", 3}, {"lm_head", 1}, {"attention", 1}, {"wait", 7}};
  result.pools = {pool};
  RequestRecord request;
  request.prompt = 1000;
  request.output = 40;
  request.ttft_ms = 100;
  request.tpot_ms = 10;
  result.requests = {request};
  result.output_tokens = 40;
  result.steps = 10;
  return result;
}

const TimeError& of_cause(const std::vector<TimeError>& errors, const std::string& cause) {
  const auto found = std::find_if(errors.begin(), errors.end(),
                                  [&](const TimeError& error) { return error.cause == cause; });
  EXPECT_NE(found, errors.end()) << cause;
  return *found;
}

Scenario with_step_overhead() {
  Scenario scenario;
  Parameter step;
  step.value = 2e-3;
  step.low = 1e-3;
  step.high = 4e-3;
  scenario.software.parameters.set("step_overhead", step);
  return scenario;
}

TEST(ModelErrors, OfAFamilyAreWeighedByItsShareOfThePasses) {
  const FamilyError& gemm = line_of("GEMM bf16", "h100_sxm");
  const auto errors = time_errors(Scenario{}, run_on("h100_sxm"));
  ASSERT_EQ(errors.size(), 2u);
  const TimeError& products = of_cause(errors, "GEMM bf16");
  const double spread = 0.8 * (gemm.p90 - std::abs(gemm.bias));
  EXPECT_NEAR(products.shift_decode, -0.8 * gemm.bias, 1e-12);
  EXPECT_NEAR(products.decode.low, -spread, 1e-12);
  EXPECT_NEAR(products.decode.high, spread, 1e-12);
  EXPECT_NEAR(products.prefill.high, spread, 1e-12);
}

TEST(ModelErrors, ChipsWithoutMeasurementsTakeTheWidest) {
  double widest = 0;
  for (const FamilyError& error : family_errors()) {
    if (error.family == std::string("GEMM bf16")) widest = std::max(widest, error.p90);
  }
  const auto errors = time_errors(Scenario{}, run_on("mi300x"));
  const TimeError& products = of_cause(errors, "GEMM bf16");
  EXPECT_NEAR(products.decode.high + std::abs(products.shift_decode), 0.8 * widest, 1e-12);
}

TEST(ModelErrors, SoftwareConstantsAddTheirTimeAndKernelsErrInTheRest) {
  const auto errors = time_errors(with_step_overhead(), run_on("h100_sxm"));
  const TimeError& step = of_cause(errors, "software.step_overhead");
  // 2 ms of gaps of 10 ms; 1 ms less or 2 ms more.
  EXPECT_NEAR(step.decode.low, -0.1, 1e-12);
  EXPECT_NEAR(step.decode.high, 0.2, 1e-12);
  EXPECT_NEAR(step.prefill.high, 0.02, 1e-12);
  const FamilyError& gemm = line_of("GEMM bf16", "h100_sxm");
  EXPECT_NEAR(of_cause(errors, "GEMM bf16").shift_decode, -0.8 * 0.8 * gemm.bias, 1e-12);
}

TEST(ModelErrors, FloorsAndProgramsHaveNone) {
  RunResult result = run_on("h100_sxm");
  result.fidelity = Fidelity::Analytical;
  EXPECT_TRUE(time_errors(with_step_overhead(), result).empty());
  result = run_on("lp30");
  result.pools.front().model = "lpu";
  EXPECT_TRUE(time_errors(Scenario{}, result).empty());
  EXPECT_TRUE(time_errors(with_step_overhead(), result).empty()) << "they wait for no engine";
}

TEST(ModelErrors, PartsHaveTheFamilyThatWasMeasured) {
  EXPECT_EQ(family_of("gate_up_projection", "fp8 weights"), "GEMM fp8 / int8");
  EXPECT_EQ(family_of("gate_up_projection", "nvfp4 weights"), "GEMM fp8_block / nvfp4");
  EXPECT_EQ(family_of("expert_down_projection", "bfloat16"), "MoE");
  EXPECT_EQ(family_of("latent_attention", "bfloat16"), "MLA decode");
  EXPECT_EQ(family_of("exchange attention_reduce", "bfloat16"), "all-reduce in a graph");
  EXPECT_EQ(family_of("exchange dispatch", "bfloat16"), "low-latency expert exchange");
  EXPECT_EQ(family_of("wait", "bfloat16"), "");
}

}  // namespace
}  // namespace tandem
