#include "sim/lower/weights.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"

namespace tandem {
namespace {

/// Centre and spread of a tensor's random values.
struct Spread {
  double centre = 0;
  double deviation = 0;
};

bool ends_with_bias(const std::string& name) {
  return name.ends_with("_bias") || name.ends_with(".bias");
}

Spread spread_of(const TensorSpec& tensor, const Norm& norm) {
  if (ends_with_bias(tensor.name)) return {0, 0.1};
  const bool is_plain_norm = tensor.name.ends_with("delta.norm");  // never 1 + w
  if (tensor.name.ends_with("norm")) {
    return {norm.one_plus_weight && !is_plain_norm ? 0.0 : 1.0, 0.1};
  }
  if (tensor.name.ends_with("experts.scale")) return {1, 0.1};
  if (tensor.role == TensorRole::Embedding || tensor.shape.size() == 1) return {0, 1};
  return {0, 1 / std::sqrt(static_cast<double>(tensor.shape.back()))};
}

}  // namespace

const Tensor& Weights::at(std::string_view name) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) {
    throw ModelError(fmt::format("weights of '{}' have no tensor '{}'", network.name, name));
  }
  return found->second;
}

const Tensor& Weights::layer(std::int64_t layer, std::string_view name) const {
  return at(fmt::format("layers.{}.{}", layer, name));
}

const Tensor& Weights::head() const {
  return at(network.tied_embeddings ? "embedding" : "head");
}

Weights random_weights(const NeuralNetwork& network, std::uint64_t seed) {
  Weights weights;
  weights.network = network;
  for (const TensorSpec& spec : tensors_of(network)) {
    RandomStream random(seed, spec.name);
    const Spread spread = spread_of(spec, network.norm);
    Tensor tensor(ElementType::Float32, spec.shape);
    for (float& value : tensor.floats()) {
      value = static_cast<float>(spread.centre + spread.deviation * random.normal());
    }
    weights.tensors.emplace(spec.name, std::move(tensor));
  }
  return weights;
}

Weights weights_of_module(const Weights& weights, std::int64_t module) {
  if (module < 0 || module >= weights.network.mtp.modules) {
    throw ModelError(fmt::format("'{}' has {} modules of multi-token prediction, not {}",
                                 weights.network.name, weights.network.mtp.modules, module + 1));
  }
  Weights own{module_of(weights.network), {}};
  const std::string prefix = fmt::format("mtp.{}.", module);
  for (const TensorSpec& spec : tensors_of(own.network)) {
    constexpr std::string_view layer = "layers.0.";
    const bool is_shared = spec.name == "embedding" || spec.name == "head";
    const bool is_in_layer = spec.name.starts_with(layer);
    const std::string name = is_in_layer ? spec.name.substr(layer.size()) : spec.name;
    own.tensors.emplace(spec.name, weights.at(is_shared ? name : prefix + name));
  }
  return own;
}

Weights weights_in_format(const Weights& weights, ElementType type) {
  Weights rounded{weights.network, {}};
  for (const auto& [name, tensor] : weights.tensors) {
    rounded.tensors.emplace(name, tensor.converted(type).converted(ElementType::Float32));
  }
  return rounded;
}

std::vector<formats::QuantisedTensor> quantised_matrices(const Tensor& tensor,
                                                         const formats::QuantFormat& format) {
  const std::size_t rank = tensor.shape().size();
  const std::int64_t columns = tensor.shape().back();
  const std::int64_t rows = rank < 2 ? 1 : tensor.dim(rank - 2);
  const auto size = static_cast<std::size_t>(rows * columns);
  std::vector<formats::QuantisedTensor> matrices;
  for (std::size_t first = 0; first < tensor.floats().size(); first += size) {
    matrices.push_back(
        formats::quantise(tensor.floats().subspan(first, size), rows, columns, format));
  }
  return matrices;
}

Weights weights_through_formats(const Weights& weights, const Precision& precision) {
  Weights result = weights;
  for (const TensorSpec& spec : tensors_of(weights.network)) {
    const WeightStorage stored = precision.values_of(part_of(spec), layer_of(spec));
    if (stored.format == nullptr) continue;
    Tensor& tensor = result.tensors.at(spec.name);
    auto next = tensor.floats().begin();
    for (const auto& matrix : quantised_matrices(weights.at(spec.name), *stored.format)) {
      next = std::ranges::copy(matrix.dequantise(), next).out;
    }
  }
  return result;
}

void check_weights(const Weights& weights) {
  std::size_t known = 0;
  for (const TensorSpec& spec : tensors_of(weights.network)) {
    const Tensor& tensor = weights.at(spec.name);
    ++known;
    if (tensor.shape() != spec.shape) {
      throw ModelError(fmt::format("weights of '{}': tensor '{}' is [{}], needs [{}]",
                                   weights.network.name, spec.name, fmt::join(tensor.shape(), ", "),
                                   fmt::join(spec.shape, ", ")));
    }
  }
  if (known == weights.tensors.size()) return;
  std::map<std::string, bool, std::less<>> expected;
  for (const TensorSpec& spec : tensors_of(weights.network)) expected.emplace(spec.name, true);
  for (const auto& [name, tensor] : weights.tensors) {
    if (!expected.contains(name)) {
      throw ModelError(
          fmt::format("weights of '{}' have an unknown tensor '{}'", weights.network.name, name));
    }
  }
}

}  // namespace tandem
