// What a chip of a gang brings to an exchange, and what it makes of what it gets.
#pragma once

#include "models/gpu/execute/pass_state.hpp"

namespace tandem::gpu {

/// The tensors of RankPass::advance() for one exchange; reads rows that are ready at `now`. Throws
/// ModelError for exchanges that have no functional form here.
[[nodiscard]] std::vector<Tensor> bring_to(const Exchange& exchange, PassState& pass,
                                           Picoseconds now);

/// Takes the tensors of RankPass::receive().
void take_from(const Exchange& exchange, PassState& pass, const std::vector<Tensor>& results,
               Picoseconds now);

}  // namespace tandem::gpu
