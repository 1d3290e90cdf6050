// The operations behind the commands and the Python module: a request value in, texts out. They
// print nothing and write no files.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/config/config_parts.hpp"
#include "sim/entry/context.hpp"
#include "sim/entry/describe_passes.hpp"

namespace tandem::entry {

/// The scenario with its overrides. Throws ConfigError where it takes its model from a checkpoint.
[[nodiscard]] Scenario runnable_scenario(const Context& context, const std::string& name,
                                         const std::vector<Override>& overrides);

struct RunRequest {
  std::string scenario;
  std::vector<Override> overrides;
  std::string fidelity = "cycle";  ///< or "analytical"
  bool exact = false;
  double perturbation = 0;  ///< RunOptions::perturbation
  std::optional<std::uint64_t> seed;
  std::string store = "none";
  bool with_requests = false;  ///< as CSV
  bool with_rows = false;      ///< as values
  bool with_timeline = false;
  bool all_ranks = false;
  bool with_swings = false;
  std::function<void()> poll;  ///< RunOptions::poll
};
/// One request of a run as the Python module hands it over: fields without gaps.
struct RequestRow {
  std::int64_t id = 0;
  double arrival_s = 0;
  std::int64_t prompt = 0;  ///< tokens
  std::int64_t output = 0;  ///< tokens
  double ttft_ms = 0;
  double tpot_ms = 0;
  double e2e_ms = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t preemptions = 0;
  std::int64_t deployment = 0;  ///< index in `deployments` of the result; 0 without a mix
};
struct RunAnswer {
  std::string json;                  ///< DESIGN section 12, with the `run` object
  std::string page;                  ///< for people
  std::string requests_csv;          ///< when asked for
  std::vector<RequestRow> requests;  ///< when asked for
  std::string timeline;              ///< Chrome trace JSON, when asked for
  /// Seconds that the passes of each pool took by family of kernels: "gpu.attention".
  std::map<std::string, double> pass_s;
  std::map<std::string, ConfigPart> parts;  ///< what the scenario is made of
  /// When asked for: JSON list of the numbers with a range, {parameter, low, high, source, basis,
  /// figures{key: [least, largest]}}, the figures over their value.
  std::string swings;
};
[[nodiscard]] RunAnswer run_scenario(const Context& context, const RunRequest& request);

/// One pass of a pool by itself: equal requests.
struct StepRequest {
  std::string scenario;
  std::vector<Override> overrides;
  std::string pool = "decode";  ///< or "prefill"; one pool may be both
  std::int64_t requests = 1;    ///< of the whole pass
  std::int64_t new_tokens = 1;  ///< of each
  std::int64_t cached = 1024;   ///< of each
  std::string store = "none";
  bool all_ranks = false;
};
struct StepAnswer {
  std::string json;  ///< figures, and the `run` object
  std::string page;  ///< for people
};
/// Throws ConfigError for numbers out of range and for what the pool cannot run.
[[nodiscard]] StepAnswer step_of(const Context& context, const StepRequest& request);

struct GenerateRequest {
  std::string scenario;
  std::vector<Override> overrides;
  std::string checkpoint;
  std::string
      draft_checkpoint;  ///< of drafter placements; empty: the draft model is part of the model
  std::string tokenizer;
  std::string prompt;
  std::int64_t tokens = 256;
  double temperature = 0;  ///< 0: greedy
  std::int64_t top_k = 0;
  double top_p = 1;
  std::uint64_t seed = 1;
  /// Texts that go on from the same prompt; none: as many as the scenario's traffic has.
  std::optional<std::int64_t> branches;
  bool with_timeline = false;
};
struct GenerateAnswer {
  std::string json;
  std::string page;
  std::string logits_jsonl;
  std::string timeline;
};
[[nodiscard]] GenerateAnswer generate_text_of(const Context& context,
                                              const GenerateRequest& request);

/// Given text on the pool of a scenario that makes tokens.
struct ScoreRequest {
  std::string scenario;
  std::vector<Override> overrides;
  std::string checkpoint;
  std::string tokenizer;
  std::string text;                  ///< one document per line; empty lines are none
  std::int64_t documents = 0;        ///< the first so many; 0: all
  std::int64_t tokens_per_pass = 0;  ///< 0: a document per pass; 1: as tokens are decoded
};
struct ScoreAnswer {
  std::string json;        ///< figures
  std::string page;        ///< for people
  std::string tokens_csv;  ///< document, position, token, nats
};
/// A document begins and ends with the tokenizer's BOS, which llama2.c puts between texts. Throws
/// ConfigError as generate_text_of(), and for text without documents.
[[nodiscard]] ScoreAnswer score_text_of(const Context& context, const ScoreRequest& request);

struct CapacityRequest {
  std::vector<std::string> scenarios;
  std::vector<Override> overrides;
  bool curve = false;
  double tolerance = 0.02;  ///< CapacityOptions::tolerance
  std::string store = "none";
  std::function<void()> poll;  ///< RunOptions::poll
};
struct CapacityAnswer {
  std::string json;
  std::string page;
  std::string csv;  ///< of the curves
};
/// Users by context length (capacity_map()).
struct MapRequest {
  std::vector<std::string> scenarios;
  std::vector<Override> overrides;
  std::vector<std::int64_t> contexts;  ///< tokens; none: 1,024 to the model's longest, by fours
  std::vector<std::int64_t> users;     ///< none: 1 to 1,024, by fours
  std::string store = "none";
};
/// `csv` stays empty. Throws ConfigError for mixes of models.
[[nodiscard]] CapacityAnswer map_of(const Context& context, const MapRequest& request);
[[nodiscard]] CapacityAnswer capacity_of(const Context& context, const CapacityRequest& request);

/// Single kernels of one operator, a row each.
struct KernelsRequest {
  std::string chip;
  std::string op;
  std::string csv;                 ///< text of the table
  std::string csv_name = "table";  ///< stands in errors
  std::string software = "generic";
  std::string fidelity = "cycle";   ///< or "analytical"
  std::vector<Override> overrides;  ///< of the chip; "software.KEY" of the software layer
  bool is_sustained = false;        ///< at the clock that the power limit leaves in a long run
};
struct KernelsAnswer {
  std::string csv;   ///< the table with predicted_ms, bound_ms, predicted_w, skipped
  std::string note;  ///< for people; empty where there is nothing to say
};
/// Throws ConfigError with every bad cell and every row that no model covers.
[[nodiscard]] KernelsAnswer kernels_of(const Context& context, const KernelsRequest& request);

struct DescribeRequest {
  std::string name;  ///< chip, link, system, model, scenario, prices or software; name or file
  bool fitted_only = false;
  DescribedPasses passes;
};
struct DescribeAnswer {
  std::string page;  ///< for people
  /// {kind, name}, and of chips, links, prices and software `parameters` {key: {value, dimension,
  /// basis, source, low, high}} in base units; of models `operators` {prefill, decode: [{role,
  /// count, matrix_flops, vector_flops, special_flops, weight_bytes, read_bytes, write_bytes}]}.
  std::string json;
};
/// Throws ConfigError where nothing has that name, with what was probably meant.
[[nodiscard]] DescribeAnswer describe_of(const Context& context, const DescribeRequest& request);

}  // namespace tandem::entry
