// Words for the kinds of layers of a network.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/describe/neural_network.hpp"

namespace tandem::entry {

/// letter_of(), and the kind's number among those of equal letter where there are several: "F2".
[[nodiscard]] std::string kind_label(const NeuralNetwork& network, std::int32_t kind);

/// "grouped-query attention: 64 heads, 8 KV heads of 128, QK norm, rope 64 of 128 dimensions".
[[nodiscard]] std::string mixer_text(const LayerKind& kind);

/// The dense block, the experts and their router, one line each.
[[nodiscard]] std::vector<std::string> ffn_lines(const FeedForward& ffn);

}  // namespace tandem::entry
