// The load search against systems whose capacity can be worked out.
#include "sim/service/capacity.hpp"

#include <gtest/gtest.h>

#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

using namespace literals;

CapacityResult search(const Scenario& s) {
  ServiceModel model(s, fakes::catalogue(), fakes::network(), std::nullopt);
  CapacityOptions options;
  options.curve = true;
  options.run.exact = true;
  return find_capacity(s, model, options);
}

TEST(Capacity, FindsTheLargestBatchWithinTheTokenTime) {
  // All users start together and stay in step, so n users decode in steps of
  // 4 x (1000 + 10 n) ns. Prompt of one token: also a step of n tokens. 4.2 us allows n = 5.
  Scenario s = fakes::scenario();
  s.traffic.prompt_tokens = 1;
  s.traffic.output_tokens = 100;
  s.traffic.requests = 1;
  s.slo.tpot_p99 = 4200_ns;
  const CapacityResult result = search(s);
  EXPECT_EQ(result.load, 5);
  EXPECT_EQ(result.load_unit, "users");
  EXPECT_EQ(result.limit, "tpot_p99");
  EXPECT_EQ(result.next.load, 6);
  EXPECT_NEAR(result.next.tpot_ms.p99, 4240e-6, 1e-9);
  EXPECT_EQ(result.bottleneck, "gpu: fake");
  ASSERT_EQ(result.curve.size(), 4u);  // 1, 2, 4, 5
  EXPECT_TRUE(result.curve.back().meets_slo);
}

TEST(Capacity, NoLoadHoldsWhenOneUserIsTooSlow) {
  Scenario s = fakes::scenario();
  s.slo.tpot_p99 = 4000_ns;  // one user needs 4040
  const CapacityResult result = search(s);
  EXPECT_EQ(result.load, 0);
  EXPECT_EQ(result.limit, "tpot_p99");
  EXPECT_TRUE(result.curve.empty());
}

TEST(Capacity, WithoutObjectivesTheSlotsLimit) {
  const CapacityResult result = search(fakes::scenario());  // 8 sequences, so up to 16 users
  EXPECT_EQ(result.load, 16);
  EXPECT_EQ(result.limit, "max_sequences");
}

}  // namespace
}  // namespace tandem
