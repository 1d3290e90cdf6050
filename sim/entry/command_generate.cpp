#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/commands.hpp"
#include "sim/entry/generate_json.hpp"

namespace tandem::entry {
namespace {

struct Arguments {
  std::string scenario;
  std::vector<std::string> overrides;
  std::string checkpoint;
  std::string tokenizer;
  std::string prompt;
  std::int64_t tokens = 256;
  double temperature = 0;
  std::uint64_t seed = 1;
  std::string json;
  std::string logits;
  std::string timeline;
};

void run_generate(const Arguments& arguments, const Context& context) {
  Scenario scenario =
      context.loader.scenario(arguments.scenario, parse_overrides(arguments.overrides));
  const LlamaWeights weights = read_llama2c_checkpoint(arguments.checkpoint);
  const Tokenizer tokenizer(arguments.tokenizer, weights.network.vocabulary);
  if (arguments.temperature < 0) throw ConfigError("--temperature must not be negative");
  scenario.model = weights.network;
  TimelineRecorder timeline;
  GenerateOptions options;
  options.positions = arguments.tokens;
  options.temperature = arguments.temperature;
  options.seed = arguments.seed;
  options.timeline = arguments.timeline.empty() ? nullptr : &timeline;
  const std::vector<std::int32_t> prompt = tokenizer.encode(arguments.prompt, true, false);
  const GenerateResult result =
      generate(scenario, context.catalogue, context.make_network, weights, prompt, options);
  const double error = reference_max_abs_error(result, weights);
  const std::string text = text_of(result, tokenizer);

  if (arguments.json != "-") std::cout << generate_page(result, text, error);
  if (!arguments.json.empty()) {
    write_output(arguments.json,
                 [&](std::ostream& out) { out << generate_json(result, text, error); });
  }
  if (!arguments.logits.empty()) {
    write_output(arguments.logits, [&](std::ostream& out) { out << logits_jsonl(result); });
  }
  if (!arguments.timeline.empty()) {
    write_output(arguments.timeline, [&](std::ostream& out) { timeline.write_chrome_trace(out); });
  }
}

}  // namespace

void add_generate(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "generate", "Runs a small model for real on the simulated chips and prints its text");
  command->add_option("scenario", arguments->scenario, "Scenario file or name")->required();
  command->add_option("--set", arguments->overrides, "path=value, repeatable");
  command->add_option("--checkpoint", arguments->checkpoint, "llama2.c v0 checkpoint")->required();
  command->add_option("--tokenizer", arguments->tokenizer, "llama2.c tokenizer.bin")->required();
  command->add_option("--prompt", arguments->prompt, "Text to continue");
  command->add_option("--tokens", arguments->tokens, "Positions to compute, prompt included");
  command->add_option("--temperature", arguments->temperature, "0: greedy");
  command->add_option("--seed", arguments->seed, "Seed of the sampling stream");
  command->add_option("--json", arguments->json, "Write the result as JSON; - for standard output");
  command->add_option("--logits", arguments->logits, "Write logits as JSON lines");
  command->add_option("--timeline", arguments->timeline, "Write a Chrome trace");
  command->callback([arguments, &session] { run_generate(*arguments, session.context); });
}

}  // namespace tandem::entry
