#include "sim/entry/systems/benchmark_rows.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace tandem::entry {
namespace {

// ML.ENERGY v3, task lm-arena-chat (configs/vllm/lm-arena-chat and mlenergy/llm of
// ml-energy/benchmark@c1d6557): 1024 or more conversations of LMArena sent at once to vLLM with
// chunks of 8192 tokens. Lengths of prompts are not published. Three rows whose KV cache was full
// tell the tokens per running request, 543 to 779; less what an answer of uniform length has on
// average when it is seen (two thirds of its mean): 310 to 390.
constexpr int arena_prompt_tokens = 350;
constexpr int arena_batch_tokens = 8192;

// MLPerf inference v4.1, closed division, NVIDIA: H200-SXM-141GBx8 MaxQ of
// closed/NVIDIA/configs/llama2-70b/Offline/__init__.py: one GPU per engine, fp8, batches of 806,
// GPUs limited to 500 W.
constexpr int maxq_batch = 806;
constexpr int maxq_watts = 500;
constexpr int maxq_gpus = 8;
/// Mean prompt of the 24,576 samples of OpenOrca.
constexpr int openorca_prompt_tokens = 290;

bool is_arena(const std::string& file) {
  return file.find("mlenergy") != std::string::npos;
}
bool is_maxq(const std::string& file) {
  return file.find("mlperf") != std::string::npos;
}

void set_change(ServedCase& served, const std::string& path, std::string value) {
  const auto same = std::ranges::find(served.changes, path, &Override::path);
  if (same != served.changes.end()) {
    same->value = std::move(value);
  } else {
    served.changes.push_back({path, std::move(value)});
  }
}

/// Users that always ask again; the runs read from it differ in their number of requests.
std::string steady_traffic(std::int64_t users, double prompt, double output) {
  return fmt::format(
      "{{arrivals: closed, start: together, concurrency: {0}, requests: {1}, prompt_tokens: "
      "{2:.0f}, output_tokens: {3:.0f}, length_spread: 1}}",
      users, 2 * users, prompt, output);
}

}  // namespace

void complete_row(const std::string& file, ServedRow& row) {
  if (is_arena(file)) {
    row.set("software", "vLLM");
    row.set("isl", std::to_string(arena_prompt_tokens));
    // Experts are shared out over the GPUs that share the rest.
    row.set("moe_ep", row.text("ep"));
    row.set("tp", row.text("gpus"));
  }
  if (is_maxq(file)) {
    const std::string name = row.text("model");
    row.set("model", name.substr(0, name.rfind("-99")));
    row.set("software", "TensorRT-LLM");
    row.set("precision", "fp8");
    row.set("tp", "1");
    row.set("concurrency", std::to_string(maxq_batch));
    row.set("isl", std::to_string(openorca_prompt_tokens));
    const auto tokens = row.number("tokens_per_s"), samples = row.number("samples_per_s");
    if (tokens && samples) row.set("osl", fmt::format("{:.0f}", *tokens / *samples));
  }
}

void adapt_case(const std::string& file, const ServedRow& row, ServedCase& served) {
  if (!served.reason.empty() || !(is_arena(file) || is_maxq(file))) return;
  served.statistic = ServedStatistic::Steady;
  set_change(served, "traffic",
             steady_traffic(served.users, *row.number("isl"), *row.number("osl")));
  if (is_arena(file)) {
    set_change(served, "software", "vllm_sampled");
    set_change(served, "serving",
               fmt::format("{{policy: vllm_v1, max_batch_tokens: {}, max_sequences: {}, "
                           "kv_block_tokens: 16, prefix_cache: false}}",
                           arena_batch_tokens, served.users));
  } else {
    served.copies = maxq_gpus;
    served.reads_wall = true;
    set_change(served, "system.chips.h200_sxm.tdp", fmt::format("{} W", maxq_watts));
    // The harness of August 2024 drives the C++ runtime.
    set_change(served, "software", "tensorrt_llm_2024");
  }
}

}  // namespace tandem::entry
