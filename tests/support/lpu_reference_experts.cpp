// Mixtures of experts in the order of the LPU: keys, ranks with ties to the lower index, weights
// best first, and one product over what all chosen experts give.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/core/integers.hpp"
#include "sim/numerics/element.hpp"
#include "sim/numerics/special.hpp"
#include "tests/support/lpu_reference.hpp"

namespace tandem::test {
namespace {

// Indices of the largest values, best first, equal ones by index.
std::vector<std::size_t> by_size(const std::vector<float>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
  return order;
}

}  // namespace

void LpuReference::make_experts(Layer& layer, std::int64_t index) const {
  const Experts& kind = *layer.kind->ffn.experts;
  const auto hidden = natural(network_.hidden);
  // Experts that fit a vector together stand side by side in it.
  const std::int64_t beside =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(lanes_) / kind.intermediate);
  const auto tensor = [&](const std::string& name) { return weights_.layer(index, name).floats(); };
  const auto rows = tensor("experts.router");
  Lanes router(rows.begin(), rows.end());
  if (kind.shared_gate) {
    const auto gate = tensor("shared.switch");
    router.insert(router.end(), gate.begin(), gate.end());
  }
  layer.router = make(router, network_.hidden, scale_of(router),
                      natural(static_cast<std::int64_t>(router.size()) / network_.hidden), hidden);
  if (kind.router.bias) {
    const auto bias = tensor("experts.router_bias");
    layer.router_bias.assign(bias.begin(), bias.end());
  }
  if (kind.expert_scale) {
    const auto factors = tensor("experts.scale");
    layer.expert_factors.assign(factors.begin(), factors.end());
  }
  if (kind.bias) {
    for (const char* name : {"experts.gate_bias", "experts.up_bias", "experts.down_bias"}) {
      const auto bias = tensor(name);
      layer.expert_biases.emplace_back(bias.begin(), bias.end());
    }
  }
  const auto scale = [&](const std::string& name) {
    float result = scale_of(tensor("experts." + name));
    if (kind.shared > 0) result = std::max(result, scale_of(tensor("shared." + name)));
    return type_ == ElementType::Fp8E4m3 ? result : 1.0F;
  };
  const float gate = scale("gate");
  const float up = scale("up");
  const float down = scale("down");
  for (std::int64_t e = 0; e < kind.router.experts; ++e) {
    const std::size_t size = index_of(kind.intermediate * network_.hidden);
    std::vector<std::int64_t> inner(index_of(e % beside * kind.intermediate), -1);
    for (std::int64_t i = 0; i < kind.intermediate; ++i) inner.push_back(i);
    inner.resize((inner.size() + lanes_ - 1) / lanes_ * lanes_, -1);
    const auto part = [&](const char* name) {
      return tensor(name).subspan(index_of(e) * size, size);
    };
    layer.experts.push_back({make(part("experts.gate"), network_.hidden, gate, inner, hidden),
                             make(part("experts.up"), network_.hidden, up, inner, hidden),
                             make(part("experts.down"), kind.intermediate, down, hidden, inner)});
  }
  if (kind.shared == 0) return;
  const auto wide = natural(kind.shared_intermediate);
  layer.shared = {make(tensor("shared.gate"), network_.hidden, gate, wide, hidden),
                  make(tensor("shared.up"), network_.hidden, up, wide, hidden),
                  make(tensor("shared.down"), kind.shared_intermediate, down, hidden, wide)};
}

// A matrix is cut along its inputs where the rows of tiles that go at once leave one of two pairs
// of planes idle; the parts are added in order.
LpuReference::Lanes LpuReference::multiply_parts(const Matrix& matrix, const Lanes& input,
                                                 std::size_t live, std::size_t at_once) const {
  const std::size_t vectors = matrix.inputs / lanes_;
  const std::size_t parts = std::min(vectors, at_once % 2 == 0 ? std::size_t{1} : 2);
  Lanes sum;
  for (std::size_t p = 0; p < parts; ++p) {
    const Lanes part = multiply(matrix, input, live, vectors * p / parts * lanes_,
                                vectors * (p + 1) / parts * lanes_);
    if (p == 0) sum = part;
    for (std::size_t i = 0; p > 0 && i < sum.size(); ++i) sum[i] = sum[i] + part[i];
  }
  for (float& value : sum) value *= matrix.scale;
  return sum;
}

