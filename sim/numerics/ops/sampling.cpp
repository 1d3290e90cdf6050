#include "sim/numerics/ops/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/argmax.hpp"
#include "sim/numerics/ops/softmax.hpp"

namespace tandem::ops {
namespace {

constexpr float excluded = -std::numeric_limits<float>::infinity();

void require(bool holds, const std::string& what) {
  if (!holds) {
    throw ModelError("sampling: " + what);
  }
}

void check_temperature(double temperature) {
  require(std::isfinite(temperature) && temperature >= 0,
          "the temperature must be a finite number of at least 0");
}

void check(const Sampling& sampling) {
  check_temperature(sampling.temperature);
  require(sampling.top_k >= 0, "top_k must be at least 0");
  require(sampling.top_p > 0 && sampling.top_p <= 1, "top_p must be above 0 and at most 1");
  require(sampling.min_p >= 0 && sampling.min_p <= 1, "min_p must be from 0 to 1");
  require(std::isfinite(sampling.repetition_penalty) && sampling.repetition_penalty > 0,
          "the repetition penalty must be a finite number above 0");
}

/// Every token counts once, however often it was seen.
void penalise(std::span<float> logits, std::span<const std::int32_t> history, double penalty) {
  std::vector<bool> seen(logits.size(), false);
  for (const std::int32_t token : history) {
    const auto index = static_cast<std::size_t>(token);
    require(token >= 0 && index < logits.size(),
            "no token " + std::to_string(token) + " in the vocabulary");
    if (seen[index]) {
      continue;
    }
    seen[index] = true;
    const auto logit = static_cast<double>(logits[index]);
    logits[index] = static_cast<float>(logit > 0 ? logit / penalty : logit * penalty);
  }
}

void heat(std::span<float> logits, double temperature) {
  for (float& value : logits) {
    value = static_cast<float>(static_cast<double>(value) / temperature);
  }
}

void keep_min_p(std::span<float> logits, double min_p) {
  std::vector<float> probabilities(logits.begin(), logits.end());
  softmax(probabilities);
  const auto best = static_cast<std::size_t>(argmax(probabilities));
  const double least = min_p * static_cast<double>(probabilities[best]);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (static_cast<double>(probabilities[i]) < least) {
      logits[i] = excluded;
    }
  }
}

void keep_only(std::span<float> logits, std::span<const std::int32_t> kept) {
  std::vector<float> left(logits.size(), excluded);
  for (const std::int32_t token : kept) {
    const auto index = static_cast<std::size_t>(token);
    left[index] = logits[index];
  }
  std::copy(left.begin(), left.end(), logits.begin());
}

void keep_top_p(std::span<float> logits, double top_p) {
  std::vector<float> probabilities(logits.begin(), logits.end());
  softmax(probabilities);
  const auto order = largest(logits, static_cast<std::int64_t>(logits.size()));
  double before = 0;
  std::size_t kept = 0;
  while (kept < order.size() && (kept == 0 || before < top_p)) {
    before += static_cast<double>(probabilities[static_cast<std::size_t>(order[kept])]);
    ++kept;
  }
  keep_only(logits, std::span(order).first(kept));
}

}  // namespace

std::int32_t index_at(std::span<const float> weights, double coin, std::int32_t otherwise) {
  double cumulative = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    cumulative += static_cast<double>(weights[i]);
    if (coin < cumulative) {
      return static_cast<std::int32_t>(i);
    }
  }
  return otherwise;
}

std::int32_t sample(std::span<const float> logits, double temperature, RandomStream& random) {
  check_temperature(temperature);
  if (temperature == 0 || logits.empty()) {
    return argmax(logits);
  }
  std::vector<float> probabilities(logits.begin(), logits.end());
  heat(probabilities, temperature);
  softmax(probabilities);
  return index_at(probabilities, random.uniform(), argmax(logits));
}

std::vector<float> sampling_probabilities(std::span<const float> logits, const Sampling& sampling,
                                          std::span<const std::int32_t> history) {
  check(sampling);
  require(!logits.empty(), "no logits to choose from");
  std::vector<float> values(logits.begin(), logits.end());
  if (sampling.repetition_penalty != 1) {
    penalise(values, history, sampling.repetition_penalty);
  }
  if (sampling.temperature == 0) {
    const auto best = static_cast<std::size_t>(argmax(values));
    std::fill(values.begin(), values.end(), 0.0F);
    values[best] = 1.0F;
    return values;
  }
  heat(values, sampling.temperature);
  if (sampling.min_p > 0) {
    keep_min_p(values, sampling.min_p);
  }
  if (sampling.top_k > 0) {
    keep_only(values, largest(values, sampling.top_k));
  }
  if (sampling.top_p < 1) {
    keep_top_p(values, sampling.top_p);
  }
  softmax(values);
  return values;
}

std::int32_t sample(std::span<const float> logits, const Sampling& sampling,
                    std::span<const std::int32_t> history, RandomStream& random) {
  const auto probabilities = sampling_probabilities(logits, sampling, history);
  const std::int32_t best = argmax(probabilities);
  return sampling.temperature == 0 ? best : index_at(probabilities, random.uniform(), best);
}

}  // namespace tandem::ops
