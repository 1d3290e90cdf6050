#include "models/gpu/stored_weights.hpp"

#include <algorithm>

#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {

StoredWeights::StoredWeights(const Weights& weights, const Precision& precision)
    : weights_(weights), precision_(with_scales(precision)) {
  for (TensorSpec& spec : tensors_of(weights.network)) specs_.emplace(spec.name, std::move(spec));
}

const StoredTensor& StoredWeights::at(const std::string& name) {
  const auto found = stored_.find(name);
  if (found != stored_.end()) return found->second;
  const auto spec = specs_.find(name);
  if (spec == specs_.end()) throw ModelError("gpu: no tensor '" + name + "'");
  return stored_.emplace(name, stored(spec->second)).first->second;
}

StoredTensor StoredWeights::stored(const TensorSpec& spec) const {
  const Tensor& tensor = weights_.at(spec.name);
  const WeightStorage storage = precision_.values_of(part_of(spec), layer_of(spec));
  StoredTensor result{tensor, storage.element, false, nullptr, {}};
  if (storage.format == nullptr) {
    for (float& value : result.values.floats()) value = round_to(storage.element, value);
    return result;
  }
  result.codes = quantised_matrices(tensor, *storage.format);
  auto next = result.values.floats().begin();
  for (const auto& matrix : result.codes) next = std::ranges::copy(matrix.dequantise(), next).out;
  if (precision_.is_expanded) {
    result.element = precision_.weights;
    for (float& value : result.values.floats()) value = round_to(result.element, value);
  }
  result.has_format = !precision_.is_expanded;
  result.input = result.has_format ? precision_.activation_format : nullptr;
  if (result.input == nullptr) result.codes.clear();
  return result;
}

}  // namespace tandem::gpu
