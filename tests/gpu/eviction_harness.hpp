// Small networks whose caches are evicted, and texts through them on a GPU.
#pragma once

#include <cstdint>
#include <vector>

#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/loaded_stage.hpp"
#include "sim/lower/weights.hpp"
#include "tests/gpu/test_chips.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem::gpu {

constexpr Eviction streaming(std::int64_t tokens, std::int64_t sinks) {
  return {EvictionPolicy::StreamingLlm, tokens, sinks};
}
constexpr Eviction heavy(std::int64_t tokens) {
  return {EvictionPolicy::HeavyHitters, tokens, 0};
}

/// `layers` layers of one mixer before dense blocks.
inline NeuralNetwork evicted_network(const Mixer& mixer, std::int64_t layers) {
  FeedForward dense;
  dense.intermediate = 96;
  return test::tiny_network_of("evicted", 64, 60, {{mixer, dense, false}},
                               std::vector<std::int32_t>(static_cast<std::size_t>(layers), 0));
}

inline GroupedAttention grouped_mixer(std::int64_t window = 0) {
  GroupedAttention a = test::tiny_attention(4, 2, 16);
  a.rope = test::tiny_rope(10000, 16);
  a.shape.window = window;
  return a;
}

inline std::vector<std::int32_t> evicted_text(std::int64_t tokens) {
  std::vector<std::int32_t> text;
  for (std::int64_t i = 0; i < tokens; ++i) {
    text.push_back(static_cast<std::int32_t>((i * i * 11 + 3) % 60));
  }
  return text;
}

/// Passes of `per_pass` tokens of a text, as drafts are verified (`in_round`) or as a prompt.
struct TextPasses {
  std::int64_t per_pass = 1;
  bool in_round = false;
  CtaOrder order = CtaOrder::Canonical;
};

/// Logits behind every pass.
inline std::vector<Tensor> logits_of_passes(const NeuralNetwork& network, const Eviction& eviction,
                                            const std::vector<std::int32_t>& text,
                                            const TextPasses& passes = {}) {
  const GpuChip chip(large_chip(), Software{});
  Stage stage =
      whole_model(network, {ElementType::Float32, ElementType::Float32, ElementType::Float32});
  stage.eviction = eviction;
  const auto tokens = static_cast<std::int64_t>(text.size());
  const auto loaded = load_on_gpu(chip, stage, random_weights(network, 5), tokens, passes.order);
  std::vector<Tensor> logits;
  for (std::int64_t at = 0; at < tokens; at += passes.per_pass) {
    StageData in, out;
    in.tokens.assign(text.begin() + at, text.begin() + at + passes.per_pass);
    (void)loaded->run({{{0, at, passes.per_pass, true, 0, 0, passes.in_round}}}, in, out);
    logits.push_back(out.logits);
  }
  return logits;
}

/// Largest difference as a share of the largest value.
inline double share_of_largest(const Tensor& found, const Tensor& expected) {
  double worst = 0, largest = 1e-30;
  for (std::int64_t i = 0; i < expected.elements(); ++i) {
    const auto value = static_cast<double>(expected.load(i));
    worst = std::max(worst, std::abs(static_cast<double>(found.load(i)) - value));
    largest = std::max(largest, std::abs(value));
  }
  return worst / largest;
}

}  // namespace tandem::gpu
