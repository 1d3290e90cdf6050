// The page that `tandem describe MODEL` prints.
#pragma once

#include <string>

#include "sim/describe/neural_network.hpp"
#include "sim/entry/describe_passes.hpp"

namespace tandem::entry {

/// Layers as pattern and kinds; parameters; bytes of weights by format; bytes of caches and states;
/// and the operators of passes, see describe_passes(), which also says what it throws.
[[nodiscard]] std::string describe_network(const NeuralNetwork& network,
                                           const DescribedPasses& passes = {});

/// Layers run-length encoded: letters of letter_of(), with a number where kinds share a letter:
/// "(LLLF) x 10", "F1 x 3, F2 x 58".
[[nodiscard]] std::string pattern_text(const NeuralNetwork& network);

}  // namespace tandem::entry
