#include "sim/config/check_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "sim/describe/tensors.hpp"

namespace tandem::config {
namespace {

constexpr double most_elements = 1e15;  // of all weights, or of one sequence's cache and state

/// Elements of tensors, as a real number: sizes within their limits can overflow an integer.
double elements_of(const std::vector<TensorSpec>& tensors) {
  double total = 0;
  for (const TensorSpec& tensor : tensors) {
    double elements = 1;
    for (const std::int64_t extent : tensor.shape) elements *= static_cast<double>(extent);
    total += elements;
  }
  return total;
}

/// Elements of K, V, indexer keys and states that a sequence of max_context tokens has in a layer.
double sequence_elements(const NeuralNetwork& network, const LayerKind& kind) {
  if (const auto* delta = std::get_if<GatedDelta>(&kind.mixer)) {
    const ops::GatedDeltaShape& shape = delta->shape;
    return static_cast<double>(shape.state_elements()) +
           static_cast<double>(shape.conv_taps) * static_cast<double>(shape.conv_channels());
  }
  const std::int64_t window = cache_window(kind);
  const std::int64_t tokens =
      window > 0 ? std::min(window, network.max_context) : network.max_context;
  return static_cast<double>(tokens) *
         static_cast<double>(kv_elements_per_token(kind) + index_elements_per_token(kind));
}

}  // namespace

void check_size(const NeuralNetwork& network, const MapReader& reader) {
  if (network.kinds.empty()) return;
  std::vector<double> layers(network.kinds.size());
  for (const std::int32_t kind : network.pattern) ++layers[static_cast<std::size_t>(kind)];
  const double tables = static_cast<double>(network.vocabulary) * 2 +
                        (network.learned_positions ? static_cast<double>(network.max_context) : 0);
  double parameters = tables * static_cast<double>(network.hidden);
  double sequence = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    parameters += layers[i] * elements_of(tensors_of(network, network.kinds[i]));
    sequence += layers[i] * sequence_elements(network, network.kinds[i]);
  }
  if (network.mtp.modules > 0) {
    parameters +=
        static_cast<double>(network.mtp.modules) * elements_of(tensors_of_mtp_module(network));
  }
  if (parameters > most_elements) {
    reader.report("layers",
                  fmt::format("the model has {:.1e} parameters, more than the {:.0e} that are "
                              "supported; make 'layers', 'hidden' or its parts smaller",
                              parameters, most_elements));
  }
  if (sequence > most_elements) {
    reader.report("layers",
                  fmt::format("the cache of one sequence of 'max_context' tokens has {:.1e} "
                              "elements, more than the {:.0e} that are supported; make 'layers', "
                              "'max_context' or the heads smaller",
                              sequence, most_elements));
  }
}

}  // namespace tandem::config
