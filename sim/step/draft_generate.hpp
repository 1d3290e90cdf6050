// Functional generation with drafts: a small network drafts on one pool, the large one verifies on
// another, token ids cross between them as real bytes, and every pass is timed. Greedy text is that
// of the large network by itself, sampled text is distributed as its own.
#pragma once

#include <span>

#include "sim/step/generate.hpp"

namespace tandem {

/// Runs `prompt` on the pools of a drafter placement and continues it; as generate(). A round
/// drafts no more tokens than are still wanted. Of sampled drafts the distributions cross too. The
/// networks are those of the weights. Throws ConfigError where generate() would.
[[nodiscard]] GenerateResult generate_with_drafts(
    const Scenario& scenario, const Catalogue& catalogue, const NetworkFactory& make_network,
    const Weights& weights, const Weights& draft_weights, std::span<const std::int32_t> prompt,
    const GenerateOptions& options);

/// The weights of `network` out of those of a network that has its tensors too, such as one of the
/// same widths with more layers. Throws ConfigError that names the first tensor that is missing or
/// of another shape.
[[nodiscard]] Weights weights_within(const Weights& weights, const NeuralNetwork& network);

}  // namespace tandem
