#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/commands.hpp"

namespace tandem::entry {
namespace {

struct ScoreArguments {
  ScoreRequest request;
  std::vector<std::string> overrides;
  std::string text;
  std::string json;
  std::string tokens_csv;
};

std::string contents_of(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw ConfigError(SourcePlace{file, 0, 0}, "cannot be read");
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

void run_score(ScoreArguments& arguments, const Context& context) {
  arguments.request.overrides = parse_overrides(arguments.overrides);
  arguments.request.text = contents_of(arguments.text);
  const ScoreAnswer answer = score_text_of(context, arguments.request);
  write_outputs({{arguments.json, answer.json}, {arguments.tokens_csv, answer.tokens_csv}});
  if (arguments.json != "-") std::cout << answer.page;
}

}  // namespace

void add_score(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<ScoreArguments>();
  ScoreRequest& request = arguments->request;
  CLI::App* command = app.add_subcommand(
      "score", "Perplexity of given text on the simulated chips, in the formats of a scenario");
  command->add_option("scenario", request.scenario, "Scenario file or name")->required();
  command->add_option("--set", arguments->overrides, "path=value, repeatable");
  command
      ->add_option("--checkpoint", request.checkpoint,
                   "Weights: a llama2.c v0 file, a .safetensors file, an index of several, or a "
                   "folder of them with config.json")
      ->required();
  command->add_option("--tokenizer", request.tokenizer, "llama2.c tokenizer.bin")->required();
  command->add_option("--text", arguments->text, "File with one document per line")->required();
  command->add_option("--documents", request.documents, "Only the first so many; 0: all")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--tokens-per-pass", request.tokens_per_pass,
                      "Tokens that one pass computes; 0: a whole document, 1: as in decoding");
  command->add_option("--json", arguments->json,
                      "Write the figures as JSON; - for standard output");
  command->add_option("--tokens", arguments->tokens_csv,
                      "Write the surprise of every token as CSV: document, position, token, nats");
  command->callback([arguments, &session] { run_score(*arguments, session.context); });
}

}  // namespace tandem::entry
