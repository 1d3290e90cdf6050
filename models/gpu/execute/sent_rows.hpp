// Rows on their way to the chips of their experts and back. Each row goes once to every chip that
// holds some of its experts, with the experts it chose there; every (row, choice) comes back, so
// that its owner makes the weighted sum in the order in which one chip alone makes it.
#pragma once

#include "models/gpu/execute/pass_state.hpp"

namespace tandem::gpu {

void store_row(std::span<const float> values, Tensor& tensor, std::int64_t row);
void load_row(const Tensor& tensor, std::int64_t row, std::span<float> values);

/// Dispatch: per peer the rows [n, hidden], then per peer [n, top_k] of Int32: the expert's number
/// on that peer, or -1 where the choice is not there.
[[nodiscard]] std::vector<Tensor> rows_for_experts(const Exchange& exchange, PassState& pass,
                                                   Picoseconds now);
void take_sent_rows(const Exchange& exchange, PassState& pass, const std::vector<Tensor>& results,
                    Picoseconds now);

/// Combine: per peer what the experts here made of its rows, by row and choice.
[[nodiscard]] std::vector<Tensor> rows_of_experts(const Exchange& exchange, PassState& pass,
                                                  Picoseconds now);
void take_expert_rows(const Exchange& exchange, PassState& pass, const std::vector<Tensor>& results,
                      Picoseconds now);

}  // namespace tandem::gpu
