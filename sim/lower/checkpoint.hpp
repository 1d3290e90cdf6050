// Weights from a file, whatever its format.
#pragma once

#include <string>

#include "sim/lower/weights.hpp"

namespace tandem {

/// Whether read_checkpoint() takes a path for safetensors: a folder, a name that ends in .json or
/// .safetensors, or a file that begins as safetensors do. Such files do not say what network they
/// are of; llama2.c files do.
[[nodiscard]] bool is_safetensors_checkpoint(const std::string& path);

/// Reads the weights of `network`: a folder, an index (.json) or a file that begins as safetensors
/// do by read_huggingface_checkpoint(), any other file by read_llama2c_checkpoint(), whose header
/// must then describe the network. Throws ConfigError for a file that is neither, or of another
/// network; ModelError as read_huggingface_checkpoint().
[[nodiscard]] Weights read_checkpoint(const std::string& path, const NeuralNetwork& network);

}  // namespace tandem
