// Weights made from the tensors' names alone, so that goldens need no weight files.
// scripts/oracle.py makes the same numbers with code of its own.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "sim/lower/weights.hpp"

namespace tandem::test {

/// Centre and largest deviation of a tensor's values.
struct SeededSpread {
  double centre = 0;
  double width = 0;
};

inline SeededSpread seeded_spread(const TensorSpec& tensor, bool one_plus) {
  const std::string& name = tensor.name;
  const auto ends = [&](const char* suffix) { return name.ends_with(suffix); };
  if (ends("experts.gate_bias") || ends("experts.up_bias")) return {0, 8};  // beyond the clamp at 7
  if (ends("_bias")) return {0, 0.3};
  if (ends("norm")) {
    const bool is_plain = ends("delta.norm") || ends("router_norm") || ends("indexer.key_norm");
    return {one_plus && !is_plain ? 0.0 : 1.0, 0.3};
  }
  if (ends("experts.scale")) return {1, 0.3};
  if (tensor.role == TensorRole::Embedding || tensor.shape.size() == 1) return {0, 1.5};
  return {0, std::sqrt(3.0 / static_cast<double>(tensor.shape.back()))};
}

/// Number `index` (from 0) of the sequence of a name, in [-1, 1), a multiple of 2^-23: SplitMix64
/// (Steele, Lea and Flood, 2014) from the name's 64-bit FNV-1a hash.
inline double seeded_value(const std::string& name, std::uint64_t index) {
  std::uint64_t state = 0xcbf29ce484222325ULL;
  for (const char letter : name) {
    state = (state ^ static_cast<unsigned char>(letter)) * 0x100000001b3ULL;
  }
  std::uint64_t z = state + (index + 1) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  z ^= z >> 31;
  return std::ldexp(static_cast<double>(z >> 40), -23) - 1.0;
}

inline Weights seeded_weights(const NeuralNetwork& network) {
  Weights weights;
  weights.network = network;
  for (const TensorSpec& spec : tensors_of(network)) {
    const SeededSpread spread = seeded_spread(spec, network.norm.one_plus_weight);
    Tensor tensor(ElementType::Float32, spec.shape);
    std::uint64_t index = 0;
    for (float& value : tensor.floats()) {
      value = static_cast<float>(spread.centre + spread.width * seeded_value(spec.name, index++));
    }
    weights.tensors.emplace(spec.name, std::move(tensor));
  }
  return weights;
}

}  // namespace tandem::test
