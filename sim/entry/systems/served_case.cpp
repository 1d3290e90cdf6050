#include "sim/entry/systems/served_case.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace tandem::entry {
namespace {

/// Share of the named lengths that random prompts and answers have at least, in the runs of
/// InferenceX (random_range_ratio of its benchmark scripts).
constexpr double shortest_share = 0.8;

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

/// The chips of a pool and how it shares the model between them.
struct Gang {
  std::int64_t gpus = 1;
  std::int64_t expert = 1;
  bool shares_requests = false;  ///< attention by data, experts over all

  [[nodiscard]] std::string keys() const {
    if (shares_requests) return fmt::format("attention_data: {0}, expert: {0}", gpus);
    return expert > 1 ? fmt::format("tensor: {}, expert: {}", gpus, expert)
                      : fmt::format("tensor: {}", gpus);
  }
};

/// The number that follows `word` in a name ("isl" in "tp8_isl1024_osl128"); 0 where there is none.
std::int64_t number_behind(std::string name, const std::string& word) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto at = name.find(word);
  return at == std::string::npos ? 0 : std::atoll(name.c_str() + at + word.size());
}

/// "TP4", "dep8", "tp8_ep8".
std::optional<Gang> gang_named(const std::string& text) {
  if (const std::int64_t groups = number_behind(text, "dep"); groups > 0) {
    return Gang{groups, groups, true};
  }
  Gang gang;
  gang.gpus = number_behind(text, "tp");
  if (gang.gpus == 0) return std::nullopt;
  gang.expert = std::max<std::int64_t>(1, number_behind(text, "ep"));
  return gang;
}

/// `prefix` is that of the pool's columns: "", "prefill_", "decode_".
Gang gang_of(const ServedRow& row, const std::string& prefix, bool has_experts) {
  for (const char* name : {"parallelism", "file"}) {
    if (const auto named = gang_named(row.text(name))) return *named;
  }
  const std::int64_t groups = row.count(prefix + "attention_dp", 1);
  const std::int64_t tensor = row.count(prefix + "tp", row.count("gpus", 1));
  Gang gang{tensor * groups, row.count(prefix + "moe_ep", 1), groups > 1};
  // Some rows have the product of tp and ep, which are the same chips, where tp should stand.
  const std::int64_t shared = row.count(prefix + "moe_tp", 0);
  if (gang.gpus > 8 && shared == gang.expert && shared * shared == gang.gpus) gang.gpus = shared;
  if (!has_experts) gang.expert = 1;
  return gang;
}

struct Formats {
  std::string weights, kv_cache, activations, overrides = {};
  [[nodiscard]] std::string text() const {
    return fmt::format("{{weights: {}, kv_cache: {}, activations: {}{}}}", weights, kv_cache,
                       activations, overrides);
  }
};

/// Formats of checkpoints and engines: block-scaled fp8 of DeepSeek and MiniMax, experts of gpt-oss
/// in mxfp4, mixers of nvfp4 checkpoints of DeepSeek kept; caches as the benchmarks' scripts ask.
Formats formats_of(const std::string& model, const std::string& chip, const std::string& precision,
                   bool is_tensorrt) {
  const bool is_blackwell = chip.starts_with("b") || chip.starts_with("gb");
  if (model.starts_with("gpt-oss")) {
    return {"bfloat16", is_blackwell ? "fp8" : "bfloat16", is_blackwell ? "mxfp8" : "bfloat16",
            ", overrides: [{part: experts, weights: mxfp4}]"};
  }
  if (precision.empty() || contains(precision, "16")) {
    const std::string type =
        contains(precision, "float16") && !contains(precision, "b") ? "float16" : "bfloat16";
    return {type, type, type};
  }
  const bool is_latent = model.starts_with("deepseek") || model.starts_with("kimi");
  if (contains(precision, "4")) {
    return {"nvfp4", "fp8", "nvfp4",
            is_latent ? ", overrides: [{part: mixers, weights: bfloat16}]" : ""};
  }
  if (is_latent || model.starts_with("minimax")) {
    return {"fp8_block", is_blackwell || is_tensorrt ? "fp8" : "bfloat16", "bfloat16"};
  }
  return {"fp8", model.starts_with("qwen") ? "bfloat16" : "fp8", "fp8_channel"};
}

struct Lengths {
  std::int64_t prompt, output;
};

