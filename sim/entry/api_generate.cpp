#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <sstream>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/describe_page.hpp"
#include "sim/entry/generate_json.hpp"
#include "sim/lower/checkpoint.hpp"
#include "sim/lower/llama2c_checkpoint.hpp"
#include "sim/step/draft_generate.hpp"
#include "sim/step/generate_in_rounds.hpp"
#include "sim/step/score.hpp"

namespace tandem::entry {
namespace {

/// The config.json that Hugging Face puts beside the tensors.
std::string config_beside(const std::string& checkpoint) {
  std::error_code error;
  const std::filesystem::path path(checkpoint);
  const std::filesystem::path folder =
      std::filesystem::is_directory(path, error) ? path : path.parent_path();
  const std::string config = (folder / "config.json").string();
  if (!std::filesystem::is_regular_file(config, error)) {
    throw ConfigError(SourcePlace{checkpoint, 0, 0},
                      "its network is unknown: there is no '" + config +
                          "'; name a model with --set model=NAME instead");
  }
  return config;
}

/// The weights of the scenario's network; where it has none, the checkpoint brings it: llama2.c in
/// its header, Hugging Face in the config.json beside it.
Weights read_weights(const Context& context, const NeuralNetwork& network,
                     const std::string& checkpoint) {
  if (network.layers() > 0) return read_checkpoint(checkpoint, network);
  if (!is_safetensors_checkpoint(checkpoint)) return read_llama2c_checkpoint(checkpoint);
  return read_checkpoint(checkpoint, context.loader.network(config_beside(checkpoint)));
}

/// The draft model's weights: a checkpoint of their own, or a part of the model's.
Weights read_draft_weights(const Context& context, const NeuralNetwork& network,
                           const Weights& weights, const std::string& checkpoint) {
  if (!checkpoint.empty()) return read_weights(context, network, checkpoint);
  return network.layers() > 0 ? weights_within(weights, network) : weights;
}

/// Texts of the prompt. Rounds of drafts have one.
std::int64_t branches_of(const GenerateRequest& request, const Scenario& scenario) {
  if (scenario.traffic.has_agents()) {
    throw ConfigError(scenario.placement.decode.place,
                      "agents are timed only; leave 'agents' and 'rounds' out of the traffic");
  }
  const std::int64_t branches = request.branches.value_or(scenario.traffic.branches);
  if (branches != 1 && scenario.placement.speculation.is_on()) {
    throw ConfigError("--branches goes without speculative decoding; leave one of the two out");
  }
  return branches;
}

GenerateResult generate_on(const Context& context, const GenerateRequest& request,
                           const Scenario& scenario, const Weights& weights,
                           std::span<const std::int32_t> prompt, const GenerateOptions& options) {
  if (scenario.placement.has_drafter()) {
    const Weights drafts =
        read_draft_weights(context, scenario.draft_model, weights, request.draft_checkpoint);
    return generate_with_drafts(scenario, context.catalogue, context.make_network, weights, drafts,
                                prompt, options);
  }
  const bool has_draft_model = scenario.placement.speculation.method == DraftMethod::DraftModel;
  if (!request.draft_checkpoint.empty() && !has_draft_model) {
    throw ConfigError("--draft-checkpoint is for scenarios with a 'draft_model'; leave it out");
  }
  if (scenario.placement.drafts_in_place()) {
    const Weights drafts = has_draft_model ? read_draft_weights(context, scenario.draft_model,
                                                                weights, request.draft_checkpoint)
                                           : Weights();
    return generate_in_rounds(scenario, context.catalogue, context.make_network, weights, drafts,
                              prompt, options);
  }
  return generate(scenario, context.catalogue, context.make_network, weights, prompt, options);
}

/// One document per line.
std::vector<Document> documents_of(const ScoreRequest& request, const Tokenizer& tokenizer) {
  std::vector<Document> documents;
  std::istringstream lines(request.text);
  for (std::string line; std::getline(lines, line);) {
    const bool is_enough =
        request.documents > 0 && static_cast<std::int64_t>(documents.size()) == request.documents;
    if (is_enough) break;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    documents.push_back(tokenizer.encode(line, true, false));
    documents.back().push_back(end_of_text_token);
  }
  return documents;
}

ScoreAnswer answer_of(const ScoreResult& result, const std::vector<Document>& documents,
                      const std::string& formats) {
  const double per_token = result.nats() / static_cast<double>(result.tokens());
  ScoreAnswer answer;
  nlohmann::ordered_json json;
  json["documents"] = documents.size();
  json["tokens"] = result.tokens();
  json["nats"] = result.nats();
  json["nats_per_token"] = per_token;
  json["perplexity"] = result.perplexity();
  json["weights"] = formats;
  json["simulated_ms"] = to_milliseconds(result.simulated);
  answer.json = json.dump(1) + "\n";
  answer.page =
      fmt::format("  {:<28}{} in {} documents\n  {:<28}{:.4f}\n  {:<28}{:.6f}\n  {:<28}{}\n",
                  "tokens", result.tokens(), documents.size(), "perplexity per token",
                  result.perplexity(), "nats per token", per_token, "weights", formats);
  answer.tokens_csv = "document,position,token,nats\n";
  for (std::size_t d = 0; d < documents.size(); ++d) {
    for (std::size_t i = 0; i < result.documents[d].size(); ++i) {
      answer.tokens_csv += fmt::format("{},{},{},{:.9g}\n", d + 1, i + 1, documents[d][i + 1],
                                       result.documents[d][i]);
    }
  }
  return answer;
}

}  // namespace

ScoreAnswer score_text_of(const Context& context, const ScoreRequest& request) {
  if (request.tokens_per_pass < 0) throw ConfigError("--tokens-per-pass must not be negative");
  Scenario scenario = context.loader.scenario(request.scenario, request.overrides);
  require_one_model(scenario);
  const Weights weights = read_weights(context, scenario.model, request.checkpoint);
  const Tokenizer tokenizer(request.tokenizer, weights.network.vocabulary);
  scenario.model = weights.network;
  const std::vector<Document> documents = documents_of(request, tokenizer);
  const ScoreResult result = score(scenario, context.catalogue, context.make_network, weights,
                                   documents, {request.tokens_per_pass});
  return answer_of(result, documents, formats_text(scenario.placement.decode.precision));
}

GenerateAnswer generate_text_of(const Context& context, const GenerateRequest& request) {
  Scenario scenario = context.loader.scenario(request.scenario, request.overrides);
  require_one_model(scenario);
  const Weights weights = read_weights(context, scenario.model, request.checkpoint);
  const Tokenizer tokenizer(request.tokenizer, weights.network.vocabulary);
  scenario.model = weights.network;
  TimelineRecorder timeline;
  GenerateOptions options;
  options.positions = request.tokens;
  options.temperature = request.temperature;
  options.top_k = request.top_k;
  options.top_p = request.top_p;
  options.seed = request.seed;
  options.branches = branches_of(request, scenario);
  options.timeline = request.with_timeline ? &timeline : nullptr;
  const std::vector<std::int32_t> prompt = tokenizer.encode(request.prompt, true, false);
  const GenerateResult result = generate_on(context, request, scenario, weights, prompt, options);
  const double error = reference_max_abs_error(result, weights);
  const std::vector<std::string> texts = texts_of(result, tokenizer);
  GenerateAnswer answer;
  answer.json = generate_json(result, texts, error);
  answer.page = generate_page(result, texts, error);
  const Placement& placement = scenario.placement;
  std::set<std::string> placed{placement.prefill.pool, placement.decode.pool, placement.ffn.pool,
                               placement.draft.pool};
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
