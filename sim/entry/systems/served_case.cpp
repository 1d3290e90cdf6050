#include "sim/entry/systems/served_case.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/entry/systems/offline_benchmark.hpp"
#include "sim/entry/systems/served_engine.hpp"
#include "sim/entry/systems/served_gang.hpp"

namespace tandem::entry {
namespace {

/// Share of the named lengths that random prompts and answers have at least, in the runs of
/// InferenceX (random_range_ratio of its benchmark scripts).
constexpr double shortest_share = 0.8;

struct Lengths {
  std::int64_t prompt, output;
};

/// Shares of drafts that are accepted where those before were: of the first one, of each further
/// one. 85 to 90 % of first drafts (arXiv 2412.19437, section 5.4.3); with the module's own output
/// as its input less: seven drafts give 3.2 tokens per round (nebius/MTP-DeepSeek-V3-0324, original
/// module).
constexpr const char* draft_acceptance = "[0.85, 0.63]";

/// Rows of dashboards drew their lengths; others sent prompts of one length.
bool draws_lengths(const ServedRow& row) {
  const std::string source = row.text("silicon_data_source");
  return source.starts_with("db-dump") || source.starts_with("source_file=2026-");
}

/// Requests per user: the benchmark's ten, or fewer to save time.
std::int64_t rounds_of(std::int64_t users, std::int64_t output) {
  if (output > 1024) return 3;
  return users <= 8 ? 10 : 5;
}

std::string loop_traffic(const Lengths& lengths, std::int64_t users, bool drawn) {
  const double mean = drawn ? (1 + shortest_share) / 2 : 1;
  const double spread = drawn ? (1 - shortest_share) / (1 + shortest_share) : 0;
  return fmt::format(
      "{{arrivals: closed, start: together, concurrency: {}, requests: {}, prompt_tokens: {:.0f}, "
      "output_tokens: {:.0f}, length_spread: {:.6f}}}",
      users, rounds_of(users, lengths.output) * users, mean * static_cast<double>(lengths.prompt),
      mean * static_cast<double>(lengths.output), spread);
}

class CaseMaker {
 public:
  CaseMaker(const ServedRow& row, const ServedNames& names, const std::string& layer)
      : row_(row), names_(names), layer_(layer) {}

  ServedCase make() {
    if (!names_found()) return std::move(case_);
    framework_ = framework_of(row_);
    if (is_llama_cpp()) {
      return refused(
          "kernels of llama.cpp, which has one sequence: its batch is a part of a prompt");
    }
    lengths_ = {number_of("isl", "isl"), number_of("osl", "osl")};
    // The end in ALCF's table of first tokens is that of answers as long as prompts.
    if (mentions(row_.table(), "argonne_ttft")) lengths_.output = lengths_.prompt;
    if (lengths_.prompt < 1 || lengths_.output < 1) {
      return refused("lengths of prompts or answers are not in the row");
    }
    formats_ = served_formats(model_, chip_, row_.text("precision"),
                              framework_.starts_with("TensorRT-LLM"));
    if (row_.text("mode") == "disagg") return disaggregated();
    if (users() > 0 && model_ == "gpt-oss-120b" && chip_ == "h100_sxm" && users() == 512) {
      return refused("512 users of gpt-oss on H100, limit of requests at once not known");
    }
    if (users() > 0) return loop();
    if (row_.has("batch")) return batch();
    if (row_.has("silicon_data_source")) return refused("no number of users in the row");
    return offline();
  }

 private:
  ServedCase refused(std::string reason) {
    case_.reason = std::move(reason);
    return std::move(case_);
  }

  bool names_found() {
    const auto model = names_.model(row_.text("model"));
    auto chip = names_.chip(row_.text("system"));
    // Polaris has the A100 of 40 GB.
    if (chip == "a100_sxm" && mentions(row_.table(), "argonne")) chip = "a100_sxm_40gb";
    if (row_.text("model").empty()) {
      case_.reason = "the row names no model";
    } else if (!model) {
      case_.reason = fmt::format("model '{}' is not in workloads/models", row_.text("model"));
    } else if (!chip) {
      case_.reason = fmt::format("chip '{}' is not in hw_configs/chips", row_.text("system"));
    } else if (layer_ == "generic" && row_.has("software") && !is_llama_cpp()) {
      case_.reason = fmt::format("no software layer for '{}'", row_.text("software"));
    }
    case_.model = model.value_or("");
    case_.chip = chip.value_or("");
    model_ = case_.model;
    chip_ = case_.chip;
    if (!case_.reason.empty()) return false;
    return true;
  }

  [[nodiscard]] bool is_llama_cpp() const { return row_.text("software") == "llama.cpp"; }

  [[nodiscard]] bool has_experts() const {
    for (const char* name : {"deepseek", "gpt-oss", "mixtral", "minimax", "kimi", "-a"}) {
      if (mentions(model_, name)) return true;
    }
    return false;
  }

  /// A number of the row, or out of the name of its run where the column is empty.
  [[nodiscard]] std::int64_t number_of(const char* name, const char* word) const {
    return row_.count(name, number_behind(row_.text("file"), word));
  }

