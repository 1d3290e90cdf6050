#include "sim/lower/checkpoint.hpp"

#include <array>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "sim/core/diagnostics.hpp"
#include "sim/lower/huggingface_checkpoint.hpp"
#include "sim/lower/llama2c_checkpoint.hpp"

namespace tandem {
namespace {

/// Bytes 4 to 7 of a safetensors file are the upper half of its header's length, 0 below 4 GiB, and
/// byte 8 opens the JSON. In a llama2.c file bytes 4 to 7 are hidden_dim, which is never 0.
bool begins_as_safetensors(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::array<char, 9> head{};
  if (!stream.read(head.data(), head.size())) return false;
  const bool is_short = head[4] == 0 && head[5] == 0 && head[6] == 0 && head[7] == 0;
  return is_short && head[8] == '{';
}

}  // namespace

bool is_safetensors_checkpoint(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error) || path.ends_with(".json") ||
         path.ends_with(".safetensors") || begins_as_safetensors(path);
}

Weights read_checkpoint(const std::string& path, const NeuralNetwork& network) {
  if (is_safetensors_checkpoint(path)) return read_huggingface_checkpoint(path, network);
  Weights weights = read_llama2c_checkpoint(path);
  NeuralNetwork described = weights.network;
  described.name = network.name;
  if (key_of(described) != key_of(network)) {
    throw ConfigError(SourcePlace{path, 0, 0},
                      "the llama2.c checkpoint is of another network than '" + network.name + "'");
  }
  weights.network = network;
  return weights;
}

}  // namespace tandem
