// What trtllm-bench throughput sends, and how it sets an engine that is told no sizes.
#pragma once

#include <cstdint>

#include "sim/describe/scenario.hpp"

namespace tandem::entry {

/// Sizes of one engine, of each of its groups where they share requests.
struct OfflineSizes {
  std::int64_t max_sequences = 0;
  std::int64_t max_batch_tokens = 0;
};

/// The sizes that the benchmark's heuristics find for a scenario's model, formats, chips and
/// lengths (calc_engine_setting and get_settings of tensorrt_llm/bench,
/// NVIDIA/TensorRT-LLM@04cba88). They know nothing of latent attention.
[[nodiscard]] OfflineSizes offline_sizes(const Scenario& scenario);

/// Requests of a run, all sent at once (docs/source/performance/perf-overview.md of
/// NVIDIA/TensorRT-LLM@00f3768, developer-guide/perf-overview.md @03e27c7), by lengths in tokens.
[[nodiscard]] std::int64_t offline_requests(std::int64_t prompt, std::int64_t output);

}  // namespace tandem::entry
