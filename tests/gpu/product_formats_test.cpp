// Products of weights in every format: what the GPU computes is what the format's own reference
// does, bit for bit, whole and cut among chips.
#include <gtest/gtest.h>

#include "models/gpu/execute/product_row.hpp"
#include "models/gpu/gpu_chip.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/numerics/formats/linear_quantised.hpp"
#include "tests/gpu/test_chips.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem::gpu {
namespace {

using formats::QuantFormat;

std::vector<float> row_of(std::int64_t width) {
  RandomStream random(5, "rows");
  std::vector<float> row;
  for (std::int64_t i = 0; i < width; ++i) {
    row.push_back(round_to(ElementType::Bfloat16, static_cast<float>(random.normal())));
  }
  return row;
}

class ProductFormats : public ::testing::Test {
 protected:
  [[nodiscard]] StageOnChip on_chip(const Precision& precision, const Shard& shard = {}) const {
    Stage stage = whole_model(network_, precision);
    stage.shard = shard;
    return {chip_, stage, network_, cut_weights(stage, weights_), {}, 16, {}, {}};
  }
  [[nodiscard]] formats::QuantisedTensor stored(const char* name, const QuantFormat& format) const {
    return quantised_matrices(weights_.at(name), format).front();
  }

  NeuralNetwork network_ = test::dense_tiny("formats", {1, 160, 40, 192});
  Weights weights_ = random_weights(network_, 3);
  GpuChip chip_{large_chip(), Software{}};
};

Precision in_formats(const QuantFormat& weights, const QuantFormat* rows) {
  Precision precision;
  precision.weight_format = &weights;
  precision.activation_format = rows;
  return precision;
}

/// Every format with every format that rows are quantised in.
TEST_F(ProductFormats, AreThoseOfTheReferenceBitForBit) {
  const std::vector<float> x = row_of(192);
  std::vector<float> expected(160);
  for (const QuantFormat& format : formats::quant_formats()) {
    for (const char* rows : {"", "fp8_channel", "fp8_group", "int8", "mxfp8", "mxfp4", "nvfp4"}) {
      const QuantFormat* input = *rows == 0 ? nullptr : &formats::find_quant_format(rows);
      if (input != nullptr && format.has_zero_point()) continue;  // refused by the reference
      const StageOnChip on = on_chip(in_formats(format, input));
      const WeightMatrix& down = on.weights.layers[0].at("down_projection");
      const ProductRow row(on, x, down);
      formats::linear_in_precision(stored("layers.0.ffn.down", format), x,
                                   formats::precision_of(format, input), expected);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        ASSERT_EQ(row.dot(static_cast<std::int64_t>(i)), expected[i])
            << format.name << " x " << rows << ", output " << i;
      }
    }
  }
}

/// Gate and up stand in one matrix, each with scales of its own.
TEST_F(ProductFormats, KeepTheScalesOfTensorsThatStandInOneMatrix) {
  const QuantFormat& fp8 = formats::find_quant_format("fp8");
  const QuantFormat& per_token = formats::find_quant_format("fp8_channel");
  const std::vector<float> x = row_of(160);
  for (float& value : weights_.tensors.at("layers.0.ffn.up").floats()) value *= 100;
  const StageOnChip on = on_chip(in_formats(fp8, &per_token));
  const ProductRow row(on, x, on.weights.layers[0].at("gate_up_projection"));
  std::vector<float> expected(192);
  formats::linear_quantised(stored("layers.0.ffn.up", fp8), x, per_token, expected);
  for (std::int64_t i = 0; i < 192; ++i) {
    ASSERT_EQ(row.dot(192 + i), expected[static_cast<std::size_t>(i)]) << i;
  }
}

/// 192 columns on two chips in groups of 128: the second chip begins inside the first group.
TEST_F(ProductFormats, CutColumnsKeepTheScalesOfTheWholeTensor) {
  const QuantFormat& format = formats::find_quant_format("int4_g128");
  const std::vector<float> x = row_of(96);
  Shard second;
  second.of.tensor = 2;
  second.rank = 1;
  const auto whole = stored("layers.0.ffn.down", format);
  for (const char* rows : {"", "int8"}) {
    const QuantFormat* input = *rows == 0 ? nullptr : &formats::find_quant_format(rows);
    const StageOnChip on = on_chip(in_formats(format, input), second);
    const ProductRow row(on, x, on.weights.layers[0].at("down_projection"));
    std::vector<float> token = x;
    if (input != nullptr) token = formats::quantise(x, 1, 96, *input).dequantise();
    std::vector<float> values(192);
    for (std::int64_t i = 0; i < 160; ++i) {
      whole.row(i, values);
      double sum = 0;
      for (std::size_t c = 0; c < 96; ++c) {
        sum += static_cast<double>(values[96 + c]) * static_cast<double>(token[c]);
      }
      ASSERT_NEAR(static_cast<double>(row.dot(i)), sum, 1e-6 * 10) << rows << " output " << i;
    }
  }
}

