// The trained and the reference model of text generation, and runs of them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sim/entry/api.hpp"
#include "sim/lower/llama2c_checkpoint.hpp"
#include "sim/step/generate.hpp"
#include "tests/support/test_data.hpp"

namespace tandem::entry {

inline std::filesystem::path tales() {
  return std::filesystem::path(TANDEM_SOURCE_DIR) / "workloads" / "checkpoints" / "little_tales";
}

struct Model {
  Weights weights;
  Tokenizer tokenizer;
};

inline Model load_stories() {
  Weights weights =
      read_llama2c_checkpoint((tandem::test::stories_folder() / "stories260K.bin").string());
  Tokenizer tokenizer((tandem::test::stories_folder() / "tok512.bin").string(),
                      weights.network.vocabulary);
  return {std::move(weights), std::move(tokenizer)};
}

inline Model load_tales() {
  Weights weights = read_llama2c_checkpoint((tales() / "model.bin").string());
  Tokenizer tokenizer((tales() / "tokenizer.bin").string(), weights.network.vocabulary);
  return {std::move(weights), std::move(tokenizer)};
}

inline GenerateResult run(const Context& context, Scenario scenario, const Model& model,
                          const std::string& prompt, std::int64_t positions,
                          std::vector<std::int32_t> forced = {}) {
  scenario.model = model.weights.network;
  GenerateOptions options;
  options.positions = positions;
  options.forced = std::move(forced);
  const auto tokens = model.tokenizer.encode(prompt, true, false);
  return generate(scenario, context.catalogue, context.make_network, model.weights, tokens,
                  options);
}

}  // namespace tandem::entry