/// The scheduler and its limits, as the benchmarks' scripts start the engines.
std::string serving_of(const std::string& framework, const std::string& model,
                       const Formats& formats, const Lengths& lengths, std::int64_t users,
                       std::int64_t gpus) {
  const bool is_latent = model.starts_with("deepseek");
  if (framework.starts_with("SGLang")) {
    std::int64_t chunk = 8192;
    if (is_latent) chunk = formats.weights == "nvfp4" ? 16384 : (gpus == 8 ? 32768 : 8192);
    return fmt::format(
        "{{policy: sglang, max_batch_tokens: {}, max_prefill_tokens: {}, max_sequences: {}, "
        "kv_block_tokens: 1, prefix_cache: false, receive_interval: {}}}",
        chunk, std::max<std::int64_t>(chunk, 16384), std::max<std::int64_t>(users, 128),
        is_latent ? (users < 16 ? 10 : 30) : 1);
  }
  if (framework.starts_with("TensorRT-LLM")) {
    std::int64_t tokens = 8192, wait = 0;
    // batch_wait_timeout_iters of the benchmark's scripts.
    const bool is_short = lengths.prompt == 1024 && lengths.output == 1024;
    if (is_short && model == "llama-3.1-70b" && gpus < 8) wait = 20;
    if (is_short && is_latent && formats.weights == "fp8_block" && users >= 64) wait = 40;
    if (is_latent) tokens = std::max<std::int64_t>(8192, (users + lengths.prompt + 127) / 64 * 64);
    if (model == "gpt-oss-120b") tokens = 20000;
    if (model == "llama-3.1-70b") tokens = lengths.prompt + lengths.output + 200;
    return fmt::format(
        "{{policy: vllm_v1, chunked_prefill: false, max_batch_tokens: {}, max_sequences: 2048, "
        "kv_block_tokens: 32, prefix_cache: false, batch_wait_steps: {}}}",
        std::max(tokens, lengths.prompt + 1), wait);
  }
  return "{policy: vllm_v1, max_batch_tokens: 8192, max_sequences: 1024, kv_block_tokens: 16, "
         "prefix_cache: false}";
}

/// Rows of dashboards drew their lengths; others sent prompts of one length.
bool draws_lengths(const ServedRow& row) {
  const std::string source = row.text("silicon_data_source");
  return source.starts_with("db-dump") || source.starts_with("source_file=2026-");
}

std::string loop_traffic(const Lengths& lengths, std::int64_t users, bool drawn) {
  const double mean = drawn ? (1 + shortest_share) / 2 : 1;
  const double spread = drawn ? (1 - shortest_share) / (1 + shortest_share) : 0;
  const std::int64_t rounds = lengths.output <= 1024 ? 3 : 2;
  return fmt::format(
      "{{arrivals: closed, start: together, concurrency: {}, requests: {}, prompt_tokens: {:.0f}, "
      "output_tokens: {:.0f}, length_spread: {:.6f}}}",
      users, rounds * users, mean * static_cast<double>(lengths.prompt),
      mean * static_cast<double>(lengths.output), spread);
}

class CaseMaker {
 public:
  CaseMaker(const ServedRow& row, const ServedNames& names, const std::string& layer)
      : row_(row), names_(names), layer_(layer) {}

  ServedCase make() {
    if (!names_found()) return std::move(case_);
    framework_ = framework_of(row_);
    lengths_ = {number_of("isl", "isl"), number_of("osl", "osl")};
    if (lengths_.prompt < 1 || lengths_.output < 1) {
      return refused("lengths of prompts or answers are not in the row");
    }
    formats_ =
        formats_of(model_, chip_, row_.text("precision"), framework_.starts_with("TensorRT-LLM"));
    if (row_.text("mode") == "disagg") return disaggregated();
    if (number_of("concurrency", "conc") > 0) return loop();
    if (row_.has("batch")) return batch();
    return saturated();
  }

 private:
  ServedCase refused(std::string reason) {
    case_.reason = std::move(reason);
    return std::move(case_);
  }

  bool names_found() {
    const auto model = names_.model(row_.text("model"));
    const auto chip = names_.chip(row_.text("system"));
    if (row_.text("model").empty()) {
      case_.reason = "the row names no model";
    } else if (!model) {
      case_.reason = fmt::format("model '{}' is not in workloads/models", row_.text("model"));
    } else if (!chip) {
      case_.reason = fmt::format("chip '{}' is not in hw_configs/chips", row_.text("system"));
    } else if (layer_ == "generic" && row_.has("software")) {
      case_.reason = fmt::format("no software layer for '{}'", row_.text("software"));
    }
    if (!case_.reason.empty()) return false;
    model_ = *model;
    chip_ = *chip;
    return true;
  }

  [[nodiscard]] bool has_experts() const {
    for (const char* name : {"deepseek", "gpt-oss", "mixtral", "minimax", "kimi", "-a"}) {
      if (contains(model_, name)) return true;
    }
    return false;
  }

  /// A number of the row, or out of the name of its run where the column is empty.
  [[nodiscard]] std::int64_t number_of(const char* name, const char* word) const {
    return row_.count(name, number_behind(row_.text("file"), word));
  }

  void change(const char* path, std::string value) {
    case_.changes.push_back({path, std::move(value)});
  }

