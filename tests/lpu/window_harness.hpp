// Small networks with sliding windows.
#pragma once

#include "tests/lpu/mixture_harness.hpp"

namespace tandem::test {

/// Layers with a window and without in turn, the first with one.
inline NeuralNetwork with_windows(const DenseDecoder& decoder, std::int64_t window) {
  NeuralNetwork network = network_of(decoder);
  network.kinds.push_back(network.kinds.front());
  attention_of(network).shape.window = window;
  for (std::size_t l = 0; l < network.pattern.size(); ++l) {
    network.pattern[l] = static_cast<std::int32_t>(l % 2);
  }
  return network;
}

inline void add_sinks(NeuralNetwork& network) {
  for (LayerKind& kind : network.kinds) std::get<GroupedAttention>(kind.mixer).sinks = true;
}

}  // namespace tandem::test
