#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "sim/entry/api.hpp"
#include "sim/entry/commands.hpp"

namespace tandem::entry {
namespace {

struct GenerateArguments {
  GenerateRequest request;
  std::vector<std::string> overrides;
  std::string json;
  std::string logits;
  std::string timeline;
  std::string store;
};

void run_generate(GenerateArguments& arguments, const Context& context) {
  arguments.request.overrides = parse_overrides(arguments.overrides);
  arguments.request.with_timeline = !arguments.timeline.empty();
  const GenerateAnswer answer = generate_text_of(context, arguments.request);
  write_outputs({{arguments.json, answer.json},
                 {arguments.logits, answer.logits_jsonl},
                 {arguments.timeline, answer.timeline}});
  if (arguments.json != "-") std::cout << answer.page;
}

}  // namespace

void add_generate(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<GenerateArguments>();
  GenerateRequest& request = arguments->request;
  CLI::App* command = app.add_subcommand(
      "generate", "Runs a small model for real on the simulated chips and prints its text");
  command->add_option("scenario", request.scenario, "Scenario file or name")->required();
  command->add_option("--set", arguments->overrides, "path=value, repeatable");
  command
      ->add_option("--checkpoint", request.checkpoint,
                   "Weights: a llama2.c v0 file, a .safetensors file, an index of several, or a "
                   "folder of them with config.json")
      ->required();
  command->add_option("--draft-checkpoint", request.draft_checkpoint,
                      "Weights of the draft model; without them its tensors are "
                      "those of the same names in --checkpoint");
  command->add_option("--tokenizer", request.tokenizer, "llama2.c tokenizer.bin")->required();
  command->add_option("--prompt", request.prompt, "Text to continue");
  command->add_option("--tokens", request.tokens, "Positions to compute, prompt included");
  command->add_option("--temperature", request.temperature, "0: greedy");
  command->add_option("--top-k", request.top_k,
                      "Sample from the K most probable tokens; 0: from all");
  command->add_option("--top-p", request.top_p,
                      "Sample from the most probable tokens that together reach P");
  command->add_option("--seed", request.seed, "Seed of the sampling stream");
  command->add_option("--branches", request.branches,
                      "Texts that go on from the prompt, which is computed once; each samples from "
                      "a stream of its own; without it those of the scenario's traffic");
  command->add_option("--json", arguments->json, "Write the result as JSON; - for standard output");
  command->add_option("--logits", arguments->logits, "Write logits as JSON lines");
  command->add_option("--store", arguments->store,
                      "Accepted like everywhere; functional runs store nothing");
  command->add_option("--timeline", arguments->timeline, "Write a Chrome trace");
  command->callback([arguments, &session] { run_generate(*arguments, session.context); });
}

}  // namespace tandem::entry
