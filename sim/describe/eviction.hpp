// Which cached tokens a request keeps.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tandem {

enum class EvictionPolicy : std::uint8_t {
  None,
  /// The first tokens ("sinks") and the last ones; positions count within the cache. StreamingLLM,
  /// mit-han-lab/streaming-llm streaming_llm/kv_cache.py (arXiv 2309.17453).
  StreamingLlm,
  /// Per KV head the last tokens, and of those before them the ones that drew most attention so
  /// far. H2O, FMInference/H2O h2o_hf/utils_hh/modify_llama.py (arXiv 2306.14048).
  HeavyHitters
};

/// At the end of each pass every layer of full attention keeps `tokens` of a request's tokens.
struct Eviction {
  EvictionPolicy policy = EvictionPolicy::None;
  std::int64_t tokens = 0;
  std::int64_t sinks = 0;  ///< StreamingLlm: first tokens that stay
  [[nodiscard]] bool is_on() const { return policy != EvictionPolicy::None; }
  [[nodiscard]] bool sums_attention() const { return policy == EvictionPolicy::HeavyHitters; }
  /// Tokens that are there when a pass begins behind `context` tokens.
  [[nodiscard]] std::int64_t kept(std::int64_t context) const {
    return is_on() ? std::min(context, tokens) : context;
  }
  /// Last tokens that stay whatever they drew: half of all for heavy hitters.
  [[nodiscard]] std::int64_t recent() const {
    return policy == EvictionPolicy::HeavyHitters ? tokens - tokens / 2 : tokens - sinks;
  }
  bool operator==(const Eviction&) const = default;
};

}  // namespace tandem
