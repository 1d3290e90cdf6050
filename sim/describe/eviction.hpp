// Which cached tokens a request keeps.
#pragma once

#include <algorithm>
#include <cmath>
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

/// At the end of each pass every layer of full attention keeps `tokens` of a request's tokens, or a
/// share of them. H2O's code takes its share of the first pass (FMInference/H2O
/// h2o_hf/utils_hh/modify_llama.py); here it grows with the text.
struct Eviction {
  EvictionPolicy policy = EvictionPolicy::None;
  std::int64_t tokens = 0;
  std::int64_t sinks = 0;  ///< StreamingLlm: first tokens that stay
  double share = 0;        ///< of the tokens so far, instead of `tokens`; 0: `tokens`
  [[nodiscard]] bool is_on() const { return policy != EvictionPolicy::None; }
  [[nodiscard]] bool sums_attention() const { return policy == EvictionPolicy::HeavyHitters; }
  /// The same with the number of tokens that stay of `context` ones, rounded to the nearest; at
  /// least one that is no sink.
  [[nodiscard]] Eviction behind(std::int64_t context) const {
    if (share == 0) return *this;
    const std::int64_t part = std::llround(share * static_cast<double>(context));
    return {policy, std::max(part, sinks + 1), sinks};
  }
  /// Tokens that are there when a pass begins behind `context` tokens.
  [[nodiscard]] std::int64_t kept(std::int64_t context) const {
    return is_on() ? std::min(context, behind(context).tokens) : context;
  }
  /// Last tokens that stay whatever they drew: half of `tokens` for heavy hitters.
  [[nodiscard]] std::int64_t recent() const {
    return policy == EvictionPolicy::HeavyHitters ? tokens - tokens / 2 : tokens - sinks;
  }
  bool operator==(const Eviction&) const = default;
};

}  // namespace tandem