TEST_F(ProductFormats, TablesNormsAndHeadAreKeptUnlessNamed) {
  const QuantFormat& format = formats::find_quant_format("int2_g32");
  const Tensor& head = weights_.at("head");
  const StageOnChip kept = on_chip(in_formats(format, nullptr));
  EXPECT_EQ(kept.weights.outer.at("lm_head").values[7],
            round_to(ElementType::Bfloat16, head.load(7)));
  Precision named = in_formats(format, nullptr);
  WeightOverride change;
  change.part = WeightPart::Head;
  change.weights = {ElementType::Bfloat16, &format};
  named.overrides.push_back(change);
  const StageOnChip quantised = on_chip(named);
  EXPECT_EQ(quantised.weights.outer.at("lm_head").values[7],
            stored("head", format).dequantise()[7]);
  EXPECT_EQ(quantised.weights.outer.at("embedding").values[7],
            round_to(ElementType::Bfloat16, weights_.at("embedding").load(7)));
}

/// fp8 has a factor per matrix, as on the LPU: weights of any size keep their three bits.
TEST_F(ProductFormats, Fp8ElementsHaveAFactorPerMatrix) {
  for (float& value : weights_.tensors.at("layers.0.ffn.down").floats()) value *= 1e-4F;
  Precision precision;
  precision.weights = ElementType::Fp8E4m3;
  const StageOnChip on = on_chip(precision);
  const auto expected = stored("layers.0.ffn.down", formats::find_quant_format("fp8")).dequantise();
  EXPECT_EQ(on.weights.layers[0].at("down_projection").values, expected);
  EXPECT_EQ(on.weights.layers[0].at("ffn_norm").values[3],
            round_to(ElementType::Bfloat16, weights_.at("layers.0.ffn_norm").load(3)));
}

TEST_F(ProductFormats, WeightsExpandedWhenLoadedAreElements) {
  const QuantFormat& format = formats::find_quant_format("nvfp4");
  const StageOnChip on = on_chip(expanded_to(in_formats(format, nullptr), ElementType::Bfloat16));
  const auto codes = stored("layers.0.ffn.down", format).dequantise();
  EXPECT_EQ(on.weights.layers[0].at("down_projection").values[5],
            round_to(ElementType::Bfloat16, codes[5]));
}

/// Bytes of a pass are those of codes and scales, and no pair of formats is faster than its floor.
TEST_F(ProductFormats, PassesOfEveryPairReadStoredBytesAndRespectTheirFloor) {
  const Batch batch{{{0, 7, 1, true}}};
  const auto bytes_read = [&](const Precision& precision) {
    const Stage stage = whole_model(network_, chip_.executed(precision));
    const StageCost cost = chip_.simulate(stage, batch, nullptr);
    EXPECT_GE(cost.time, chip_.floor(stage, batch)) << formats_text(stage.precision);
    std::int64_t bytes = 0;
    for (const KernelCost& kernel : cost.kernels) bytes += kernel.work.weight_bytes.count();
    return bytes;
  };
  const std::int64_t plain = bytes_read({});
  std::int64_t elements = 0;
  for (const TensorSpec& tensor : tensors_of(network_)) {
    elements += part_of(tensor) == WeightPart::Mixers || part_of(tensor) == WeightPart::FeedForward
                    ? tensor.elements()
                    : 0;
  }
  for (const QuantFormat& format : formats::quant_formats()) {
    const double bits =
        16.0 - 8.0 * static_cast<double>(plain - bytes_read(in_formats(format, nullptr))) /
                   static_cast<double>(elements);
    EXPECT_GE(bits, format.bits_per_element() - 0.01) << format.name;
    EXPECT_LE(bits, format.bits_per_element() + 0.3)
        << format.name;  // rows of 160 in groups of 128
    for (const char* rows : {"fp8_channel", "fp8_group", "int8", "mxfp8", "mxfp4", "nvfp4"}) {
      if (format.has_zero_point()) continue;
      (void)bytes_read(in_formats(format, &formats::find_quant_format(rows)));
    }
  }
}

/// large_chip() has no pipe for 4 bits: rows are kept, weights widened.
TEST_F(ProductFormats, PairsWithoutAPipeAreWeightOnly) {
  const QuantFormat& nvfp4 = formats::find_quant_format("nvfp4");
  EXPECT_EQ(chip_.executed(in_formats(nvfp4, &nvfp4)), in_formats(nvfp4, nullptr));
  const QuantFormat& fp8 = formats::find_quant_format("fp8_channel");
  EXPECT_EQ(chip_.executed(in_formats(fp8, &fp8)), in_formats(fp8, &fp8));
}

}  // namespace
}  // namespace tandem::gpu
