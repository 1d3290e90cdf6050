// Weights with scales by block: rows are quantised before every product of weights, and only there.
#include <gtest/gtest.h>

#include "sim/lower/kernel.hpp"
#include "sim/numerics/formats/quant_format.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem {
namespace {

struct Products {
  std::int64_t quantisations = 0, scaled = 0;
  std::vector<std::string_view> plain;
};

Products products_of(const NeuralNetwork& network, bool block_scaled) {
  Precision precision;
  precision.weights = ElementType::Fp8E4m3;
  precision.block_scaled = block_scaled;
  const KernelGraph graph = lower(whole_model(network, precision), {{{0, 0, 8, true}}});
  Products products;
  for (const Kernel& kernel : graph.kernels) {
    const auto* gemm = std::get_if<GemmKernel>(&kernel.shape);
    const auto* grouped = std::get_if<GroupedGemmKernel>(&kernel.shape);
    products.quantisations += std::holds_alternative<QuantiseKernel>(kernel.shape) ? 1 : 0;
    if (gemm == nullptr && grouped == nullptr) continue;
    const formats::Precision* format = gemm != nullptr ? gemm->precision : grouped->precision;
    if (format == nullptr) {
      products.plain.push_back(kernel.role);
    } else {
      EXPECT_EQ(format, &formats::find_precision("fp8_block"));
      ++products.scaled;
    }
  }
  return products;
}

TEST(BlockScaledWeights, QuantiseTheRowsOfEveryProductButRouterAndHead) {
  const NeuralNetwork network = test::dsv3_tiny();
  const std::int64_t layers = network.layers();
  std::int64_t routed = 0;
  for (std::int64_t i = 0; i < layers; ++i) routed += network.layer(i).ffn.experts ? 1 : 0;
  ASSERT_GT(routed, 0);
  ASSERT_LT(routed, layers);
  const Products products = products_of(network, true);
  // Latent attention in prefill: down, query up, keys and values up, output. Dense blocks: up,
  // down. Routed ones: what is sent, and both products of the shared expert.
  EXPECT_EQ(products.quantisations, 4 * layers + 2 * (layers - routed) + 3 * routed);
  // Routed blocks: two products of experts, two of the shared one.
  EXPECT_EQ(products.scaled, 4 * layers + 2 * (layers - routed) + 4 * routed);
  for (const std::string_view role : products.plain) {
    EXPECT_TRUE(role == "router_projection" || role == "lm_head") << role;
  }
  EXPECT_EQ(static_cast<std::int64_t>(products.plain.size()), routed + 1);
}

TEST(BlockScaledWeights, AreNotAssumedForFp8) {
  const Products products = products_of(test::dsv3_tiny(), false);
  EXPECT_EQ(products.quantisations, 0);
  EXPECT_EQ(products.scaled, 0);
}

}  // namespace
}  // namespace tandem
