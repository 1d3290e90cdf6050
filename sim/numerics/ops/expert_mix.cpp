#include "sim/numerics/ops/expert_mix.hpp"

#include <algorithm>
#include <cassert>
#include <string>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/linear.hpp"

namespace tandem::ops {
namespace {

void check_expert(std::int32_t expert, std::size_t experts) {
  if (expert < 0 || static_cast<std::size_t>(expert) >= experts) {
    throw ModelError("experts: expert " + std::to_string(expert) + " of " +
                     std::to_string(experts));
  }
}

void add_scaled(float factor, std::span<const float> values, std::span<float> sum) {
  for (std::size_t i = 0; i < sum.size(); ++i) {
    sum[i] += factor * values[i];
  }
}

}  // namespace

void ffn(const FfnWeights& weights, ActivationKind kind, const Arithmetic& arithmetic,
         std::span<const float> x, std::span<float> out) {
  assert(!x.empty() && weights.up.size() % x.size() == 0);
  std::vector<float> inner(weights.up.size() / x.size());
  linear(weights.up, x, weights.up_bias, arithmetic, inner);
  if (weights.gate.empty()) {
    activation(kind, inner, inner);
  } else {
    std::vector<float> gate(inner.size());
    linear(weights.gate, x, weights.gate_bias, arithmetic, gate);
    gated_activation(kind, gate, inner, inner);
  }
  arithmetic.round(inner);
  linear(weights.down, inner, weights.down_bias, arithmetic, out);
}

void expert_mix(std::span<const Route> routes, std::span<const FfnWeights> experts,
                const SharedExpert& shared, ActivationKind kind, const Arithmetic& arithmetic,
                std::span<const float> x, std::span<float> out) {
  std::vector<float> sum(out.size(), 0.0F);
  std::vector<float> one(out.size());
  for (const Route& r : routes) {
    check_expert(r.expert, experts.size());
    ffn(experts[static_cast<std::size_t>(r.expert)], kind, arithmetic, x, one);
    add_scaled(r.weight, one, sum);
  }
  if (!shared.weights.up.empty()) {
    ffn(shared.weights, kind, arithmetic, x, one);
    add_scaled(shared.gate.empty() ? 1.0F : sigmoid(arithmetic.dot(shared.gate, x)), one, sum);
  }
  arithmetic.round(sum);
  std::copy(sum.begin(), sum.end(), out.begin());
}

ExpertRows spread_tokens(std::span<const Route> routes, std::int64_t top_k, std::int64_t experts) {
  if (top_k < 1 || experts < 1 || routes.size() % static_cast<std::size_t>(top_k) != 0) {
    throw ModelError("experts: routes are top_k per token");
  }
  ExpertRows spread;
  spread.first.assign(static_cast<std::size_t>(experts) + 1, 0);
  for (const Route& r : routes) {
    check_expert(r.expert, static_cast<std::size_t>(experts));
    ++spread.first[static_cast<std::size_t>(r.expert) + 1];
  }
  for (std::size_t e = 1; e < spread.first.size(); ++e) {
    spread.first[e] += spread.first[e - 1];
  }
  spread.rows.resize(routes.size());
  std::vector<std::int64_t> next(spread.first.begin(), spread.first.end() - 1);
  for (std::size_t i = 0; i < routes.size(); ++i) {
    const auto at = static_cast<std::size_t>(next[static_cast<std::size_t>(routes[i].expert)]++);
    const auto index = static_cast<std::int64_t>(i);
    spread.rows[at] = {index / top_k, index % top_k, routes[i].weight};
  }
  return spread;
}

}  // namespace tandem::ops
