// The weights of a network as float tensors by name.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sim/describe/precision.hpp"
#include "sim/describe/tensors.hpp"
#include "sim/numerics/formats/quantised_tensor.hpp"
#include "sim/numerics/tensor.hpp"

namespace tandem {

/// A network with the values of its tensors; names and shapes as tensors_of(network) lists them.
struct Weights {
  NeuralNetwork network;
  std::map<std::string, Tensor, std::less<>> tensors;

  /// Throws ModelError that names the tensor where there is none.
  [[nodiscard]] const Tensor& at(std::string_view name) const;
  /// A tensor of a layer: at("layers.<layer>.<name>").
  [[nodiscard]] const Tensor& layer(std::int64_t layer, std::string_view name) const;
  /// "head", or "embedding" where the two are tied.
  [[nodiscard]] const Tensor& head() const;
};

/// Seeded values for every tensor, one named stream each: matrices normal with variance 1 / in,
/// norms around what leaves values unchanged, gates and biases small. Same seed, same bits on every
/// host.
[[nodiscard]] Weights random_weights(const NeuralNetwork& network, std::uint64_t seed);

/// Module `module` of multi-token prediction as a network by itself (module_of()), with the model's
/// embedding and head. Throws ModelError for a module that the network does not have.
[[nodiscard]] Weights weights_of_module(const Weights& weights, std::int64_t module);

/// The same values rounded to a format and kept as float32: what a model computes with whose
/// operands are of that format.
[[nodiscard]] Weights weights_in_format(const Weights& weights, ElementType type);

/// The matrices of a tensor [rows, columns] or [matrices, rows, columns], each stored by itself.
[[nodiscard]] std::vector<formats::QuantisedTensor> quantised_matrices(
    const Tensor& tensor, const formats::QuantFormat& format);

/// The same values after tensors that have a format were stored in it and read back, in float.
[[nodiscard]] Weights weights_through_formats(const Weights& weights, const Precision& precision);

/// Throws ModelError that names the first tensor that is missing, unknown or of another shape.
void check_weights(const Weights& weights);

}  // namespace tandem
