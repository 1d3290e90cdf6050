// Functional generation where the chips that verify draft too: greedy text is that of the model by
// itself, sampled text is distributed as the model's.
#pragma once

#include <span>

#include "sim/step/generate.hpp"

namespace tandem {

/// Runs `prompt` on the pools of a monolithic or disaggregated placement with `speculation` and
/// continues it; as generate(). A round drafts no more tokens than are still wanted.
/// `draft_weights` are those of the draft model; modules of multi-token prediction are part of
/// `weights`. Throws ConfigError where generate() would, for a tree of several modules, and where
/// the networks do not go together.
[[nodiscard]] GenerateResult generate_in_rounds(
    const Scenario& scenario, const Catalogue& catalogue, const NetworkFactory& make_network,
    const Weights& weights, const Weights& draft_weights, std::span<const std::int32_t> prompt,
    const GenerateOptions& options);

}  // namespace tandem
