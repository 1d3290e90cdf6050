// Every cell of the table: the promised numbers, or the promised refusal.
#include <gtest/gtest.h>

#include "models/gpu/execute/product_row.hpp"
#include "models/gpu/gpu_chip.hpp"
#include "models/lpu/lpu_chip.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/entry/context.hpp"
#include "sim/numerics/formats/linear_quantised.hpp"
#include "tests/conformance/runs.hpp"
#include "tests/conformance/table.hpp"
#include "tests/gpu/test_chips.hpp"
#include "tests/lpu/chip_harness.hpp"
#include "tests/lpu/compiler_harness.hpp"

namespace tandem::conformance {
namespace {

using formats::QuantFormat;

Precision with_part(ElementType type, WeightPart part, const QuantFormat& format) {
  Precision precision{type, type, type};
  WeightOverride change;
  change.part = part;
  change.weights = {type, &format};
  precision.overrides.push_back(change);
  return precision;
}

/// Weights of the model that an operator's network is, or is a module of.
Weights whole_weights(const Operator& op) {
  for (const Operator& other : operators()) {
    if (op.network.name == other.network.name + " module") return random_weights(other.network, 4);
  }
  return random_weights(op.network, 4);
}

Weights weights_of(const Operator& op, const Weights& whole) {
  return op.network.joins_hidden ? weights_of_module(whole, 0) : whole;
}

class Conformance : public ::testing::Test {
 protected:
  gpu::GpuChip gpu_{gpu::large_chip(), Software{}};
  std::unique_ptr<ChipModel> lpu_ =
      lpu::make_lpu_chip(test::chip_of(test::narrow_geometry(4)), Software{});
};

TEST_F(Conformance, ProductsOfGpusHaveTheBitsOfTheirFormats) {
  for (const Operator& op : operators()) {
    const Weights weights = weights_of(op, whole_weights(op));
    const Tensor& tensor = weights.at(op.tensor);
    std::vector<float> x(static_cast<std::size_t>(tensor.shape().back()));
    RandomStream random(2, "row");
    for (float& value : x) {
      value = round_to(ElementType::Bfloat16, static_cast<float>(random.normal()));
    }
    for (const QuantFormat* format : weight_formats()) {
      for (const QuantFormat* rows : row_formats()) {
        if (!product_on_gpu(*format, rows).refused.empty()) continue;
        Precision precision = with_part(ElementType::Bfloat16, op.part, *format);
        precision.activation_format = rows;
        const Stage stage = whole_model(op.network, precision);
        const gpu::StageOnChip on{gpu_, stage, op.network, gpu::cut_weights(stage, weights),
                                  {},   16,    {},         {}};
        const auto& roles =
            op.layer < 0 ? on.weights.outer : on.weights.layers[static_cast<std::size_t>(op.layer)];
        const gpu::WeightMatrix& matrix = roles.at(op.role);
        const gpu::ProductRow row(on, x, matrix);
        const auto stored = quantised_matrices(tensor, *format).front();
        std::vector<float> expected(static_cast<std::size_t>(stored.rows()));
        formats::linear_in_precision(stored, x, formats::precision_of(*format, rows), expected);
        for (std::int64_t i = 0; i < stored.rows(); ++i) {
          ASSERT_EQ(row.dot(i), expected[static_cast<std::size_t>(i)])
              << op.name << ", " << format->name << " x " << (rows ? rows->name : "kept");
        }
      }
    }
  }
}

TEST_F(Conformance, PairsWithoutAPipeAreRefusedWhenRead) {
  const entry::Context context = entry::make_context();
  for (const QuantFormat* format : weight_formats()) {
    for (const QuantFormat* rows : row_formats()) {
      if (rows == nullptr) continue;
      const Promise promise = product_on_gpu(*format, rows);
      const std::string pair = std::string(format->name) + " x " + std::string(rows->name);
      expect_promise(promise, pair, [&] {
        (void)context.loader.scenario(
            "llama8b_gpu",
            entry::parse_overrides({"placement.precision.weights=" + std::string(format->name),
                                    "placement.precision.activations=" + std::string(rows->name)}));
      });
    }
  }
}

TEST_F(Conformance, NetworksOnGpusAreThoseOfTheReference) {
  for (const Operator& op : operators()) {
    const Weights whole = whole_weights(op);
    const Weights weights = weights_of(op, whole);
    for (const QuantFormat* format : weight_formats()) {
      const Precision precision = with_part(ElementType::Float32, op.part, *format);
      const std::string what = op.name + ", " + std::string(format->name);
      expect_promise(network_on_gpu(op), what, [&] {
        const auto expected =
            run_reference(weights_through_formats(whole, precision), op.network.joins_hidden);
        const auto found = run_on(gpu_, whole_model(op.network, precision), weights);
        EXPECT_LE(distance(found, expected), network_on_gpu(op).tolerance);
      });
    }
  }
}

TEST_F(Conformance, NetworksOnLpusAreThoseOfTheReference) {
  for (const Operator& op : operators()) {
    const Weights whole = whole_weights(op);
    const Weights weights = weights_of(op, whole);
    for (const QuantFormat* format : weight_formats()) {
      const Precision precision = with_part(ElementType::Float16, op.part, *format);
      const Precision expanded = expanded_to(precision, ElementType::Float16);
      const std::string what = op.name + ", " + std::string(format->name);
      expect_promise(network_on_lpu(op), what, [&] {
        const auto expected =
            run_reference(weights_through_formats(whole, precision), op.network.joins_hidden);
        const Stage stage = whole_model(op.network, lpu_->executed(expanded));
        EXPECT_LE(distance(run_on(*lpu_, stage, weights), expected), network_on_lpu(op).tolerance);
      });
      expect_promise(codes_on_lpu(), what, [&] { (void)lpu_->executed(precision); });
    }
  }
}

/// A token behind a prompt whose slots came from another chip, against the chip that made them.
void expect_to_go_on_elsewhere(const ChipModel& chip, const NeuralNetwork& network,
                               const Precision& precision) {
  const Weights weights = random_weights(network, 6);
  const auto load = [&] {
    return chip.load(whole_model(network, precision), weights, 1, positions);
  };
  const auto run = [&](LoadedStage& stage, std::int64_t context, std::int64_t tokens) {
    StageData in, out;
    for (std::int64_t i = 0; i < tokens; ++i) in.tokens.push_back(token_at(network, context + i));
    (void)stage.run({{{0, context, tokens, true}}}, in, out);
    return out.logits;
  };
  const auto here = load();
  const auto there = load();
  (void)run(*here, 0, 5);
  there->import_kv(0, here->export_kv(0));
  EXPECT_EQ(there->export_kv(0), here->export_kv(0));
  EXPECT_EQ(run(*there, 5, 1), run(*here, 5, 1));
}

// Rows are cast to the weights' type, so that is what results name.
TEST_F(Conformance, ProgramsOfLpusSayWhatTheyMultiply) {
  for (const ElementType asked : {ElementType::Float16, ElementType::Bfloat16}) {
    const Precision own = lpu_->executed({ElementType::Fp8E4m3, ElementType::Float16, asked});
    EXPECT_EQ(own.activations, ElementType::Fp8E4m3);
    EXPECT_EQ(own.kv_cache, ElementType::Float16);
  }
}

TEST_F(Conformance, CachesInFormatsGoOnElsewhere) {
  for (const NeuralNetwork& network : cached_networks()) {
    for (const formats::KvFormat& format : formats::kv_formats()) {
      Precision precision{ElementType::Float32, ElementType::Float32, ElementType::Float32};
      precision.kv_format = &format;
      const std::string what = network.name + ", " + std::string(format.name);
      expect_promise(cache_on_gpu(format, network), what,
                     [&] { expect_to_go_on_elsewhere(gpu_, network, precision); });
      expect_promise(cache_on_lpu(), what, [&] { (void)lpu_->executed(precision); });
    }
  }
}

TEST_F(Conformance, CachesOfElementsGoOnElsewhere) {
  for (const NeuralNetwork& network : cached_networks()) {
    for (const ElementType type : cache_elements()) {
      const std::string what = network.name + ", " + std::string(name_of(type));
      expect_promise(cache_on_gpu(type, network), what + ", GPU", [&] {
        expect_to_go_on_elsewhere(gpu_, network,
                                  {ElementType::Float32, type, ElementType::Float32});
      });
      expect_promise(cache_on_lpu(type, network), what + ", LPU", [&] {
        expect_to_go_on_elsewhere(*lpu_, network,
                                  {ElementType::Float16, type, ElementType::Float16});
      });
    }
  }
}

// Keys after rotation and values, each element rounded by itself.
TEST_F(Conformance, CachesOfElementsHoldTheRoundedCache) {
  const NeuralNetwork network = dense_network();
  const Weights weights = random_weights(network, 6);
  const auto cache_of = [&](ElementType type) {
    const Precision precision{ElementType::Float32, type, ElementType::Float32};
    const auto loaded = gpu_.load(whole_model(network, precision), weights, 1, positions);
    StageData in, out;
    in.tokens = {token_at(network, 0)};
    (void)loaded->run({{{0, 0, 1, true}}}, in, out);
    return loaded->export_kv(0).of_layers(0, 1);  // what follows hangs on what was rounded
  };
  const KvBlock exact = cache_of(ElementType::Float32);
  for (const ElementType type : cache_elements()) {
    EXPECT_EQ(cache_of(type), exact.converted(type)) << name_of(type);
  }
}

}  // namespace
}  // namespace tandem::conformance
