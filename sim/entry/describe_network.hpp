// The page that `tandem describe MODEL` prints.
#pragma once

#include <cstdint>
#include <string>

#include "sim/describe/neural_network.hpp"

namespace tandem::entry {

/// The passes whose operators are listed.
struct DescribedPasses {
  std::int64_t batch = 1;       ///< sequences of the decode pass
  std::int64_t context = 2048;  ///< tokens that each of them attends to, the new one included
  std::int64_t prompt = 2048;   ///< tokens of the prefill pass, of one sequence
};

/// Layers as pattern and kinds; parameters; bytes of weights by format; bytes of caches and states;
/// and per role of operator its work and arithmetic intensity in prefill and decode, in bfloat16.
/// Throws ModelError for passes without tokens.
[[nodiscard]] std::string describe_network(const NeuralNetwork& network,
                                           const DescribedPasses& passes = {});

/// Layers run-length encoded: letters of letter_of(), with a number where kinds share a letter:
/// "(LLLF) x 10", "F1 x 3, F2 x 58".
[[nodiscard]] std::string pattern_text(const NeuralNetwork& network);

}  // namespace tandem::entry
