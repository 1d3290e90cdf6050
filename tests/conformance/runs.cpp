#include "tests/conformance/runs.hpp"

#include <algorithm>
#include <cmath>

#include "sim/core/random.hpp"

namespace tandem::conformance {
namespace {

/// Hidden states that a module is given.
Tensor given_rows(const NeuralNetwork& network) {
  RandomStream random(9, "hidden");
  Tensor rows(ElementType::Float32, {positions, network.hidden});
  for (float& value : rows.floats()) value = static_cast<float>(random.normal());
  return rows;
}

std::span<const float> rows_from(const Tensor& rows, std::int64_t first, std::int64_t count) {
  const std::int64_t width = rows.shape().back();
  return rows.floats().subspan(static_cast<std::size_t>(first * width),
                               static_cast<std::size_t>(count * width));
}

}  // namespace

std::int32_t token_at(const NeuralNetwork& network, std::int64_t position) {
  return static_cast<std::int32_t>((7 * position + 3) % network.vocabulary);
}

PassLogits run_on(const ChipModel& chip, const Stage& stage, const Weights& weights,
                  const Passes& passes) {
  const auto loaded = chip.load(stage, weights, 1, positions);
  const NeuralNetwork& network = stage.network;
  const Tensor hidden = given_rows(network);
  PassLogits logits;
  std::int64_t done = 0;
  for (const std::int64_t count : passes) {
    StageData in, out;
    for (std::int64_t i = 0; i < count; ++i) in.tokens.push_back(token_at(network, done + i));
    if (network.joins_hidden) {
      in.hidden = Tensor(ElementType::Float32, {count, network.hidden});
      std::ranges::copy(rows_from(hidden, done, count), in.hidden.floats().begin());
    }
    (void)loaded->run({{{0, done, count, true}}}, in, out);
    const auto row = out.logits.floats();
    logits.emplace_back(row.begin(), row.end());
    done += count;
  }
  return logits;
}

PassLogits run_reference(const Weights& weights, bool is_module, const Passes& passes,
                         const ReferenceOptions& options) {
  ReferenceModel reference(weights, options);
  const NeuralNetwork& network = weights.network;
  const Tensor hidden = given_rows(network);
  PassLogits logits;
  std::int64_t done = 0;
  for (const std::int64_t count : passes) {
    Tensor row;
    for (std::int64_t i = done; i < done + count; ++i) {
      row = is_module ? reference.draft(rows_from(hidden, i, 1), token_at(network, i), i).logits
                      : reference.forward(token_at(network, i), i);
    }
    logits.emplace_back(row.floats().begin(), row.floats().end());
    done += count;
  }
  return logits;
}

double distance(const PassLogits& found, const PassLogits& expected) {
  EXPECT_EQ(found.size(), expected.size());
  double worst = 0, largest = 1e-30;
  for (std::size_t pass = 0; pass < std::min(found.size(), expected.size()); ++pass) {
    EXPECT_EQ(found[pass].size(), expected[pass].size());
    for (std::size_t i = 0; i < std::min(found[pass].size(), expected[pass].size()); ++i) {
      const auto value = static_cast<double>(expected[pass][i]);
      worst = std::max(worst, std::abs(static_cast<double>(found[pass][i]) - value));
      largest = std::max(largest, std::abs(value));
    }
  }
  return worst / largest;
}

}  // namespace tandem::conformance
