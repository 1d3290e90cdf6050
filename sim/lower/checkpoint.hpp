// Weights from a file, whatever its format.
#pragma once

#include <string>

#include "sim/lower/weights.hpp"

namespace tandem {

/// Reads the weights of `network`: a folder, an index (.json) or a file that begins as safetensors
/// do by read_huggingface_checkpoint(), any other file by read_llama2c_checkpoint(), whose header
/// must then describe the network. Throws ConfigError for a file that is neither, or of another
/// network; ModelError as read_huggingface_checkpoint().
[[nodiscard]] Weights read_checkpoint(const std::string& path, const NeuralNetwork& network);

}  // namespace tandem
