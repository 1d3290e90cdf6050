// What an engine is given in the benchmarks behind measured services: number formats of its
// checkpoint and the limits of its scheduler.
#pragma once

#include <cstdint>
#include <string>

#include "sim/entry/systems/served_row.hpp"

namespace tandem::entry {

/// Texts of a placement's `precision`.
struct ServedFormats {
  std::string weights, kv_cache, activations, overrides = {};
  [[nodiscard]] std::string text() const;
};

/// Formats of checkpoints and engines: block-scaled fp8 of DeepSeek and MiniMax, experts of gpt-oss
/// in mxfp4, mixers of nvfp4 checkpoints of DeepSeek kept; caches as the benchmarks' scripts ask.
[[nodiscard]] ServedFormats served_formats(const std::string& model, const std::string& chip,
                                           const std::string& precision, bool is_tensorrt);

/// A load as the engine's settings depend on it.
struct ServedLoad {
  std::int64_t prompt = 0, output = 0, users = 1, gpus = 1;
  /// Groups of chips that schedule requests of their own (attention by data) in an engine that
  /// computes prompts.
  std::int64_t groups = 1;
  std::int64_t drafts = 0;     ///< tokens drafted before each verification
  bool is_split = false;       ///< prompts and answers have engines of their own
  bool draws_lengths = false;  ///< the row is one of InferenceX's own
};

/// The scheduler and its limits, as the benchmarks' scripts start the engines
/// (SemiAnalysisAI/InferenceX, benchmarks/*.sh): text of a scenario's `serving`.
[[nodiscard]] std::string served_serving(const std::string& framework, const std::string& model,
                                         const ServedFormats& formats, const ServedLoad& load);

/// Software and version of a row, as software layers are looked up by: "TensorRT-LLM 1.0". Tables
/// of past years that name no version have their year there.
[[nodiscard]] std::string framework_of(const ServedRow& row);

}  // namespace tandem::entry