std::vector<bool> LpuReference::open_groups(const ops::Router& router, const Lanes& keys) const {
  const std::size_t width = keys.size() / index_of(router.groups);
  std::vector<float> scores;
  for (std::size_t g = 0; g < index_of(router.groups); ++g) {
    const Lanes own(keys.begin() + static_cast<std::ptrdiff_t>(g * width),
                    keys.begin() + static_cast<std::ptrdiff_t>((g + 1) * width));
    const auto order = by_size(own);
    const bool two = router.group_score == ops::GroupScore::SumOfTop2;
    scores.push_back(two ? own[order[0]] + own[order[1]] : own[order[0]]);
  }
  std::vector<bool> open(keys.size());
  const auto order = by_size(scores);
  for (std::size_t i = 0; i < index_of(router.top_groups); ++i) {
    for (std::size_t e = 0; e < width; ++e) open[order[i] * width + e] = true;
  }
  return open;
}

std::vector<LpuReference::Choice> LpuReference::choose(const Layer& layer, Lanes scores) const {
  const ops::Router& router = layer.kind->ffn.experts->router;
  scores.resize(index_of(router.experts));
  Lanes keys = scores;
  if (router.rule == ops::RouterRule::SigmoidBias) {
    for (float& s : scores) s = special::recip(special::exp(-s) + 1.0F);
    keys = scores;
  }
  for (std::size_t e = 0; e < layer.router_bias.size(); ++e) keys[e] += layer.router_bias[e];
  if (router.rule != ops::RouterRule::SigmoidBias) scores = keys;
  if (router.groups > 1) {
    const std::vector<bool> open = open_groups(router, keys);
    const float closed = router.group_mask == ops::GroupMask::Zero ? 0.0F : -1e30F;
    for (std::size_t e = 0; e < keys.size(); ++e) keys[e] = open[e] ? keys[e] : closed;
  }
  return weigh(router, keys, scores, by_size(keys));
}

std::vector<LpuReference::Choice> LpuReference::weigh(const ops::Router& router, const Lanes& keys,
                                                      const Lanes& scores,
                                                      const std::vector<std::size_t>& order) const {
  const bool is_sigmoid = router.rule == ops::RouterRule::SigmoidBias;
  const bool sums_all = router.rule == ops::RouterRule::SoftmaxTopk && !router.renormalise;
  const float best = scores[order[0]];
  std::vector<float> own;
  for (std::size_t j = 0; j < index_of(router.top_k); ++j) {
    const float score = scores[order[j]];
    own.push_back(is_sigmoid ? score : special::exp(score - best));
  }
  Lanes total(lanes_, std::accumulate(own.begin() + 1, own.end(), own[0]));
  if (is_sigmoid) {
    for (float& t : total) t += 1e-20F;
  }
  if (sums_all) {
    std::fill(total.begin(), total.end(), 0.0F);
    const std::size_t vectors = (keys.size() + lanes_ - 2) / (lanes_ - 1);
    const std::size_t run = (keys.size() + vectors - 1) / vectors;
    for (std::size_t e = 0; e < keys.size(); ++e) {
      total[e % run] = total[e % run] + special::exp(keys[e] - best);
    }
    total = sum_over_lanes(total);
  }
  const auto scale = static_cast<float>(router.scale);
  const bool divides = !is_sigmoid || router.renormalise;
  std::vector<Choice> chosen;
  for (std::size_t j = 0; j < own.size(); ++j) {
    Choice& choice = chosen.emplace_back(Choice{order[j], {}});
    for (const float t : total) {
      choice.weight.push_back(own[j] * (divides ? special::recip(t) * scale : scale));
    }
  }
  return chosen;
}

