// Which operators there are, which small networks run them, and how near to the reference model
// chips come with these in every element type. Tests check every cell; docs/conformance.md is
// printed from the same cells.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/lower/kernel.hpp"
#include "tests/conformance/table.hpp"

namespace tandem::conformance {

/// What a kernel computes: its kind, and what sets it apart from others of its kind.
[[nodiscard]] std::vector<std::string> operators_of(const Kernel& kernel);

/// Operators of a stage's passes: a prompt, a chunk behind it, single tokens and both at once.
[[nodiscard]] std::vector<std::string> operators_of(const Stage& stage);

/// Kinds that no pass has: rows of measured kernels alone.
[[nodiscard]] std::vector<std::string> measured_alone();

/// Networks that together run every operator, each on both kinds of chip.
[[nodiscard]] std::vector<NeuralNetwork> operator_networks();

/// How near a network's logits come to the reference's in an element type, or why not.
[[nodiscard]] Promise network_on_gpu(const NeuralNetwork& network, ElementType type);
[[nodiscard]] Promise network_on_lpu(const NeuralNetwork& network, ElementType type);

/// One byte for weights and rows of products, and for caches or two. Tolerance 0: the bits of a
/// reference that rounds and adds where programs of LPUs do; else a distance from the reference
/// model with what the format leaves of the weights.
[[nodiscard]] Promise network_in_fp8_on_lpu(const NeuralNetwork& network);
[[nodiscard]] std::vector<ElementType> caches_of_fp8_on_lpu();
/// All elements in fp8 on GPUs, rows between operators too, against the reference model with what
/// the format leaves of the weights. Nothing where such rows choose other experts or keys.
[[nodiscard]] std::optional<Promise> network_in_fp8_on_gpu(const NeuralNetwork& network);

/// Precisions and evictions whose kernels differ from those of plain elements; they have tables of
/// their own.
[[nodiscard]] std::vector<Stage> stages_in_techniques(const NeuralNetwork& network);

/// Its part of docs/conformance.md.
[[nodiscard]] std::string operators_page();

}  // namespace tandem::conformance
