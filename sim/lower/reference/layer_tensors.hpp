// Access to the weights of one layer and its norms, as the blocks of the reference model need them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/lower/weights.hpp"
#include "sim/numerics/ops/arithmetic.hpp"

namespace tandem::reference {

[[nodiscard]] constexpr std::size_t size_of(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

/// Row `index` of consecutive rows of `width` elements.
template <class T>
[[nodiscard]] std::span<T> row_of(std::span<T> rows, std::int64_t index, std::int64_t width) {
  return rows.subspan(size_of(index * width), size_of(width));
}

/// The float32 tensors of one layer by the names of tensors_of(network, kind). Keeps a reference to
/// the weights.
class LayerTensors {
 public:
  /// `prefix` is "layers.3.", "mtp.0." or, for the network's own tensors, empty.
  LayerTensors(const Weights& weights, std::string prefix);
  /// Throws ModelError where there is no such tensor or it is not float32.
  [[nodiscard]] std::span<const float> at(std::string_view name) const;
  /// Empty where there is none.
  [[nodiscard]] std::span<const float> find(std::string_view name) const;

 private:
  const Weights& weights_;
  std::string prefix_;
};

/// A norm of hidden states with its weights: RMSNorm with w or 1 + w, or LayerNorm with a bias.
class HiddenNorm {
 public:
  HiddenNorm(const Norm& norm, const LayerTensors& tensors, const std::string& name);
  /// out = norm(x), rounded to the arithmetic's type; `out` may be `x`.
  void apply(std::span<const float> x, const ops::Arithmetic& arithmetic,
             std::span<float> out) const;

 private:
  Norm norm_;
  std::span<const float> weight_, bias_;
};

/// RMSNorm of every run of `width` elements, in place, rounded: of query and key heads, of latents.
/// Weights count as w or 1 + w as the network's own norms do.
void normalise_heads(const Norm& norm, std::span<const float> weight, std::int64_t width,
                     const ops::Arithmetic& arithmetic, std::span<float> values);

}  // namespace tandem::reference
