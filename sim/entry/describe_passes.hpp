// The operators of passes on the page that `tandem describe MODEL` prints.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/describe/neural_network.hpp"
#include "sim/lower/role_totals.hpp"

namespace tandem::entry {

/// The passes whose operators are listed. Lengths are 2048 or the model's context, whichever is
/// less, where they are not given.
struct DescribedPasses {
  std::int64_t batch = 1;               ///< sequences of the decode pass
  std::optional<std::int64_t> context;  ///< tokens each of them attends to, the new one included
  std::optional<std::int64_t> prompt;   ///< tokens of the prefill pass, of one sequence
};

/// Per role of operator its work and arithmetic intensity in a prefill and a decode pass, in
/// bfloat16, and what a module that predicts further tokens adds. Throws ConfigError for a batch
/// outside 1 to 1,000,000, a length outside 1 to the model's context, or passes with more than
/// 4e18 operations or bytes, which 64 bits do not hold.
[[nodiscard]] std::string describe_passes(const NeuralNetwork& network,
                                          const DescribedPasses& passes);

/// Work per role of operator of those passes, without prediction modules. Throws as
/// describe_passes().
struct PassTotals {
  std::vector<RoleTotal> prefill;
  std::vector<RoleTotal> decode;
};
[[nodiscard]] PassTotals totals_of_passes(const NeuralNetwork& network,
                                          const DescribedPasses& passes);

}  // namespace tandem::entry
