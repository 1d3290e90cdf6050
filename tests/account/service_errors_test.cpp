// Errors of services: which line a run takes.
#include "sim/account/service_errors.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace tandem {
namespace {

RunResult run_on(const std::string& chip, const std::string& model) {
  RunResult result;
  result.fidelity = Fidelity::Cycle;
  PoolUse pool;
  pool.chip = chip;
  pool.model = model;
  result.pools = {pool};
  return result;
}

Scenario served_by(const std::string& engine) {
  Scenario scenario;
  scenario.software.name = engine;
  return scenario;
}

TEST(ServiceErrors, ThePageHasLinesOfEnginesAndOfChips) {
  for (const ServiceFigure figure :
       {ServiceFigure::Ttft, ServiceFigure::Tpot, ServiceFigure::Power, ServiceFigure::Energy}) {
    EXPECT_TRUE(std::ranges::any_of(service_errors(), [&](const ServiceError& error) {
      return error.figure == figure && error.factor.bias > 0 && error.factor.spread >= 1;
    }));
  }
}

TEST(ServiceErrors, ARunTakesTheLinesOfItsEngineAndItsChip) {
  const RunErrors errors = run_errors(served_by("vllm_2023"), run_on("h100_sxm", "gpu"));
  EXPECT_EQ(errors.tpot.bias, service_error("vllm_2023", ServiceFigure::Tpot).bias);
  EXPECT_EQ(errors.ttft.spread, service_error("vllm_2023", ServiceFigure::Ttft).spread);
  EXPECT_EQ(errors.power.bias, service_error("h100_sxm", ServiceFigure::Power).bias);
  EXPECT_NE(errors.tpot.bias, service_error("tensorrt_llm_2024", ServiceFigure::Tpot).bias);
}

TEST(ServiceErrors, VersionsTakeTheLineOfTheirEngine) {
  EXPECT_EQ(service_error("tensorrt_llm_1_0", ServiceFigure::Tpot).spread,
            service_error("tensorrt_llm", ServiceFigure::Tpot).spread);
  EXPECT_NE(service_error("tensorrt_llm_1_0", ServiceFigure::Tpot).spread,
            service_error("tensorrt_llm_2024", ServiceFigure::Tpot).spread);
}

TEST(ServiceErrors, EnginesWithoutMeasurementsTakeTheWidest) {
  double widest = 1;
  for (const ServiceError& error : service_errors()) {
    if (error.figure == ServiceFigure::Ttft) widest = std::max(widest, error.factor.spread);
  }
  EXPECT_EQ(service_error("of_my_own", ServiceFigure::Ttft).spread, widest);
  EXPECT_GT(widest, 1);
}

TEST(ServiceErrors, OfPoolsForPromptsAndTokensAreThoseOfWhatGpusDo) {
  RunResult result = run_on("h100_sxm", "gpu");
  result.pools[0].name = "prefill";
  result.pools.push_back(run_on("lp30", "lpu").pools[0]);
  result.pools[1].name = "decode";
  EXPECT_GT(run_errors(served_by("vllm"), result).ttft.spread, 1);
  EXPECT_EQ(run_errors(served_by("vllm"), result).tpot.spread, 1);
  std::swap(result.pools[0].name, result.pools[1].name);
  EXPECT_EQ(run_errors(served_by("vllm"), result).ttft.spread, 1);
  EXPECT_GT(run_errors(served_by("vllm"), result).tpot.spread, 1);
}

TEST(ServiceErrors, FloorsAndProgramsHaveNone) {
  RunResult result = run_on("h100_sxm", "gpu");
  result.fidelity = Fidelity::Analytical;
  EXPECT_EQ(run_errors(served_by("vllm"), result).ttft.spread, 1);
  EXPECT_EQ(run_errors(served_by("vllm"), run_on("lp30", "lpu")).ttft.spread, 1);
}

}  // namespace
}  // namespace tandem
