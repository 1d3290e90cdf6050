#include "sim/lower/reference/layer_tensors.hpp"

#include <utility>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/layernorm.hpp"
#include "sim/numerics/ops/rmsnorm.hpp"

namespace tandem::reference {

LayerTensors::LayerTensors(const Weights& weights, std::string prefix)
    : weights_(weights), prefix_(std::move(prefix)) {}

std::span<const float> LayerTensors::at(std::string_view name) const {
  const Tensor& tensor = weights_.at(prefix_ + std::string(name));
  if (tensor.type() != ElementType::Float32) {
    throw ModelError("reference model: tensor '" + prefix_ + std::string(name) + "' is " +
                     std::string(name_of(tensor.type())) + ", needs float32");
  }
  return tensor.floats();
}

std::span<const float> LayerTensors::find(std::string_view name) const {
  const bool exists = weights_.tensors.contains(prefix_ + std::string(name));
  return exists ? at(name) : std::span<const float>();
}

HiddenNorm::HiddenNorm(const Norm& norm, const LayerTensors& tensors, const std::string& name)
    : norm_(norm), weight_(tensors.at(name)) {
  if (norm.kind == NormKind::Layer) bias_ = tensors.at(name + "_bias");
}

void HiddenNorm::apply(std::span<const float> x, const ops::Arithmetic& arithmetic,
                       std::span<float> out) const {
  const auto epsilon = static_cast<float>(norm_.epsilon);
  if (norm_.kind == NormKind::Layer) {
    ops::layernorm(x, weight_, bias_, epsilon, out);
  } else if (norm_.one_plus_weight) {
    ops::rmsnorm_one_plus(x, weight_, epsilon, out);
  } else {
    ops::rmsnorm(x, weight_, epsilon, out);
  }
  arithmetic.round(out);
}

void normalise_heads(const Norm& norm, std::span<const float> weight, std::int64_t width,
                     const ops::Arithmetic& arithmetic, std::span<float> values) {
  ops::rmsnorm_heads(values, width, weight, static_cast<float>(norm.epsilon), norm.one_plus_weight);
  arithmetic.round(values);
}

}  // namespace tandem::reference
