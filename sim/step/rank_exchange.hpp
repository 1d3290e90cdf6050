// One exchange between the ranks of a gang, on the tensors that they bring.
#pragma once

#include "sim/step/loaded_gang.hpp"

namespace tandem {

/// What a rank brings to an exchange, and gets from it: RankPass::advance() and receive().
using RankTensors = std::vector<Tensor>;

/// Runs the exchange between `ranks` (`chips` in the same order), each with its own tensors and its
/// own view of the exchange; leaves a record. Throws ModelError where the tensors are not those of
/// the exchange.
[[nodiscard]] std::vector<RankTensors> run_exchange(const std::vector<Exchange>& views,
                                                    const std::vector<ChipAddress>& chips,
                                                    std::vector<RankTensors> brought,
                                                    CollectiveModel& collectives,
                                                    ExchangeRecord& record);

}  // namespace tandem