  /// Of a closed loop. What an engine has at once (`batch_size`) is not that.
  [[nodiscard]] std::int64_t users() const { return number_of("concurrency", "conc"); }

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
    // The engine leaves dependent launches off unless TRTLLM_ENABLE_PDL is set, which of the
    // benchmark's scripts those of gpt-oss do, with versions that have it.
    const bool has_version =
        framework_.starts_with("TensorRT-LLM 1.") && !framework_.starts_with("TensorRT-LLM 1.0");
    if (model_ == "gpt-oss-120b" && has_version) {
      change("software.dependent_launch", "1");
    }
    change("audit_steps", "0");
    return true;
  }

  /// Tokens drafted by the model's own module before each verification; 0: none.
  [[nodiscard]] std::int64_t drafts() const { return row_.count("drafts", 0); }

  void speculate() {
    if (drafts() == 0) return;
    change("speculation",
           fmt::format("{{method: mtp, drafts: {}, acceptance: {}}}", drafts(), draft_acceptance));
  }

  [[nodiscard]] std::string monolithic(const ServedGang& gang) const {
    return fmt::format("{{mode: monolithic, pool: gpu, {}, precision: {}}}", gang.keys(),
                       formats_.text());
  }

  /// `prompts`: the chips of an engine that computes prompts.
  [[nodiscard]] std::string serving(std::int64_t gpus, const ServedGang& prompts) const {
    const std::int64_t groups = prompts.shares_requests ? prompts.gpus : 1;
    return served_serving(framework_, model_, formats_,
                          {lengths_.prompt, lengths_.output, case_.users, gpus, groups, drafts(),
                           row_.text("mode") == "disagg", draws_lengths(row_)});
  }

  ServedCase loop() {
    const ServedGang gang = served_gang(row_, "", has_experts());
    case_.users = users();
    if (!place(monolithic(gang), gang.gpus)) return std::move(case_);
    change("serving", serving(gang.gpus, gang));
    speculate();
    change("traffic", loop_traffic(lengths_, case_.users, draws_lengths(row_)));
    return std::move(case_);
  }

  ServedCase disaggregated() {
    const std::int64_t workers[] = {row_.count("prefill_workers", 0),
                                    row_.count("decode_workers", 0)};
    if (workers[0] == 0 || workers[1] == 0) {
      return refused(fmt::format("disaggregated {}, engines and drafts not known by its load",
                                 framework_.substr(0, framework_.find(' '))));
    }
    case_.users = users();
    if (case_.users == 0) return refused("no number of users in the row");
    std::string pools;
    std::int64_t gpus = 0;
    ServedGang prompts;
    for (const int pool : {0, 1}) {
      const std::string name = pool == 0 ? "prefill" : "decode";
      const ServedGang gang = served_gang(row_, name + "_", has_experts());
      if (pool == 0) prompts = gang;
      gpus += gang.gpus * workers[pool];
      pools += fmt::format(", {}: {{pool: gpu, {}, replicas: {}, precision: {}}}", name,
                           gang.keys(), workers[pool], formats_.text());
    }
    if (!place("{mode: disaggregated" + pools + "}", gpus)) return std::move(case_);
    change("serving", serving(gpus, prompts));
    speculate();
    change("traffic", loop_traffic(lengths_, case_.users, draws_lengths(row_)));
    return std::move(case_);
  }

  ServedCase batch() {
    case_.statistic = ServedStatistic::Batch;
    const ServedGang gang = served_gang(row_, "", has_experts());
    case_.users = row_.count("batch", 1);
    if (is_cut_off()) return refused("time of the row is not that of its tokens");
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

  /// Splitwise's rows of more than 1,024 tokens were cut off, 64 prompts on two chips split; rows
  /// of ALCF with less than two milliseconds per token of an answer ended with the prompt.
  [[nodiscard]] bool is_cut_off() const {
    if (const auto seconds = row_.number("Latency")) {
      return *seconds < 2e-3 * static_cast<double>(lengths_.output);
    }
    if (!mentions(row_.table(), "splitwise")) return false;
    return lengths_.output > 1024 || (case_.users == 64 && row_.count("tp", 1) == 2);
  }

  /// trtllm-bench throughput. What it sets by the model's and the chips' sizes is added to the run.
  ServedCase offline() {
    case_.statistic = ServedStatistic::Offline;
    const ServedGang gang = served_gang(row_, "", has_experts());
    if (!place(monolithic(gang), gang.gpus)) return std::move(case_);
    case_.users = offline_requests(lengths_.prompt, lengths_.output);
    // attention_dp_config of its options for DeepSeek; the others leave it off.
    const bool balances = gang.shares_requests && mentions(model_, "deepseek");
    change("serving", fmt::format("{{policy: vllm_v1, chunked_prefill: false, kv_block_tokens: 32, "
                                  "prefix_cache: false, max_batch_tokens: 65536{}}}",
                                  balances ? fmt::format(", balanced_groups: {}, "
                                                         "balance_wait_steps: 60",
                                                         gang.gpus)
                                           : ""));
    change("traffic", fmt::format("{{arrivals: closed, start: together, concurrency: {0}, "
                                  "requests: {0}, prompt_tokens: {1}, output_tokens: {2}}}",
                                  case_.users, lengths_.prompt, lengths_.output));
    return std::move(case_);
  }

  const ServedRow& row_;
  const ServedNames& names_;
  const std::string& layer_;
  std::string framework_, model_, chip_;
  Lengths lengths_{};
  ServedFormats formats_;
  ServedCase case_;
};

}  // namespace

ServedCase served_case(const ServedRow& row, const ServedNames& names, const std::string& layer) {
  return CaseMaker(row, names, layer).make();
}

}  // namespace tandem::entry
