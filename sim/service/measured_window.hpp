// The part of a run that its latencies and rates are taken from: all of it, or what follows a
// warm-up.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sim/service/run_result.hpp"

namespace tandem {

/// Latencies are those of requests that arrived in the window, rates are of what happened in it,
/// whoever it was for.
struct MeasuredWindow {
  double start_s = 0;  ///< arrival of the first request that counts, or the end of the warm-up time
  double seconds = 0;  ///< up to the last completion
  std::vector<bool> covers;  ///< by index of RunResult::requests
  std::int64_t left_out = 0;
  std::int64_t answered = 0;       ///< requests whose answer ended in it
  std::int64_t output_tokens = 0;  ///< that came out in it
  std::int64_t input_tokens = 0;   ///< of prompts whose first token came out in it
  std::size_t first_gap = 0;       ///< of RunResult::itl_ms
};

/// Throws ConfigError where the warm-up covers all requests.
[[nodiscard]] MeasuredWindow measured_window(const RunResult& result);

}  // namespace tandem