  /// Sets what all cases have; false where no system has so many chips.
  bool place(const std::string& placement, std::int64_t gpus) {
    const auto system = names_.system_of(chip_, gpus);
    if (!system) {
      case_.reason = fmt::format("no system in hw_configs/systems has {} x {}", gpus, chip_);
      return false;
    }
    case_.gpus = gpus;
    change("model", fmt::format("{{name: {}, max_context: 131072}}", model_));
    change("system", *system);
    change("placement", placement);
    change("software", layer_);
    // The benchmark's scripts set TRTLLM_ENABLE_PDL for versions that have it.
    if (framework_.starts_with("TensorRT-LLM 1.") && !framework_.starts_with("TensorRT-LLM 1.0")) {
      change("software.dependent_launch", "1");
    }
    change("audit_steps", "0");
    return true;
  }

  [[nodiscard]] std::string monolithic(const Gang& gang) const {
    return fmt::format("{{mode: monolithic, pool: gpu, {}, precision: {}}}", gang.keys(),
                       formats_.text());
  }

  ServedCase loop() {
    const Gang gang = gang_of(row_, "", has_experts());
    case_.users = number_of("concurrency", "conc");
    if (!place(monolithic(gang), gang.gpus)) return std::move(case_);
    change("serving", serving_of(framework_, model_, formats_, lengths_, case_.users, gang.gpus));
    change("traffic", loop_traffic(lengths_, case_.users, draws_lengths(row_)));
    return std::move(case_);
  }

  ServedCase disaggregated() {
    const std::int64_t workers[] = {row_.count("prefill_workers", 0),
                                    row_.count("decode_workers", 0)};
    if (workers[0] == 0 || workers[1] == 0) {
      return refused("disaggregated, number of engines not in the row");
    }
    case_.users = row_.count("concurrency", 0);
    if (case_.users == 0) return refused("no concurrency in the row");
    std::string pools;
    std::int64_t gpus = 0;
    for (const int pool : {0, 1}) {
      const std::string name = pool == 0 ? "prefill" : "decode";
      const Gang gang = gang_of(row_, name + "_", has_experts());
      gpus += gang.gpus * workers[pool];
      pools += fmt::format(", {}: {{pool: gpu, {}, replicas: {}, precision: {}}}", name,
                           gang.keys(), workers[pool], formats_.text());
    }
    if (!place("{mode: disaggregated" + pools + "}", gpus)) return std::move(case_);
    change("serving", serving_of(framework_, model_, formats_, lengths_, case_.users, gpus));
    change("traffic", loop_traffic(lengths_, case_.users, draws_lengths(row_)));
    return std::move(case_);
  }

  ServedCase batch() {
    case_.statistic = ServedStatistic::Batch;
    const Gang gang = gang_of(row_, "", has_experts());
    case_.users = row_.count("batch", 1);
    if (formats_.weights == "bfloat16") formats_ = {"float16", "float16", "float16"};
    if (!place(monolithic(gang), gang.gpus)) return std::move(case_);
    change("serving",
           fmt::format("{{policy: static, max_batch_tokens: {}, max_sequences: {}, "
                       "kv_block_tokens: 16, prefix_cache: false}}",
                       std::max<std::int64_t>(8192, case_.users * lengths_.prompt), case_.users));
    change("traffic", fmt::format("{{arrivals: closed, start: together, concurrency: {0}, "
                                  "requests: {0}, prompt_tokens: {1}, output_tokens: {2}}}",
                                  case_.users, lengths_.prompt, lengths_.output));
    return std::move(case_);
  }

  /// As many users as there is room for: the scheduler finds out.
  ServedCase saturated() {
    constexpr std::int64_t most_sequences = 2048;
    case_.statistic = ServedStatistic::Saturated;
    const Gang gang = gang_of(row_, "", has_experts());
    if (!place(monolithic(gang), gang.gpus)) return std::move(case_);
    case_.users = most_sequences * (gang.shares_requests ? gang.gpus : 1);
    change("serving", fmt::format("{{policy: vllm_v1, max_batch_tokens: 8192, max_sequences: {}, "
                                  "kv_block_tokens: 32, prefix_cache: false}}",
                                  case_.users));
    change("traffic", loop_traffic(lengths_, case_.users, false));
    return std::move(case_);
  }

  const ServedRow& row_;
  const ServedNames& names_;
  const std::string& layer_;
  std::string framework_, model_, chip_;
  Lengths lengths_{};
  Formats formats_;
  ServedCase case_;
};

}  // namespace

std::string framework_of(const ServedRow& row) {
  const std::string name = row.text("software");
  const std::string version = row.has("software_version") ? " " + row.text("software_version") : "";
  if (name == "vllm") return "vLLM" + version;
  if (name == "sglang") return "SGLang" + version;
  if (name == "trtllm") return "TensorRT-LLM" + version;
  return name + version;
}

ServedCase served_case(const ServedRow& row, const ServedNames& names, const std::string& layer) {
  return CaseMaker(row, names, layer).make();
}

}  // namespace tandem::entry
