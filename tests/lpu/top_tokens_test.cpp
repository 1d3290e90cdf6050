// The best k tokens of a head, against the logits of the reference sorted on the host.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/lpu/mixture_harness.hpp"

namespace tandem::test {
namespace {

using Ranking = std::vector<std::pair<std::int32_t, float>>;

// Best first, equal ones by index.
Ranking best_of(const std::vector<float>& logits, int count) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](std::int32_t a, std::int32_t b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  Ranking ranking;
  for (int i = 0; i < count; ++i) {
    const std::int32_t token = order[static_cast<std::size_t>(i)];
    ranking.emplace_back(token, logits[static_cast<std::size_t>(token)]);
  }
  return ranking;
}

lpu::CompiledStage with_top(const lpu::Geometry& geometry, const Stage& stage, int top) {
  lpu::PassShape pass;
  pass.top = top;
  return lpu::compile_stage(geometry, lpu::LatencyTable{}, "chip", stage, 1, 8, {}, pass);
}

void expect_ranking(const lpu::Geometry& geometry, const Weights& weights, ElementType type,
                    int top) {
  const Stage stage = tandem::whole_model(weights.network, precision_of(type, type));
  const lpu::CompiledStage compiled = with_top(geometry, stage, top);
  expect_verified(compiled, geometry);
  lpu::ChipHost host(geometry, lpu::LatencyTable{}, compiled, weights);
  LpuReference reference(weights, type, type, geometry.lanes());
  for (int position = 0; position < 2; ++position) {
    const lpu::TokenPlace place{0, position};
    const auto pass = host.run_tokens({&place, 1}, {embedding_row(weights, position)});
    const Ranking expected = best_of(reference.forward(position), top);
    ASSERT_EQ(pass.tokens.front().top, expected) << position;
    ASSERT_EQ(pass.tokens.front().best_token, expected.front().first);
    ASSERT_EQ(pass.run.cycles, compiled.cycles.at(1));
  }
}

// Seven vectors of logits of which the last is not full.
TEST(LpuTopTokens, AreThoseOfTheReferenceInItsOrder) {
  const NeuralNetwork network = network_of(small_network(1, 40, 4, 2, 8, 50, 200));
  const Weights weights = random_weights(network, 8);
  expect_ranking(narrow_geometry(2), weights, ElementType::Float16, 64);
  expect_ranking(narrow_geometry(2), weights, ElementType::Fp8E4m3, 5);
}

// Equal rows of the head give equal logits: in one lane of several vectors and in several lanes.
TEST(LpuTopTokens, TiesGoToTheLowerIndex) {
  const NeuralNetwork network = network_of(small_network(1, 40, 4, 2, 8, 50, 100));
  Weights weights = random_weights(network, 9);
  auto head = weights.tensors.at("head").floats();
  for (const std::ptrdiff_t row : {3, 35, 67, 68, 99}) {
    std::copy_n(head.begin() + 40, 40, head.begin() + row * 40);
  }
  expect_ranking(narrow_geometry(2), weights, ElementType::Float16, 64);
}

// A round sweeps all vectors of logits once and crosses the lanes twice.
TEST(LpuTopTokens, TakeEquallyLongEach) {
  const Stage stage = tandem::whole_model(network_of(small_network(1, 40, 4, 2, 8, 50, 1000)),
                                          precision_of(ElementType::Float16, ElementType::Float16));
  const auto cycles = [&](int top) {
    return with_top(narrow_geometry(2), stage, top).cycles.at(1);
  };
  const std::int64_t round = cycles(3) - cycles(2);
  // A round finds other ports taken than the one before: a few cycles more or less.
  const auto ten = static_cast<double>(cycles(12) - cycles(2));
  EXPECT_NEAR(ten / static_cast<double>(10 * round), 1.0, 0.01);
  RecordProperty("cycles of a round over 32 vectors", std::to_string(round));
  EXPECT_THROW(static_cast<void>(cycles(65)), ModelError);
}

}  // namespace
}  // namespace tandem::test
