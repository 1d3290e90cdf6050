// The operations behind the commands and the Python module: a request value in, texts out. They
// print nothing and write no files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/entry/context.hpp"

namespace tandem::entry {

struct RunRequest {
  std::string scenario;
  std::vector<Override> overrides;
  std::string fidelity = "cycle";  ///< or "analytical"
  bool exact = false;
  std::optional<std::uint64_t> seed;
  std::string store = "none";
  bool with_requests = false;
  bool with_timeline = false;
  bool all_ranks = false;
};
struct RunAnswer {
  std::string json;          ///< DESIGN section 12, with the `run` object
  std::string page;          ///< for people
  std::string requests_csv;  ///< when asked for
  std::string timeline;      ///< Chrome trace JSON, when asked for
};
[[nodiscard]] RunAnswer run_scenario(const Context& context, const RunRequest& request);

struct GenerateRequest {
  std::string scenario;
  std::vector<Override> overrides;
  std::string checkpoint;
  std::string
      draft_checkpoint;  ///< of drafter placements; empty: the draft model is part of the model
  std::string tokenizer;
  std::string prompt;
  std::int64_t tokens = 256;
  double temperature = 0;
  std::uint64_t seed = 1;
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

struct CapacityRequest {
  std::vector<std::string> scenarios;
  std::vector<Override> overrides;
  bool curve = false;
  std::string store = "none";
};
struct CapacityAnswer {
  std::string json;
  std::string page;
};
[[nodiscard]] CapacityAnswer capacity_of(const Context& context, const CapacityRequest& request);

}  // namespace tandem::entry
