// Checkpoints of llama2.c.
#pragma once

#include <string>

#include "sim/lower/weights.hpp"

namespace tandem {

/// Reads a llama2.c v0 checkpoint (fp32, interleaved RoPE, theta 10000). Throws ConfigError that
/// names the file and what is wrong: too short, too long, impossible shape.
[[nodiscard]] Weights read_llama2c_checkpoint(const std::string& path);

}  // namespace tandem