LpuReference::Lanes LpuReference::inner_of(const Layer& layer, const Block& block, const Lanes& x,
                                           const Choice* choice, float shared_gate) const {
  const std::size_t rows = (index_of(layer.kind->ffn.experts->intermediate) + lanes_ - 1) / lanes_;
  const std::size_t at_once = type_ == ElementType::Fp8E4m3 ? rows : 2 * rows;
  Lanes gate = multiply_parts(block.gate, x, index_of(network_.hidden), at_once);
  Lanes up = multiply_parts(block.up, x, index_of(network_.hidden), at_once);
  if (choice != nullptr && !layer.expert_biases.empty()) {
    const std::size_t width = index_of(layer.kind->ffn.experts->intermediate);
    const std::size_t first = choice->expert % std::max<std::size_t>(1, lanes_ / width) * width;
    for (std::size_t i = 0; i < width; ++i) {
      gate[first + i] += layer.expert_biases[0][choice->expert * width + i];
      up[first + i] += layer.expert_biases[1][choice->expert * width + i];
    }
  }
  Lanes inner(gate.size());
  for (std::size_t i = 0; i < inner.size(); ++i) {
    float product = 0;
    if (layer.kind->ffn.activation == ActivationKind::ClampedSwiglu) {
      const float g = std::min(gate[i], 7.0F);
      const float u = std::min(std::max(up[i], -7.0F), 7.0F);
      product = g * special::recip(special::exp(-(g * 1.702F)) + 1.0F) * (u + 1.0F);
    } else {
      product = curve(layer.kind->ffn.activation, gate[i]) * up[i];
    }
    product *= choice != nullptr ? choice->weight[i % lanes_] : shared_gate;
    inner[i] = round_to(type_, product);
  }
  return inner;
}

LpuReference::Lanes LpuReference::biases_of(const Layer& layer,
                                            const std::vector<Choice>& chosen) const {
  const std::size_t width = index_of(network_.hidden);
  Lanes biases;
  for (std::size_t i = 0; i < width; ++i) {
    float sum = 0;
    for (std::size_t j = 0; j < chosen.size(); ++j) {
      const float bias = layer.expert_biases[2][chosen[j].expert * width + i];
      const float part = chosen[j].weight[i % lanes_] * bias;
      sum = j == 0 ? part : sum + part;
    }
    biases.push_back(sum);
  }
  return biases;
}

// Vectors of the router's outputs: experts beyond one vector stand in equal runs.
std::size_t LpuReference::router_vectors(const Experts& kind) const {
  return (index_of(kind.router.experts) + lanes_ - 2) / (lanes_ - 1);
}

LpuReference::Lanes LpuReference::mix_experts(const Layer& layer, const Lanes& x,
                                              const Lanes& scored) {
  const Experts& kind = *layer.kind->ffn.experts;
  const Lanes scores =
      multiply_parts(layer.router, scored, index_of(network_.hidden), router_vectors(kind));
  const float score = kind.shared_gate ? scores[index_of(kind.router.experts)] : 0.0F;
  const float shared_gate = kind.shared_gate ? special::recip(special::exp(-score) + 1.0F) : 1.0F;
  Lanes inputs;
  std::vector<const Matrix*> downs;
  const auto add = [&](const Block& block, const Choice* choice) {
    const Lanes inner = inner_of(layer, block, x, choice, shared_gate);
    inputs.insert(inputs.end(), inner.begin(), inner.end());
    downs.push_back(&block.down);
  };
  if (kind.shared > 0) add(layer.shared, nullptr);
  std::vector<Choice> chosen = choose(layer, scores);
  for (Choice& choice : chosen) {
    if (layer.expert_factors.empty()) continue;
    for (float& weight : choice.weight) weight *= layer.expert_factors[choice.expert];
  }
  for (const Choice& choice : chosen) add(layer.experts[choice.expert], &choice);
  if (!layer.expert_biases.empty()) bias_ = biases_of(layer, chosen);
  Matrix all;
  all.outputs = x.size();
  all.inputs = inputs.size();
  for (std::size_t o = 0; o < all.outputs; ++o) {
    for (const Matrix* down : downs) {
      const float* row = &down->values[o * down->inputs];
      all.values.insert(all.values.end(), row, row + down->inputs);
      if (down->codes.empty()) continue;
      const std::uint8_t* codes = &down->codes[o * down->inputs];
      all.codes.insert(all.codes.end(), codes, codes + down->inputs);
    }
  }
  Lanes y = multiply(all, inputs, all.inputs);
  for (float& value : y) value *= downs.front()->scale;
  return y;
}

}  // namespace tandem::test
