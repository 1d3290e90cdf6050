#include <set>
#include <sstream>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/describe_page.hpp"
#include "sim/entry/generate_json.hpp"
#include "sim/lower/llama2c_checkpoint.hpp"

namespace tandem::entry {

GenerateAnswer generate_text_of(const Context& context, const GenerateRequest& request) {
  if (request.temperature < 0) throw ConfigError("--temperature must not be negative");
  Scenario scenario = context.loader.scenario(request.scenario, request.overrides);
  const Weights weights = read_llama2c_checkpoint(request.checkpoint);
  const Tokenizer tokenizer(request.tokenizer, weights.network.vocabulary);
  scenario.model = weights.network;
  TimelineRecorder timeline;
  GenerateOptions options;
  options.positions = request.tokens;
  options.temperature = request.temperature;
  options.seed = request.seed;
  options.timeline = request.with_timeline ? &timeline : nullptr;
  const std::vector<std::int32_t> prompt = tokenizer.encode(request.prompt, true, false);
  const GenerateResult result =
      generate(scenario, context.catalogue, context.make_network, weights, prompt, options);
  const double error = reference_max_abs_error(result, weights);
  const std::string text = text_of(result, tokenizer);
  GenerateAnswer answer;
  answer.json = generate_json(result, text, error);
  answer.page = generate_page(result, text, error);
  std::set<std::string> placed{scenario.placement.prefill.pool, scenario.placement.decode.pool};
  for (const ChipGroup& group : scenario.system.groups) {
    if (placed.count(group.pool) == 0) continue;
    answer.page += "  " + assumption_note(scenario.system.chips.at(group.chip));
  }
  answer.logits_jsonl = logits_jsonl(result);
  if (request.with_timeline) {
    std::ostringstream trace;
    timeline.write_chrome_trace(trace);
    answer.timeline = trace.str();
  }
  return answer;
}

}  // namespace tandem::entry
