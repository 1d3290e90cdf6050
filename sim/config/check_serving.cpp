// Limits of a step that some request of the traffic could never pass.
#include <fmt/format.h>

#include <algorithm>

#include "sim/config/check_scenario.hpp"

namespace tandem::config {
namespace {

bool has_gpus(const Scenario& scenario) {
  return std::ranges::any_of(scenario.system.groups, [&](const ChipGroup& group) {
    const bool is_placed = group.pool == scenario.placement.prefill.pool ||
                           group.pool == scenario.placement.decode.pool;
    const auto chip =
        scenario.system.chips.find(group.chip);  // a name that is wrong is told before
    return is_placed && (chip == scenario.system.chips.end() || chip->second.model == "gpu");
  });
}

}  // namespace

void check_step_limits(const Scenario& scenario, const Tree& tree, Problems& problems) {
  const Tree* serving = tree.find("serving");
  if (serving == nullptr) return;
  const Serving& rules = scenario.serving;
  if (!has_gpus(scenario)) {
    for (const char* key : {"policy", "order", "chunked_prefill"}) {
      const Tree* given = serving->find(key);
      if (given == nullptr || (key == std::string("policy") && given->text != "sglang")) continue;
      problems.report(given->place, fmt::format("replicas of LPUs answer first come, first served; "
                                                "leave '{}' out",
                                                key));
    }
    return;
  }
  const auto report = [&](const std::string& text) {
    const Tree* tokens = serving->find("max_batch_tokens");
    problems.report(tokens == nullptr ? serving->place : tokens->place, text);
  };
  const std::int64_t tokens = rules.max_batch_tokens;
  if (rules.policy == "sglang" && tokens < rules.kv_block_tokens) {
    report(
        fmt::format("prompts are cut at whole blocks of KV; write 'max_batch_tokens' of at least "
                    "{}, or a smaller 'kv_block_tokens'",
                    rules.kv_block_tokens));
  }
  if (rules.policy != "vllm_v1") return;
  const std::int64_t prompt = longest_prompt(scenario.traffic);
  if (!rules.chunked_prefill && prompt > tokens) {
    return report(
        fmt::format("prompts wait for a step that takes them whole, and one of {} tokens "
                    "never finds it; write 'max_batch_tokens: {}', or leave "
                    "'chunked_prefill' out",
                    prompt, prompt));
  }
  if (tokens < rules.max_sequences && serving->find("max_batch_tokens") != nullptr) {
    report(
        fmt::format("a step of {} tokens is less than the {} requests that may run; write "
                    "'max_batch_tokens' of at least that, or 'max_sequences: {}'",
                    tokens, rules.max_sequences, tokens));
  }
}

}  // namespace tandem::config
