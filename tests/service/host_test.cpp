// What the host adds to passes and requests, worked out by hand.
#include <gtest/gtest.h>

#include "sim/service/host_clock.hpp"
#include "sim/service/service.hpp"
#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

using fakes::scenario;

RunResult serve_with(Scenario s, const std::map<std::string, double>& software) {
  for (const auto& [name, value] : software) fakes::set(s.software.parameters, name, value);
  RunOptions options;
  options.exact = true;
  return run(s, fakes::catalogue(), fakes::network(), options);
}

TEST(Host, TimeOfAStepAndItsSequencesAddsToEveryPass) {
  // Prefill 5280 ns, three further tokens of 4040 ns; the host takes 1000 + 1 x 500 ns for each.
  const RunResult result =
      serve_with(scenario(), {{"step_overhead", 1e-6}, {"sequence_overhead", 0.5e-6}});
  EXPECT_DOUBLE_EQ(result.requests[0].ttft_ms, 6780e-6);
  EXPECT_DOUBLE_EQ(result.requests[0].tpot_ms, 5540e-6);
}

TEST(Host, BesideChipsOnlyWhatIsLongerThanThePassBeforeCounts) {
  // The first pass waits for the host: chips were idle. Later ones are prepared beside 5280 and
  // 4040 ns: 1500 ns are hidden.
  const RunResult hidden = serve_with(
      scenario(),
      {{"step_overhead", 1e-6}, {"sequence_overhead", 0.5e-6}, {"host_beside_chips", 1}});
  EXPECT_DOUBLE_EQ(hidden.requests[0].ttft_ms, 6780e-6);
  EXPECT_DOUBLE_EQ(hidden.requests[0].tpot_ms, 4040e-6);
  // 5000 ns are behind the prefill, but 960 ns longer than the decodes before the other two.
  const RunResult longer =
      serve_with(scenario(), {{"step_overhead", 5e-6}, {"host_beside_chips", 1}});
  EXPECT_DOUBLE_EQ(longer.requests[0].ttft_ms, 10280e-6);
  EXPECT_DOUBLE_EQ(longer.requests[0].e2e_ms - longer.requests[0].ttft_ms,
                   (4040 + 4040 + 960 + 4040 + 960) * 1e-6);
}

TEST(Host, LaunchesByThemselvesBoundStepsThatTakeLessTime) {
  // Four kernels of 1200 ns of the host: longer than a decode of 4040 ns, hidden behind a prefill
  // of 5280 ns. Time of the step is on top of both.
  const RunResult eager =
      serve_with(scenario(), {{"eager_launch", 1.2e-6}, {"step_overhead", 1e-6}});
  EXPECT_DOUBLE_EQ(eager.requests[0].ttft_ms, 6280e-6);
  EXPECT_DOUBLE_EQ(eager.requests[0].tpot_ms, 5800e-6);
}

TEST(Host, StepsWithPromptsMayBeLaunchedByThemselvesAlone) {
  // Graphs hold decodes of 4040 ns; the prompt waits for 4 x 1500 ns of launches.
  const RunResult result = serve_with(scenario(), {{"eager_prompt_launch", 1.5e-6}});
  EXPECT_DOUBLE_EQ(result.requests[0].ttft_ms, 6000e-6);
  EXPECT_DOUBLE_EQ(result.requests[0].tpot_ms, 4040e-6);
}

TEST(Host, EachFurtherChipOfAStageAddsToAStep) {
  const HostTime alone = host_time(scenario(), 1);
  Scenario s = scenario();
  fakes::set(s.software.parameters, "step_overhead", 1e-6);
  fakes::set(s.software.parameters, "rank_overhead", 0.5e-6);
  EXPECT_EQ(alone.step.count(), 0);
  EXPECT_EQ(host_time(s, 1).step.count(), 1'000'000);
  EXPECT_EQ(host_time(s, 4).step.count(), 2'500'000);
}

TEST(Host, FasterHostsTakeLessTime) {
  Scenario s = scenario();
  fakes::set(s.system.parameters, "host_speed", 2);
  // Half of 3000 + 1000 ns, and four launches of 1200.
  const RunResult result = serve_with(
      s, {{"step_overhead", 3e-6}, {"sequence_overhead", 1e-6}, {"eager_launch", 2.4e-6}});
  EXPECT_DOUBLE_EQ(result.requests[0].tpot_ms, (2000 + 4800) * 1e-6);
}

// Two tokens behind a prompt: passes of 5280, 4040 and 4040 ns, each longer or shorter by a tenth
// at most and by a share of its own.
TEST(Perturbation, ScalesEachPassWithinItsShare) {
  Scenario s = scenario();
  s.traffic.output_tokens = 3;
  const auto gaps_with = [&](double share, std::uint64_t seed) {
    RunOptions options;
    options.exact = true;
    options.perturbation = share;
    options.seed = seed;
    const RunResult result = run(s, fakes::catalogue(), fakes::network(), options);
    return std::vector<double>{result.requests[0].ttft_ms / 5280e-6, result.itl_ms.at(0) / 4040e-6,
                               result.itl_ms.at(1) / 4040e-6};
  };
  const std::vector<double> exact = gaps_with(0, 1), one = gaps_with(0.1, 1);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    EXPECT_NEAR(exact[i], 1, 1e-9);
    EXPECT_NE(one[i], exact[i]);
    EXPECT_NEAR(one[i], 1, 0.1);
  }
  EXPECT_NE(one[1], one[2]);
  EXPECT_EQ(gaps_with(0.1, 1), one);
  EXPECT_NE(gaps_with(0.1, 2), one);
}

TEST(Host, FrontEndDelaysEachRequestByItsOwnTime) {
  // 1000 + 100 x 32 ns in front of a prefill of 5280 ns.
  const RunResult result =
      serve_with(scenario(), {{"request_overhead", 1e-6}, {"prompt_token_overhead", 0.1e-6}});
  EXPECT_DOUBLE_EQ(result.requests[0].ttft_ms, 9480e-6);
  // Two at once do not wait for each other: 64 tokens in one step of 6560 ns.
  Scenario two = scenario();
  two.traffic.requests = two.traffic.concurrency = 2;
  const RunResult both = serve_with(two, {{"request_overhead", 1e-6}});
  for (const RequestRecord& request : both.requests) {
    EXPECT_DOUBLE_EQ(request.ttft_ms, 7560e-6);
  }
}

}  // namespace
}  // namespace tandem
