// What must agree with what: operators by format of weights by kind of chip, with tolerances and
// refusals. Tests check every cell; docs/conformance.md is printed from the same cells.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/describe/precision.hpp"

namespace tandem::conformance {

/// An operator within a small network whose weights it takes.
struct Operator {
  std::string name;
  NeuralNetwork network;
  WeightPart part = WeightPart::Mixers;
  std::string role;        ///< of the GPU's kernel
  std::string tensor;      ///< first of those that make the kernel's matrix
  std::int64_t layer = 0;  ///< of the kernel; -1 outside of layers
};

/// The operators that multiply weights.
[[nodiscard]] std::vector<Operator> operators();

/// The formats that weights may be stored in.
[[nodiscard]] std::vector<const formats::QuantFormat*> weight_formats();
/// Those that rows may be quantised in; null: kept.
[[nodiscard]] std::vector<const formats::QuantFormat*> row_formats();

/// What a cell promises: numbers within `tolerance` of the reference, as a share of its largest
/// value (0: the same bits), or a refusal that says `refused`.
struct Promise {
  double tolerance = 0;
  std::string refused;
  bool operator==(const Promise&) const = default;
};

/// As the page has it: "bits", a tolerance, "refused".
[[nodiscard]] std::string text_of(const Promise& promise);

/// One product of a GPU kernel: quantised rows, or kept ones, against the format's own reference.
[[nodiscard]] Promise product_on_gpu(const formats::QuantFormat& weights,
                                     const formats::QuantFormat* rows);
/// A network on a GPU with the operator's weights in a format and kept rows in float32, against the
/// reference model with what the format leaves of them.
[[nodiscard]] Promise network_on_gpu(const Operator& op);
/// The same on an LPU that expands weights to float16 when they are loaded.
[[nodiscard]] Promise network_on_lpu(const Operator& op);
/// An LPU that is to hold codes.
[[nodiscard]] Promise codes_on_lpu();

/// Tolerances of element types.
[[nodiscard]] Promise elements_on_gpu(ElementType type);
[[nodiscard]] Promise elements_on_lpu(ElementType type);
[[nodiscard]] std::vector<ElementType> element_types();
/// A decoder of two dense layers.
[[nodiscard]] NeuralNetwork dense_network();

/// Networks whose caches take formats: heads of their own, latents, an indexer.
[[nodiscard]] std::vector<NeuralNetwork> cached_networks();
/// A cache in a format on a GPU: slots that came from another chip are the same bits, and so is
/// what follows from them.
[[nodiscard]] Promise cache_on_gpu(const formats::KvFormat& format, const NeuralNetwork& network);
[[nodiscard]] Promise cache_on_lpu();
/// The same of caches of plain elements.
[[nodiscard]] std::vector<ElementType> cache_elements();
[[nodiscard]] Promise cache_on_gpu(ElementType type, const NeuralNetwork& network);
[[nodiscard]] Promise cache_on_lpu(ElementType type, const NeuralNetwork& network);

/// docs/conformance.md.
[[nodiscard]] std::string page();

}  // namespace tandem::conformance
