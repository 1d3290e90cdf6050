// What the cells of the table run: a short text through a network on a chip and through the
// reference model.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sim/lower/chip_model.hpp"
#include "sim/lower/reference_model.hpp"
#include "tests/conformance/table.hpp"

namespace tandem::conformance {

/// Room for all passes.
inline constexpr std::int64_t positions = 16;
/// New tokens of each pass: a prompt and tokens behind it.
using Passes = std::vector<std::int64_t>;
inline const Passes prompt_and_tokens = {5, 1, 1};

[[nodiscard]] std::int32_t token_at(const NeuralNetwork& network, std::int64_t position);

/// Logits of the last token of every pass.
using PassLogits = std::vector<std::vector<float>>;

[[nodiscard]] PassLogits run_on(const ChipModel& chip, const Stage& stage, const Weights& weights,
                                const Passes& passes = prompt_and_tokens);
/// `is_module`: of the model's first module of multi-token prediction.
[[nodiscard]] PassLogits run_reference(const Weights& weights, bool is_module,
                                       const Passes& passes = prompt_and_tokens,
                                       const ReferenceOptions& options = {{}, false, false});

/// Largest difference as a share of the reference's largest value.
[[nodiscard]] double distance(const PassLogits& found, const PassLogits& expected);

/// Runs `body` where numbers are promised; where a refusal is, expects its words.
template <class Body>
void expect_promise(const Promise& promise, const std::string& what, const Body& body) {
  SCOPED_TRACE(what);
  const bool is_refused = !promise.refused.empty();
  try {
    body();
    if (is_refused) ADD_FAILURE() << "was not refused";
  } catch (const std::exception& error) {
    const std::string words = error.what();
    EXPECT_TRUE(is_refused && words.find(promise.refused) != std::string::npos) << words;
  }
}

}  // namespace tandem::conformance
