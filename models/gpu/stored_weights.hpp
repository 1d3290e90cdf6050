// The tensors of a model as a GPU's memory holds them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sim/lower/weights.hpp"

namespace tandem::gpu {

/// A tensor as it is read back; where its products take quantised rows, its codes too.
struct StoredTensor {
  Tensor values;  ///< float32
  ElementType element = ElementType::Float32;
  bool has_format = false;
  const formats::QuantFormat* input = nullptr;  ///< of the rows that codes are multiplied with
  std::vector<formats::QuantisedTensor> codes;  ///< one matrix, or one per expert
};

/// All tensors of a model, each stored when it is first asked for. Keeps a reference to the
/// weights.
class StoredWeights {
 public:
  StoredWeights(const Weights& weights, const Precision& precision);
  [[nodiscard]] const StoredTensor& at(const std::string& name);
  [[nodiscard]] bool has(std::string_view name) const { return weights_.tensors.contains(name); }

 private:
  [[nodiscard]] StoredTensor stored(const TensorSpec& spec) const;

  const Weights& weights_;
  Precision precision_;
  std::map<std::string, TensorSpec> specs_;
  std::map<std::string, StoredTensor> stored_;
};

}  // namespace tandem::gpu
