// What is computed: the shape of a dense Llama-family decoder. No hardware in here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace tandem {

/// Pairs rotated by RoPE: neighbours (2i, 2i+1) as in llama2.c, or halves (i, i + head_dim / 2).
enum class RopeLayout : std::uint8_t { Interleaved, HalfSplit };

/// Llama 3.1 frequency scaling (facts: wavelengths above original / low are divided by factor).
struct RopeScaling {
  double factor = 1;
  double low_frequency_factor = 1;
  double high_frequency_factor = 1;
  std::int64_t original_context = 0;
};

/// A dense decoder with grouped-query attention, RMSNorm and SwiGLU.
struct NeuralNetwork {
  std::string name;
  std::string source;  ///< where the numbers come from
  std::int64_t layers = 0;
  std::int64_t hidden = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t intermediate = 0;
  std::int64_t vocabulary = 0;
  std::int64_t max_context = 0;
  bool tied_embeddings = false;
  double norm_epsilon = 1e-5;
  double rope_theta = 10000;
  RopeLayout rope_layout = RopeLayout::HalfSplit;
  std::optional<RopeScaling> rope_scaling;

  [[nodiscard]] std::int64_t q_width() const { return heads * head_dim; }
  [[nodiscard]] std::int64_t kv_width() const { return kv_heads * head_dim; }
  /// Parameters of one decoder layer: projections, FFN and two norms.
  [[nodiscard]] std::int64_t layer_parameters() const {
    return hidden * (q_width() + 2 * kv_width()) + q_width() * hidden + 3 * hidden * intermediate +
           2 * hidden;
  }
  [[nodiscard]] std::int64_t embedding_parameters() const { return vocabulary * hidden; }
  [[nodiscard]] std::int64_t parameters() const {
    return layers * layer_parameters() + hidden +
           (tied_embeddings ? 1 : 2) * embedding_parameters();
  }
  /// K and V elements that one token leaves in one layer.
  [[nodiscard]] std::int64_t kv_elements_per_token_and_layer() const { return 2 * kv_width(); }
};

}  // namespace tandem
