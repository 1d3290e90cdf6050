// Which cached tokens of one head stay when the cache may hold only so many.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tandem::ops {

/// Places, ascending, of `cached` tokens that StreamingLLM keeps: the first `sinks` and the last
/// ones, `tokens` in all (arXiv 2309.17453; mit-han-lab/streaming-llm streaming_llm/kv_cache.py,
/// StartRecentKVCache). All where there are no more.
[[nodiscard]] std::vector<std::int64_t> kept_by_streaming(std::int64_t cached, std::int64_t sinks,
                                                          std::int64_t tokens);

/// Places, ascending, that H2O keeps of one head: the last `recent` and of those before them the
/// ones of largest sum, `tokens` in all; of equals the earlier (arXiv 2306.14048;
/// FMInference/H2O h2o_hf/utils_hh/modify_llama.py). sums[i]: what token i drew from all queries so
/// far, sum_q p[q][i].
[[nodiscard]] std::vector<std::int64_t> kept_by_heavy_hitters(std::span<const float> sums,
                                                              std::int64_t recent,
                                                              std::int64_t tokens);

/// sums[i] += softmax(scores)[i] for one query over the tokens that are there.
void add_attention(std::span<const float> scores, std::span<float> sums);

}  // namespace tandem::ops
