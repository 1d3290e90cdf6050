// Formats of weights by layer and part: which products have them, and what is stored.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "sim/lower/kernel.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem {
namespace {

using formats::find_precision;
using formats::find_quant_format;

WeightOverride change_of(const char* format, std::optional<WeightPart> part) {
  WeightOverride change;
  change.part = part;
  change.weights = {ElementType::Bfloat16, &find_quant_format(format)};
  return change;
}

/// Precision names of the products of a prompt, by layer and role.
std::map<std::pair<std::int64_t, std::string>, std::string> products_of(
    const NeuralNetwork& network, const Precision& precision) {
  std::map<std::pair<std::int64_t, std::string>, std::string> products;
  for (const Kernel& kernel : lower(whole_model(network, precision), {{{0, 0, 8, true}}}).kernels) {
    const auto* gemm = std::get_if<GemmKernel>(&kernel.shape);
    const auto* grouped = std::get_if<GroupedGemmKernel>(&kernel.shape);
    if (gemm == nullptr && grouped == nullptr) continue;
    const formats::Precision* format = gemm != nullptr ? gemm->precision : grouped->precision;
    products[{kernel.layer, std::string(kernel.role)}] =
        format == nullptr ? "kept" : std::string(format->name);
  }
  return products;
}

TEST(WeightFormats, HoldForTheThreePartsOfLayers) {
  Precision precision;
  precision.weight_format = &find_quant_format("int4_g128");
  auto products = products_of(test::dsv3_tiny(), precision);
  EXPECT_EQ((products[{0, "latent_down_projection"}]), "int4_wo");
  EXPECT_EQ((products[{0, "down_projection"}]), "int4_wo");
  EXPECT_EQ((products[{1, "expert_down_projection"}]), "int4_wo");
  EXPECT_EQ((products[{1, "shared_down_projection"}]), "int4_wo");
  EXPECT_EQ((products[{1, "router_projection"}]), "kept");
  EXPECT_EQ((products[{-1, "lm_head"}]), "kept");
}

TEST(WeightFormats, OverridesNameLayersAndParts) {
  Precision precision;
  precision.weight_format = &find_quant_format("int4_g128");
  precision.overrides = {change_of("mxfp4", WeightPart::Experts),
                         change_of("int2_g32", std::nullopt),
                         change_of("int8_g128", WeightPart::Head)};
  precision.overrides[1].last_layer = 0;
  auto products = products_of(test::dsv3_tiny(), precision);
  EXPECT_EQ((products[{0, "latent_down_projection"}]), "int2_g32");
  EXPECT_EQ((products[{0, "down_projection"}]), "int2_g32");
  EXPECT_EQ((products[{1, "latent_down_projection"}]), "int4_wo");
  EXPECT_EQ((products[{1, "expert_down_projection"}]), "w4a16_mxfp4");
  EXPECT_EQ((products[{-1, "lm_head"}]), "int8_g128");
}

TEST(WeightFormats, RowsAreQuantisedOnlyWithAFormatOfTheirOwn) {
  Precision precision;
  precision.weight_format = &find_quant_format("int4_g128");
  const auto quantisations = [&] {
    std::int64_t count = 0;
    const Stage stage = whole_model(test::dsv3_tiny(), precision);
    for (const Kernel& kernel : lower(stage, {{{0, 0, 8, true}}}).kernels) {
      count += std::holds_alternative<QuantiseKernel>(kernel.shape) ? 1 : 0;
    }
    return count;
  };
  EXPECT_EQ(quantisations(), 0);
  precision.activation_format = &find_quant_format("fp8_channel");
  EXPECT_GT(quantisations(), 0);
  EXPECT_EQ((products_of(test::dsv3_tiny(), precision)[{0, "down_projection"}]),
            "int4_g128 x fp8_channel");
}

TEST(WeightFormats, BytesAreThoseOfCodesScalesAndKeptTensors) {
  const NeuralNetwork network = test::gptoss_tiny();
  Precision precision;
  precision.weight_format = &find_quant_format("mxfp4");
  std::int64_t expected = 0;
  for (const TensorSpec& tensor : tensors_of(network)) {
    const bool is_matrix = tensor.shape.size() > 1 && !tensor.name.ends_with("_bias");
    const bool has_format =
        is_matrix && (tensor.role == TensorRole::Mixing || tensor.role == TensorRole::Ffn ||
                      tensor.role == TensorRole::Expert);
    if (!has_format) {
      expected += 2 * tensor.elements();
      continue;
    }
    const std::int64_t columns = tensor.shape.back();
    const std::int64_t rows = tensor.elements() / columns;
    expected += rows * ((columns + 1) / 2 + (columns + 31) / 32);  // half a byte, a byte per 32
  }
  EXPECT_EQ(whole_model(network, precision).weight_bytes(), Bytes(expected));
}

/// By itself it is codes with scales, and tables and head are elements of the activations' type.
TEST(WeightFormats, BlocksOfFp8AloneCountTheirScales) {
  const NeuralNetwork network = test::dsv3_tiny();
  Precision alone;
  alone.weights = ElementType::Fp8E4m3;
  alone.block_scaled = true;
  Precision named;
  named.weight_format = &find_quant_format("fp8_block");
  EXPECT_EQ(whole_model(network, alone).weight_bytes(), whole_model(network, named).weight_bytes());
  EXPECT_GT(whole_model(network, alone).weight_bytes(),
            Bytes(whole_model(network, alone).weight_parameters()));
}

TEST(WeightFormats, StagesOfOtherFormatsHaveOtherKeys) {
  const NeuralNetwork network = test::gptoss_tiny();
  Precision precision;
  const auto key = [&] { return whole_model(network, precision).key(); };
  const std::uint64_t plain = key();
  precision.weight_format = &find_quant_format("mxfp4");
  const std::uint64_t weight_only = key();
  precision.activation_format = &find_quant_format("mxfp4");
  const std::uint64_t both = key();
  precision.overrides.push_back(change_of("nvfp4", WeightPart::Head));
  const std::uint64_t mixed = key();
  precision.overrides[0].part = WeightPart::Embedding;
  const std::set<std::uint64_t> all{plain, weight_only, both, mixed, key()};
  EXPECT_EQ(all.size(), 5U);
}

TEST(WeightFormats, ExpandedWeightsAreElementsThatWentThroughTheirFormat) {
  Precision precision;
  precision.weight_format = &find_quant_format("int4_g32");
  const Precision expanded = expanded_to(precision, ElementType::Float16);
  const Stage stage = whole_model(test::gptoss_tiny(), expanded);
  EXPECT_EQ(stage.weight_bytes(), Bytes(2 * stage.weight_parameters()));
  EXPECT_EQ((products_of(test::gptoss_tiny(), expanded)[{0, "output_projection"}]), "kept");
  EXPECT_EQ(expanded.values_of(WeightPart::Experts, 0).format, precision.weight_format);
}

}  // namespace
}  // namespace tandem
