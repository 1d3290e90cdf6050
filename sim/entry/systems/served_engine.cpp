#include "sim/entry/systems/served_engine.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace tandem::entry {
namespace {

/// The chunk is that of all groups together: the server divides it (server_args.py).
std::string sglang_serving(bool is_latent, const ServedFormats& formats, const ServedLoad& load) {
  std::int64_t chunk = 8192;
  if (is_latent) chunk = formats.weights == "nvfp4" ? 16384 : (load.gpus == 8 ? 32768 : 8192);
  const std::int64_t interval = load.users < 16 ? 10 : 30;
  // Rounds of drafts run under vLLM's rules; new requests wait half an interval on average.
  if (load.drafts > 0) {
    return fmt::format(
        "{{policy: vllm_v1, max_batch_tokens: 16384, max_sequences: 512, kv_block_tokens: 1, "
        "prefix_cache: false, batch_wait_steps: {}, batch_wait_fill: 1}}",
        interval / 2);
  }
  return fmt::format(
      "{{policy: sglang, max_batch_tokens: {}, max_prefill_tokens: {}, max_sequences: {}, "
      "kv_block_tokens: 1, prefix_cache: false, receive_interval: {}}}",
      chunk, std::max<std::int64_t>(chunk, 16384), std::max<std::int64_t>(load.users, 128),
      is_latent || load.draws_lengths ? interval : 1);
}

/// batch_wait_timeout_iters of the benchmark's scripts.
std::int64_t batch_wait(const std::string& model, const ServedFormats& formats,
                        const ServedLoad& load) {
  if (load.prompt != 1024 || load.output != 1024) return 0;
  if (model == "llama-3.1-70b" && load.gpus < 8) return 20;
  const bool is_wide = formats.weights == "fp8_block" && load.users >= 64;
  return model.starts_with("deepseek") && is_wide ? 40 : 0;
}

/// timeout_iters of attention_dp_config in the benchmark's scripts; those of gpt-oss leave it at
/// the engine's default.
std::int64_t balance_wait(const std::string& model) {
  return model.starts_with("gpt-oss") ? 50 : 60;
}

/// max_num_tokens is that of each group.
std::string tensorrt_serving(const std::string& model, const ServedFormats& formats,
                             const ServedLoad& load) {
  std::int64_t tokens = 8192;
  if (model.starts_with("deepseek")) {
    const bool drafts = load.drafts > 0 && !load.is_split;
    const std::int64_t fewest = drafts ? 0 : 8192;
    const std::int64_t requests =
        drafts ? (load.drafts + 1) * load.users / load.groups : load.users;
    tokens = std::max<std::int64_t>(fewest, (requests + load.prompt + 127) / 64 * 64);
  }
  if (model == "gpt-oss-120b") tokens = 20000;
  if (model == "llama-3.1-70b") tokens = load.prompt + load.output + 200;
  const std::string waits =
      load.groups > 1 && !load.is_split
          ? fmt::format("balanced_groups: {}, balance_wait_steps: {}", load.groups,
                        balance_wait(model))
          : fmt::format("batch_wait_steps: {}", batch_wait(model, formats, load));
  constexpr std::int64_t most_sequences = 2048;
  const std::int64_t step = std::max(tokens, load.prompt + 1) * load.groups;
  return fmt::format(
      "{{policy: vllm_v1, chunked_prefill: false, max_batch_tokens: {}, max_sequences: {}, "
      "kv_block_tokens: 32, prefix_cache: false, {}}}",
      step, std::min(most_sequences, step), waits);
}

/// The year of tables that name no version of their software.
std::string year_of(const ServedRow& row) {
  if (mentions(row.table(), "splitwise")) return "2023";
  return mentions(row.table(), "argonne") ? "2024" : "";
}

}  // namespace

std::string ServedFormats::text() const {
  return fmt::format("{{weights: {}, kv_cache: {}, activations: {}{}}}", weights, kv_cache,
                     activations, overrides);
}

ServedFormats served_formats(const std::string& model, const std::string& chip,
                             const std::string& precision, bool is_tensorrt) {
  const bool is_blackwell = chip.starts_with("b") || chip.starts_with("gb");
  if (model.starts_with("gpt-oss")) {
    return {"bfloat16", is_blackwell ? "fp8" : "bfloat16", is_blackwell ? "mxfp8" : "bfloat16",
            ", overrides: [{part: experts, weights: mxfp4}]"};
  }
  const bool is_block_scaled =
      model.starts_with("deepseek") || model.starts_with("kimi") || model.starts_with("minimax");
  if ((precision.empty() && !is_block_scaled) || mentions(precision, "16")) {
    const bool is_half = mentions(precision, "float16") && !mentions(precision, "b");
    const std::string type = is_half ? "float16" : "bfloat16";
    return {type, type, type};
  }
  if (mentions(precision, "4")) {
    const bool keeps_mixers = is_block_scaled && !model.starts_with("minimax");
    return {"nvfp4", "fp8", "nvfp4",
            keeps_mixers ? ", overrides: [{part: mixers, weights: bfloat16}]" : ""};
  }
  if (is_block_scaled) {
    return {"fp8_block", is_blackwell || is_tensorrt ? "fp8" : "bfloat16", "bfloat16"};
  }
  return {"fp8", model.starts_with("qwen") ? "bfloat16" : "fp8", "fp8_channel"};
}

std::string served_serving(const std::string& framework, const std::string& model,
                           const ServedFormats& formats, const ServedLoad& load) {
  if (framework.starts_with("SGLang")) {
    return sglang_serving(model.starts_with("deepseek"), formats, load);
  }
  if (framework.starts_with("TensorRT-LLM")) return tensorrt_serving(model, formats, load);
  return fmt::format(
      "{{policy: vllm_v1, max_batch_tokens: {}, max_sequences: {}, kv_block_tokens: 16, "
      "prefix_cache: false}}",
      8192 * load.groups, 1024 * load.groups);
}

std::string framework_of(const ServedRow& row) {
  std::string name = row.text("software");
  if (name.empty() && mentions(row.table(), "splitwise")) name = "vLLM";
  if (name.empty() && mentions(row.table(), "trtllm")) {
    // The newer of the overview's two editions names no version.
    return mentions(row.text("source"), "v1.0") ? "TensorRT-LLM 1.0" : "TensorRT-LLM";
  }
  if (name == "vllm") name = "vLLM";
  if (name == "sglang") name = "SGLang";
  if (name == "trtllm") name = "TensorRT-LLM";
  const std::string version =
      row.has("software_version") ? row.text("software_version") : year_of(row);
  return version.empty() ? name : name + " " + version;
}

}  // namespace tandem::entry
