// Several models on one system, on chips whose costs are worked out by hand (mix_scenario.hpp).
#include "sim/describe/mix.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/service/capacity.hpp"
#include "sim/service/service.hpp"
#include "tests/service/mix_scenario.hpp"

namespace tandem {
namespace {

using fakes::alone;
using fakes::mix;

constexpr double weak_ns = 17400, strong_ns = 34800;

RunResult serve_mix(const Scenario& s) {
  RunOptions options;
  options.exact = true;
  return run(s, fakes::catalogue(), fakes::network(), options);
}

/// Requests whose number, drawn from the stream in the order of arrival, is at least `bound`.
std::int64_t drawn_at_least(double bound, const char* stream, const Scenario& s) {
  RandomStream drawn(s.seed, stream);
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < s.traffic.requests; ++i) count += drawn.uniform() >= bound ? 1 : 0;
  return count;
}

std::int64_t computed(const RunResult& result, std::size_t deployment) {
  return static_cast<std::int64_t>(result.deployments[deployment].run.requests.size());
}

TEST(Mix, SharesSendEachRequestToOneModel) {
  const Scenario s = mix(RoutingPolicy::Share, 0.75);
  const RunResult result = serve_mix(s);
  const std::int64_t strong = drawn_at_least(0.75, "routing", s);
  EXPECT_GT(strong, 0);
  EXPECT_EQ(result.requests.size(), 200u);
  ASSERT_EQ(result.deployments.size(), 2u);
  EXPECT_EQ(computed(result, 1), strong);
  EXPECT_EQ(computed(result, 0), 200 - strong);
  EXPECT_EQ(result.deployments[0].answers, 200 - strong);
  EXPECT_EQ(result.deployments[1].answers, strong);
  EXPECT_EQ(result.output_tokens, 200 * 4);
  EXPECT_EQ(result.input_tokens, 200 * 32);
}

TEST(Mix, TimesWithoutContentionAreThoseOfEachModelAlone) {
  const RunResult result = serve_mix(mix(RoutingPolicy::Threshold, 0.6));
  const auto weak = static_cast<double>(computed(result, 0));
  const auto strong = static_cast<double>(computed(result, 1));
  EXPECT_NEAR(result.simulated_s * 1e9, weak * weak_ns + strong * strong_ns, 1e-3);
  EXPECT_NEAR(result.deployments[0].run.simulated_s * 1e9, weak * weak_ns, 1e-3);
  EXPECT_NEAR(result.deployments[1].run.simulated_s * 1e9, strong * strong_ns, 1e-3);
  for (const RequestRecord& record : result.requests) {
    const double own = record.deployment == "weak" ? weak_ns : strong_ns;
    EXPECT_DOUBLE_EQ(record.e2e_ms, own * 1e-6);
  }
}

TEST(Mix, ACascadePaysBothModelsAndItsLatencyHasBoth) {
  const Scenario s = mix(RoutingPolicy::Cascade, 0.7);
  const RunResult result = serve_mix(s);
  const std::int64_t strong = drawn_at_least(0.7, "difficulty", s);
  EXPECT_GT(strong, 0);
  EXPECT_EQ(computed(result, 0), 200);
  EXPECT_EQ(computed(result, 1), strong);
  EXPECT_EQ(result.deployments[0].answers, 200 - strong);
  for (const RequestRecord& record : result.requests) {
    const bool is_weak = record.deployment == "weak";
    EXPECT_DOUBLE_EQ(record.ttft_ms, (is_weak ? 5280 : weak_ns + 10560) * 1e-6);
    EXPECT_DOUBLE_EQ(record.tpot_ms, (is_weak ? 4040 : 8080) * 1e-6);
    EXPECT_DOUBLE_EQ(record.e2e_ms, (is_weak ? weak_ns : weak_ns + strong_ns) * 1e-6);
    // The fake floor is half of every step.
    EXPECT_DOUBLE_EQ(record.ttft_floor_ms, record.ttft_ms / 2);
  }
  // To the strong model a request comes when the weak one's answer is complete.
  for (const RequestRecord& record : result.deployments[1].run.requests) {
    EXPECT_DOUBLE_EQ(record.ttft_ms, 10560e-6);
    const RequestRecord& user = result.requests[static_cast<std::size_t>(record.id)];
    EXPECT_NEAR(record.arrival_s, user.arrival_s + weak_ns * 1e-9, 1e-15);
  }
}

TEST(Mix, AllModelsOfACascadeUpToTheAnswerComputeARequest) {
  Scenario s = mix(RoutingPolicy::Cascade, 0.5);
  s.deployments.push_back(s.deployments[0]);
  s.deployments.back().name = "strongest";
  s.routing.thresholds = {0.5, 0.8};
  s.traffic.concurrency = 8;
  const RunResult result = serve_mix(s);
  EXPECT_EQ(computed(result, 0), 200);
  EXPECT_EQ(computed(result, 1), drawn_at_least(0.5, "difficulty", s));
  EXPECT_EQ(computed(result, 2), drawn_at_least(0.8, "difficulty", s));
  std::int64_t answers = 0, output = 0;
  for (const DeploymentResult& own : result.deployments) {
    answers += own.answers;
    output += own.run.output_tokens;
    EXPECT_EQ(own.run.output_tokens, 4 * static_cast<std::int64_t>(own.run.requests.size()));
  }
  EXPECT_EQ(answers, 200);
  EXPECT_EQ(result.output_tokens, 800);
  EXPECT_GT(output, 800);
  EXPECT_EQ(result.steps, std::accumulate(result.pools.begin(), result.pools.end(), std::int64_t{0},
                                          [](std::int64_t sum, const PoolUse& pool) {
                                            return sum + pool.totals.steps;
                                          }));
}

TEST(Mix, ThresholdsAndCascadesSendTheSameRequestsOn) {
  const RunResult direct = serve_mix(mix(RoutingPolicy::Threshold, 0.6));
  const RunResult cascade = serve_mix(mix(RoutingPolicy::Cascade, 0.6));
  for (std::size_t i = 0; i < direct.requests.size(); ++i) {
    EXPECT_EQ(direct.requests[i].deployment, cascade.requests[i].deployment);
  }
}

TEST(Mix, ExpectedLoadsAreTheClosedForms) {
  const auto loads = [](RoutingPolicy policy) { return expected_loads(mix(policy, 0.7)); };
  for (const RoutingPolicy policy : {RoutingPolicy::Share, RoutingPolicy::Threshold}) {
    EXPECT_DOUBLE_EQ(loads(policy)[0], 0.7);
    EXPECT_NEAR(loads(policy)[1], 0.3, 1e-15);
  }
  EXPECT_DOUBLE_EQ(loads(RoutingPolicy::Cascade)[0], 1);
  EXPECT_NEAR(loads(RoutingPolicy::Cascade)[1], 0.3, 1e-15);
}

TEST(Mix, AModelThatGetsAllRequestsServesThemAsIfAlone) {
  Scenario s = mix(RoutingPolicy::Share, 1);
  s.traffic.concurrency = 16;
  s.traffic.length_spread = 0.5;
  const RunResult result = serve_mix(s);
  const RunResult single = serve_mix(alone(s, 0, s.traffic.requests));
  ASSERT_EQ(result.requests.size(), single.requests.size());
  for (std::size_t i = 0; i < single.requests.size(); ++i) {
    EXPECT_EQ(result.requests[i].e2e_ms, single.requests[i].e2e_ms);
    EXPECT_EQ(result.requests[i].ttft_ms, single.requests[i].ttft_ms);
  }
  EXPECT_EQ(result.simulated_s, single.simulated_s);
  EXPECT_EQ(result.pools[0].busy, single.pools[0].busy);
  EXPECT_EQ(computed(result, 1), 0);
  EXPECT_EQ(result.pools[1].busy, 0);
}

TEST(Mix, ModelsOverlapInTime) {
  // Two users, one on each model: neither slows the other down.
  Scenario s = mix(RoutingPolicy::Threshold, 0.5);
  s.traffic.concurrency = 2;
  const RunResult result = serve_mix(s);
  const double sum = result.deployments[0].run.simulated_s + result.deployments[1].run.simulated_s;
  EXPECT_LT(result.simulated_s, 0.95 * sum);
  EXPECT_GE(result.simulated_s, result.deployments[1].run.simulated_s);
}

TEST(Mix, EqualRunsGiveEqualRequests) {
  Scenario s = mix(RoutingPolicy::Cascade, 0.5);
  s.traffic.concurrency = 12;
  s.traffic.length_spread = 0.5;
  const RunResult first = serve_mix(s);
  const RunResult second = serve_mix(s);
  for (std::size_t i = 0; i < first.requests.size(); ++i) {
    EXPECT_EQ(first.requests[i].e2e_ms, second.requests[i].e2e_ms);
    EXPECT_EQ(first.requests[i].deployment, second.requests[i].deployment);
  }
  EXPECT_EQ(first.itl_ms, second.itl_ms);
}

TEST(Mix, CapacityCountsTheRequestsThatAllModelsHold) {
  // Eight sequences each; beyond twice as many users only wait.
  const Scenario s = mix(RoutingPolicy::Share, 0.5);
  ServiceModel model(s, fakes::catalogue(), fakes::network(), std::nullopt);
  const CapacityResult result = find_capacity(s, model, {});
  EXPECT_EQ(result.load, 2 * 16);
  EXPECT_EQ(result.limit, "max_sequences");
}

TEST(Mix, ModelsTakeTheirChipsInOrder) {
  Scenario s = mix(RoutingPolicy::Share, 0.5);
  s.deployments[0].placement.prefill.replicas = 3;
  s.deployments[0].placement.prefill.spares = 1;
  ServiceModel model(s, fakes::catalogue(), fakes::network(), std::nullopt);
  EXPECT_EQ(model.pool_named("weak").address(0, 0).index, 0);
  EXPECT_EQ(model.pool_named("strong").address(0, 0).index, 4);
}

TEST(Mix, ChipsThatAreTakenAreAnErrorOfTheLaterModel) {
  Scenario s = mix(RoutingPolicy::Share, 0.5);
  s.deployments[0].placement.prefill.replicas = 7;
  s.deployments[1].placement.prefill.replicas = 2;
  s.deployments[1].placement.prefill.place = {"mix.yaml", 9, 5};
  try {
    (void)serve_mix(s);
    FAIL() << "nine chips of eight";
  } catch (const ConfigError& error) {
    ASSERT_EQ(error.diagnostics().size(), 1u);
    EXPECT_EQ(error.diagnostics()[0].place.line, 9);
  }
}

/// Users who all begin at once, the first with the weak model and the second with the strong one.
void send_one_to_each(Scenario& s) {
  s.traffic.concurrency = 2;
  s.traffic.requests = 2;
  while (true) {
    RandomStream candidate(s.seed, "routing");
    const double first = candidate.uniform(), second = candidate.uniform();
    if (first < 0.5 && second >= 0.5) return;
    ++s.seed;
  }
}

/// Two users and two models, alike, whose prompts go from pool gpu to pool lpu.
Scenario two_transfers(KvTransferKind kind) {
  Scenario s = mix(RoutingPolicy::Share, 0.5);
  for (Deployment& deployment : s.deployments) {
    deployment.model = fakes::tiny(4);
    deployment.placement = fakes::split_scenario().placement;
    deployment.placement.kv_transfer = kind;
  }
  send_one_to_each(s);
  return s;
}

TEST(Mix, TransfersOfAllModelsShareTheLinks) {
  // Prompts of 32 tokens x 64 B: 2048 ns on the wire, which the second waits for.
  const RunResult result = serve_mix(two_transfers(KvTransferKind::Whole));
  ASSERT_EQ(result.requests.size(), 2u);
  EXPECT_EQ(result.requests[0].deployment, "weak");
  EXPECT_EQ(result.requests[1].deployment, "strong");
  EXPECT_DOUBLE_EQ(result.requests[0].ttft_ms, result.requests[1].ttft_ms);
  EXPECT_NEAR(result.requests[1].e2e_ms - result.requests[0].e2e_ms, 2048e-6, 1e-12);
  EXPECT_EQ(result.kv_transfers, 2);
  const std::int64_t both = result.links.at("wire").bytes.count();
  EXPECT_EQ(both, result.deployments[0].run.links.at("wire").bytes.count() +
                      result.deployments[1].run.links.at("wire").bytes.count());
  EXPECT_GE(both, 2 * 2048);
}

TEST(Mix, TransfersByLayersShareTheLinksToo) {
  const RunResult result = serve_mix(two_transfers(KvTransferKind::Layers));
  EXPECT_GT(result.requests[1].e2e_ms, result.requests[0].e2e_ms);
  EXPECT_EQ(result.kv_transfers, 2);
}

TEST(Tiers, AStepIsOnePassPerTier) {
  Scenario s = fakes::tiers(RoutingPolicy::Share, 0.5);
  send_one_to_each(s);
  const RunResult result = serve_mix(s);
  // Both prompts in one step, a pass each: 2 x 5280 ns; then three steps of 2 x 4040 ns.
  for (const RequestRecord& record : result.requests) {
    EXPECT_DOUBLE_EQ(record.ttft_ms, 10560e-6);
    EXPECT_DOUBLE_EQ(record.tpot_ms, 8080e-6);
    EXPECT_DOUBLE_EQ(record.ttft_floor_ms, 5280e-6);
  }
  EXPECT_EQ(result.requests[0].deployment, "weak");
  EXPECT_EQ(result.requests[1].deployment, "strong");
  EXPECT_EQ(result.steps, 8);
  EXPECT_EQ(result.itl_ms.size(), 6u);
  // One chip, whose time the tiers share evenly.
  ASSERT_EQ(result.pools.size(), 1u);
  EXPECT_EQ(result.pools[0].chips, 1);
  EXPECT_DOUBLE_EQ(result.pools[0].busy, 1);
  for (const DeploymentResult& own : result.deployments) {
    EXPECT_NEAR(own.run.simulated_s, result.simulated_s / 2, 1e-15);
    ASSERT_EQ(own.run.pools.size(), 1u);
    EXPECT_EQ(own.run.pools[0].name, own.name);
    EXPECT_EQ(own.run.pools[0].totals.steps, 4);
  }
}

TEST(Tiers, RequestsOfOneTierShareItsPass) {
  Scenario s = fakes::tiers(RoutingPolicy::Share, 1);
  s.traffic.concurrency = 2;
  s.traffic.requests = 2;
  const RunResult result = serve_mix(s);
  for (const RequestRecord& record : result.requests) EXPECT_DOUBLE_EQ(record.ttft_ms, 6560e-6);
}

TEST(Tiers, OnTheSameChipsHoldAllWeights) {
  Scenario s = fakes::tiers(RoutingPolicy::Share, 0.5);
  const auto weights = [&](std::size_t deployment) {
    const Deployment& own = s.deployments[deployment];
    return whole_model(own.model, own.placement.prefill.precision).weight_bytes().count();
  };
  ASSERT_LT(weights(1), weights(0));
  ServiceModel model(s, fakes::catalogue(), fakes::network(), std::nullopt);
  for (const char* name : {"weak", "strong"}) {
    EXPECT_EQ(model.pool_named(name).kv_room().tokens, (1000000 - weights(0) - weights(1)) / 64);
    EXPECT_EQ(model.pool_named(name).address(0, 0).index, 0);
  }
  fakes::set(s.system.chips["big"].parameters, "capacity",
             static_cast<double>(weights(0) + weights(1) + 64));
  EXPECT_THROW((void)serve_mix(s), ConfigError);
}

TEST(Tiers, OneAfterTheOtherTakeTheTimeOfEachAlone) {
  for (const RoutingPolicy policy : {RoutingPolicy::Threshold, RoutingPolicy::Cascade}) {
    const RunResult result = serve_mix(fakes::tiers(policy, 0.6));
    double sum = 0;
    for (std::size_t i = 0; i < 2; ++i) {
      const RunResult& own = result.deployments[i].run;
      EXPECT_NEAR(own.simulated_s * 1e9, weak_ns * static_cast<double>(computed(result, i)), 1e-3);
      sum += own.simulated_s;
    }
    EXPECT_NEAR(result.simulated_s, sum, 1e-12);
  }
}

TEST(Tiers, StandBesideTheModelsBehindThem) {
  Scenario s = fakes::tiers(RoutingPolicy::Share, 0.5);
  s.deployments.push_back(mix(RoutingPolicy::Share, 0.5).deployments[1]);
  s.deployments[1].share = 0.25;
  s.deployments[2].share = 0.25;
  s.deployments[2].name = "third";
  ServiceModel model(s, fakes::catalogue(), fakes::network(), std::nullopt);
  EXPECT_EQ(model.pool_named("third").address(0, 0).index, 1);
  const RunResult result = serve_mix(s);
  EXPECT_EQ(result.pools.size(), 2u);
  std::int64_t answers = 0;
  for (const DeploymentResult& own : result.deployments) answers += own.answers;
  EXPECT_EQ(answers, 200);
  EXPECT_EQ(result.deployments[2].name, "third");
  EXPECT_EQ(computed(result, 2), result.deployments[2].answers);
}

}  // namespace
}  // namespace tandem
