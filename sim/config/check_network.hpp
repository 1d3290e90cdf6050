// Checks of a network as a whole.
#pragma once

#include "sim/config/map_reader.hpp"
#include "sim/describe/neural_network.hpp"

namespace tandem::config {

/// Complains about a network of more than 1e15 parameters, or whose caches and states of one
/// sequence of max_context tokens have more than 1e15 elements: sizes that are each within their
/// limits can make products that 64-bit integers, in which everything else counts, do not hold.
void check_size(const NeuralNetwork& network, const MapReader& reader);

}  // namespace tandem::config
