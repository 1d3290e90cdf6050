// Do weights made here have the network's tensors, and the values that they should?
#include "sim/lower/weights.hpp"

#include <gtest/gtest.h>

#include "tests/lower/seeded_weights.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem {
namespace {

TEST(RandomWeights, have_the_networks_tensors_and_depend_on_the_seed_alone) {
  for (const NeuralNetwork& network : test::tiny_networks()) {
    const Weights weights = random_weights(network, 7);
    EXPECT_NO_THROW(check_weights(weights)) << network.name;
    EXPECT_EQ(random_weights(network, 7).tensors, weights.tensors);
    EXPECT_NE(random_weights(network, 8).at("embedding"), weights.at("embedding"));
  }
}

TEST(WeightsInFormat, hold_values_of_the_format_as_float32) {
  const Weights weights = test::seeded_weights(test::gptoss_tiny());
  const Weights rounded = weights_in_format(weights, ElementType::Bfloat16);
  const Tensor& query = rounded.layer(0, "attention.query");
  EXPECT_EQ(query.type(), ElementType::Float32);
  for (std::int64_t i = 0; i < query.elements(); ++i) {
    ASSERT_EQ(query.load(i),
              round_to(ElementType::Bfloat16, weights.layer(0, "attention.query").load(i)));
  }
}

}  // namespace
}  // namespace tandem
