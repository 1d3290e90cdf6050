// Runs with drafts in place, and how often texts come when they are sampled.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sim/entry/api.hpp"
#include "sim/lower/llama2c_checkpoint.hpp"
#include "sim/lower/reference_model.hpp"
#include "sim/numerics/ops/sampling.hpp"
#include "sim/numerics/tokenizer.hpp"
#include "sim/step/draft_generate.hpp"
#include "sim/step/generate_in_rounds.hpp"

namespace tandem::entry {

inline constexpr const char* floats = "{weights: float32, kv_cache: float32, activations: float32}";

inline std::int64_t accepted_in(const GenerateResult& result) {
  std::int64_t accepted = 0;
  for (const DraftRound& round : result.rounds) accepted += round.accepted;
  return accepted;
}

class RoundsInPlace : public ::testing::Test {
 protected:
  [[nodiscard]] Scenario scenario(const std::string& model, const std::string& speculation,
                                  std::vector<Override> more = {}) const {
    std::vector<Override> changes = {
        {"model", model}, {"traffic.prompt_tokens", "16"}, {"traffic.output_tokens", "16"}};
    if (!speculation.empty()) changes.push_back({"speculation", speculation});
    changes.insert(changes.end(), more.begin(), more.end());
    return context_.loader.scenario("little_tales_gpu", changes);
  }
  [[nodiscard]] GenerateResult alone(const Weights& weights, const std::string& model,
                                     const std::vector<std::int32_t>& prompt,
                                     const GenerateOptions& options) const {
    return generate(scenario(model, ""), context_.catalogue, context_.make_network, weights, prompt,
                    options);
  }
  [[nodiscard]] GenerateResult drafted(const Scenario& own, const Weights& weights,
                                       const Weights& draft,
                                       const std::vector<std::int32_t>& prompt,
                                       const GenerateOptions& options) const {
    return generate_in_rounds(own, context_.catalogue, context_.make_network, weights, draft,
                              prompt, options);
  }
  static GenerateOptions up_to(std::int64_t positions) {
    GenerateOptions options;
    options.positions = positions;
    options.ignore_end = true;
    return options;
  }

  Context context_ = make_context();
  std::vector<std::int32_t> prompt_ = {1, 17, 5, 42, 8};
};

/// Probability of each text of `count` tokens behind `prompt`, by the reference model.
inline std::map<std::vector<std::int32_t>, double> exact_texts(
    const Weights& weights, const std::vector<std::int32_t>& prompt, std::size_t count,
    const ops::Sampling& sampling) {
  std::map<std::vector<std::int32_t>, double> texts = {{{}, 1.0}};
  for (std::size_t i = 0; i < count; ++i) {
    std::map<std::vector<std::int32_t>, double> longer;
    for (const auto& [text, probability] : texts) {
      ReferenceModel reference(weights);
      std::vector<std::int32_t> known = prompt;
      known.insert(known.end(), text.begin(), text.end());
      Tensor logits;
      for (std::size_t at = 0; at < known.size(); ++at) {
        logits = reference.forward(known[at], static_cast<std::int64_t>(at));
      }
      const std::vector<float> p = ops::sampling_probabilities(logits.floats(), sampling, {});
      for (std::size_t token = 0; token < p.size(); ++token) {
        if (p[token] == 0) continue;
        std::vector<std::int32_t> next = text;
        next.push_back(static_cast<std::int32_t>(token));
        longer[next] = probability * static_cast<double>(p[token]);
      }
    }
    texts = std::move(longer);
  }
  return texts;
}

/// Pearson's statistic over texts that are expected at least five times, the others taken together,
/// and its 99.9 % point (Wilson and Hilferty 1931).
struct ChiSquare {
  double statistic = 0;
  double limit = 0;
};

inline ChiSquare chi_square(const std::map<std::vector<std::int32_t>, double>& exact,
                            const std::map<std::vector<std::int32_t>, std::int64_t>& seen,
                            std::int64_t runs) {
  ChiSquare result;
  double cells = 0;
  double rare = 0;
  auto rare_seen = static_cast<double>(runs);
  const auto add = [&](double expected, double found) {
    result.statistic += (found - expected) * (found - expected) / expected;
    ++cells;
  };
  for (const auto& [text, probability] : exact) {
    const double expected = probability * static_cast<double>(runs);
    if (expected < 5) {
      rare += expected;
      continue;
    }
    const auto found = seen.find(text);
    const double count = found == seen.end() ? 0 : static_cast<double>(found->second);
    rare_seen -= count;
    add(expected, count);
  }
  if (rare > 0) add(rare, rare_seen);
  const double freedom = cells - 1;
  const double spread = 2 / (9 * freedom);
  result.limit = freedom * std::pow(1 - spread + 3.09 * std::sqrt(spread), 3);
  return result;
}

/// Texts of three tokens, of which drafts and rejections make the last two.
inline std::map<std::vector<std::int32_t>, std::int64_t> texts_of_runs(
    std::int64_t runs, std::size_t prompt,
    const std::function<GenerateResult(std::uint64_t seed)>& generated) {
  std::map<std::vector<std::int32_t>, std::int64_t> seen;
  for (std::int64_t seed = 0; seed < runs; ++seed) {
    const GenerateResult result = generated(static_cast<std::uint64_t>(seed));
    const auto first = result.tokens.begin() + static_cast<std::ptrdiff_t>(prompt);
    ++seen[{first, first + 3}];
  }
  return seen;
}

/// A model whose layers but the last few are the draft's too.
class LittleTales : public RoundsInPlace {
 protected:
  LittleTales()
      : folder_(std::filesystem::path(TANDEM_SOURCE_DIR) / "workloads/checkpoints/little_tales"),
        weights_(read_llama2c_checkpoint((folder_ / "model.bin").string())),
        tokenizer_((folder_ / "tokenizer.bin").string(), weights_.network.vocabulary) {
    prompt_ = tokenizer_.encode("Once there was", true, false);
  }
  [[nodiscard]] Weights first_layers(std::int64_t layers) const {
    return weights_within(
        weights_, context_.loader.network("little_tales", {{"layers", std::to_string(layers)}}));
  }
  [[nodiscard]] Scenario with_draft_model(std::int64_t drafts) const {
    return scenario("little_tales", "{method: draft_model, drafts: " + std::to_string(drafts) + "}",
                    {{"draft_model", "little_tales"}});
  }

  std::filesystem::path folder_;
  Weights weights_;
  Tokenizer tokenizer_;
};

}  // namespace tandem::entry
