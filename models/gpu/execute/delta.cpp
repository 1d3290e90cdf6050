// Gated DeltaNet of a pass: short convolution, gates, the rule, the gated norm (huggingface/
// transformers modular_qwen3_next.py). The rule and what enters it behind the convolution stay
// float whatever the format.
#include <algorithm>
#include <cmath>

#include "models/gpu/execute/bodies.hpp"
#include "models/gpu/execute/delta_rule.hpp"
#include "models/gpu/functional_ops.hpp"
#include "sim/core/integers.hpp"
#include "sim/numerics/dot.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::gpu {
namespace {

constexpr float unit_length_epsilon = 1e-6F;

const ops::GatedDeltaShape& delta_of(const KernelCall& call) {
  return std::get<GatedDelta>(call.kind().mixer).shape;
}

/// ln(1 + e^x), and x above 20 as PyTorch has it. ln(1 + y) = ln(u) y / (u - 1) with u = 1 + y as
/// rounded mends the rounding of u (Higham, "Accuracy and Stability of Numerical Algorithms",
/// section 1.14.1).
float softplus_of(float x) {
  if (x > 20.0F) return x;
  const float y = special::exp(x);
  const float u = 1.0F + y;
  if (u == 1.0F) return y;
  const double logarithm = M_LN2 * static_cast<double>(special::log2(u));
  return static_cast<float>(logarithm * static_cast<double>(y) / (static_cast<double>(u) - 1));
}

/// The inputs of a slice in order: those kept from before, then the new ones.
std::vector<std::span<const float>> convolution_inputs(const KernelCall& call,
                                                       const SliceOnChip& slice,
                                                       const TrackedRows& input) {
  const ops::GatedDeltaShape& s = delta_of(call);
  std::vector<std::span<const float>> rows;
  const TrackedRows& state = call.cache(slice).convolution;
  for (std::int64_t tap = 0; tap + 1 < s.conv_taps; ++tap) {
    rows.push_back(state.read(tap, call.span.start));
  }
  for (std::int64_t i = 0; i < slice.slice.new_tokens; ++i) {
    rows.push_back(
        input.read(slice.first_row + i, call.span.start).first(index_of(s.conv_channels())));
  }
  return rows;
}

/// Whether some of the slice's tokens may be taken back, so that the states between them are kept.
bool keeps_states_between(const KernelCall& call, const SliceOnChip& slice) {
  return call.on().stage.revocable > 0 && slice.slice.in_round;
}

/// The last taps - 1 inputs as each of the slice's tokens but the last left them.
void keep_inputs_between(const KernelCall& call, const SliceOnChip& slice,
                         const std::vector<std::span<const float>>& rows) {
  LayerCache& cache = call.cache(slice);
  for (std::int64_t i = 1; i < slice.slice.new_tokens; ++i) {
    TrackedRows& earlier =
        cache.earlier_convolution.insert_or_assign(slice.slice.context + i, cache.convolution)
            .first->second;
    for (std::int64_t tap = 0; tap < earlier.rows(); ++tap) {
      std::ranges::copy(rows[index_of(i + tap)], earlier.write(tap, call.span.end).begin());
    }
  }
}

/// The last inputs of a node of a tree, as many as there are taps: what an earlier pass left behind
/// the last of its ancestors from there, then those of this pass on the way to it.
std::vector<std::span<const float>> inputs_of_node(const KernelCall& call, const SliceOnChip& slice,
                                                   const TrackedRows& input, std::int64_t node) {
  const ops::GatedDeltaShape& s = delta_of(call);
  std::vector<std::int64_t> way{node};
  while (slice.parent(way.back()) >= slice.slice.context) {
    way.push_back(slice.parent(way.back()) - slice.slice.context);
  }
  const LayerCache& cache = call.cache(slice);
  const std::int64_t behind = slice.parent(way.back()) + 1;
  const TrackedRows& before = behind == slice.slice.context
                                  ? cache.convolution
                                  : state_behind(cache.earlier_convolution, behind);
  std::vector<std::span<const float>> rows;
  for (std::int64_t tap = 0; tap < before.rows(); ++tap) {
    rows.push_back(before.read(tap, call.span.start));
  }
  for (auto at = way.rbegin(); at != way.rend(); ++at) {
    rows.push_back(
        input.read(slice.first_row + *at, call.span.start).first(index_of(s.conv_channels())));
  }
  rows.erase(rows.begin(), rows.end() - s.conv_taps);
  return rows;
}

/// What the convolution goes on from behind each node of a tree: its last taps - 1 inputs.
void keep_inputs_of_tree(const KernelCall& call, const SliceOnChip& slice,
                         const TrackedRows& input) {
  LayerCache& cache = call.cache(slice);
  for (std::int64_t node = 0; node < slice.slice.new_tokens; ++node) {
    const auto rows = inputs_of_node(call, slice, input, node);
    TrackedRows own = cache.convolution;
    for (std::int64_t tap = 0; tap < own.rows(); ++tap) {
      std::ranges::copy(rows[index_of(tap + 1)], own.write(tap, call.span.end).begin());
    }
    cache.earlier_convolution.insert_or_assign(slice.slice.context + node + 1, std::move(own));
  }
  cache.convolution = cache.earlier_convolution.at(slice.slice.context + slice.slice.new_tokens);
}

/// Runs the rule from node to node of a tree: a head's state behind each begins as that of the node
/// it follows, and all are kept. `state` is the one that the pass before left, then the last one.
void run_on_tree(const KernelCall& call, const SliceOnChip& slice, std::int64_t head,
                 std::span<const DeltaToken> tokens, std::span<float> state) {
  LayerCache& cache = call.cache(slice);
  const std::int64_t context = slice.slice.context;
  const std::vector<float> left(state.begin(), state.end());
  std::vector<std::vector<float>> states;
  for (std::int64_t node = 0; node < slice.slice.new_tokens; ++node) {
    const std::int64_t behind = slice.parent(node) + 1;
    if (behind > context) {
      states.push_back(states[index_of(behind - 1 - context)]);
    } else if (behind == context) {
      states.push_back(left);
    } else {
      const auto row = state_behind(cache.earlier_delta, behind).read(head, call.span.start);
      states.emplace_back(row.begin(), row.end());
    }
    delta_recurrent(tokens.subspan(index_of(node), 1), states.back());
    TrackedRows& kept =
        cache.earlier_delta.try_emplace(context + node + 1, cache.delta).first->second;
    std::ranges::copy(states.back(), kept.write(head, call.span.end).begin());
  }
  std::ranges::copy(states.back(), state.begin());
}

/// Runs the rule token by token and keeps the head's state behind each token but the last.
void run_keeping_states(const KernelCall& call, const SliceOnChip& slice, std::int64_t head,
                        std::span<const DeltaToken> tokens, std::span<float> state) {
  LayerCache& cache = call.cache(slice);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    delta_recurrent(tokens.subspan(i, 1), state);
    if (i + 1 == tokens.size()) break;
    const std::int64_t behind = slice.slice.context + static_cast<std::int64_t>(i) + 1;
    TrackedRows& earlier = cache.earlier_delta.try_emplace(behind, cache.delta).first->second;
    std::ranges::copy(state, earlier.write(head, call.span.end).begin());
  }
}

/// Keeps the last taps - 1 inputs.
void keep_inputs(const KernelCall& call, const SliceOnChip& slice,
                 const std::vector<std::span<const float>>& rows) {
  TrackedRows& state = call.cache(slice).convolution;
  std::vector<std::vector<float>> last;
  for (auto row = rows.end() - state.rows(); row != rows.end(); ++row) {
    last.emplace_back(row->begin(), row->end());
  }
  for (std::int64_t tap = 0; tap < state.rows(); ++tap) {
    std::ranges::copy(last[index_of(tap)], state.write(tap, call.span.end).begin());
  }
}

void make_unit_length(std::span<float> head) {
  const float scale = special::rsqrt(dot_wide(head, head) + unit_length_epsilon);
  for (float& value : head) value *= scale;
}

/// The tokens of a slice as one value head sees them.
std::vector<DeltaToken> tokens_of_head(const KernelCall& call, const SliceOnChip& slice,
                                       std::int64_t head) {
  const ops::GatedDeltaShape& s = delta_of(call);
  const std::int64_t key_head = head / (s.value_heads / s.key_heads);
  const auto key_width = index_of(s.key_heads * s.key_dim);
  TrackedRows& out = call.pass.at(Buffer::DeltaOut);
  std::vector<DeltaToken> tokens;
  for (std::int64_t i = 0; i < slice.slice.new_tokens; ++i) {
    const std::int64_t row = slice.first_row + i;
    const auto qkv = call.pass.at(Buffer::Convolved).read(row, call.span.start);
    const auto gates = call.pass.at(Buffer::DeltaGates).read(row, call.span.start);
    tokens.push_back({part_of(qkv, key_head, s.key_dim),
                      part_of(qkv.subspan(key_width), key_head, s.key_dim),
                      part_of(qkv.subspan(2 * key_width), head, s.value_dim),
                      gates[index_of(s.value_heads + head)], gates[index_of(head)],
                      part_of(out.write(row, call.span.end), head, s.value_dim)});
  }
  return tokens;
}

}  // namespace

/// Depthwise and causal, oldest tap first, then silu.
void execute_convolution(const KernelCall& call) {
  const ops::GatedDeltaShape& s = delta_of(call);
  const WeightMatrix& taps = call.own_weights();
  const TrackedRows& input = call.pass.at(Buffer::DeltaInput);
  TrackedRows& output = call.pass.fresh(Buffer::Convolved, call.pass.tokens, s.conv_channels());
  for (const SliceOnChip& slice : call.pass.slices) {
    const bool is_tree = slice.is_tree();
    const auto rows =
        is_tree ? std::vector<std::span<const float>>() : convolution_inputs(call, slice, input);
    for (const std::int64_t i : call.on().order_of(slice.slice.new_tokens)) {
      const std::span<float> out = output.write(slice.first_row + i, call.span.end);
      const auto of_node =
          is_tree ? inputs_of_node(call, slice, input, i) : std::vector<std::span<const float>>();
      const auto inputs = is_tree ? std::span(of_node)
                                  : std::span(rows).subspan(index_of(i), index_of(s.conv_taps));
      for (std::size_t channel = 0; channel < out.size(); ++channel) {
        const std::span<const float> weight = taps.row(static_cast<std::int64_t>(channel));
        float sum = 0;
        for (std::size_t tap = 0; tap < weight.size(); ++tap) {
          sum += weight[tap] * inputs[tap][channel];
        }
        out[channel] = round_to(call.on().type(), silu_of(sum));
      }
    }
    if (is_tree) {
      keep_inputs_of_tree(call, slice, input);
      continue;
    }
    if (keeps_states_between(call, slice)) keep_inputs_between(call, slice, rows);
    keep_inputs(call, slice, rows);
  }
}

/// Per value head beta = sigmoid(b), then the log decay -e^A softplus(a + bias), in the place of b
/// and a; queries and keys get unit length.
void execute_delta_gates(const KernelCall& call) {
  const ops::GatedDeltaShape& s = delta_of(call);
  const auto decay = call.weights().at("delta_gates.decay").row(0);
  const auto bias = call.weights().at("delta_gates.bias").row(0);
  TrackedRows& gates = call.pass.at(Buffer::DeltaGates);
  TrackedRows& qkv = call.pass.at(Buffer::Convolved);
  call.pass.fresh(Buffer::DeltaOut, call.pass.tokens, s.value_width());
  for (const std::int64_t row : call.on().order_of(gates.rows())) {
    (void)gates.read(row, call.span.start);
    (void)qkv.read(row, call.span.start);
    const std::span<float> gate = gates.write(row, call.span.end);
    const auto heads = index_of(s.value_heads);
    for (std::size_t head = 0; head < heads; ++head) {
      gate[head] = sigmoid_of(gate[head]);
      gate[heads + head] =
          -special::exp(decay[head]) * softplus_of(gate[heads + head] + bias[head]);
    }
    const std::span<float> values = qkv.write(row, call.span.end);
    for (std::int64_t head = 0; head < 2 * s.key_heads; ++head) {
      make_unit_length(part_of(values, head, s.key_dim));
    }
  }
}

/// The slices that decode run token by token, prompts in chunks; one CTA per value head.
void execute_delta_rule(const KernelCall& call) {
  const auto& kernel = std::get<GatedDeltaKernel>(call.kernel.shape);
  const ops::GatedDeltaShape& s = delta_of(call);
  const bool recurrent = kernel.phase == DeltaPhase::Recurrent;
  for (const SliceOnChip& slice : call.pass.slices) {
    if (slice.slice.is_decode() != recurrent) continue;
    TrackedRows& states = call.cache(slice).delta;
    for (const std::int64_t head : call.on().order_of(s.value_heads)) {
      const std::vector<DeltaToken> tokens = tokens_of_head(call, slice, head);
      (void)states.read(head, call.span.start);
      const std::span<float> state = states.write(head, call.span.end);
      if (slice.is_tree()) {
        run_on_tree(call, slice, head, tokens, state);
        continue;
      }
      if (keeps_states_between(call, slice)) {
        run_keeping_states(call, slice, head, tokens, state);
        continue;
      }
      if (recurrent) {
        delta_recurrent(tokens, state);
        continue;
      }
      for (std::size_t begin = 0; begin < tokens.size(); begin += index_of(s.chunk)) {
        const std::size_t count = std::min(index_of(s.chunk), tokens.size() - begin);
        delta_chunk(std::span(tokens).subspan(begin, count), state);
      }
    }
  }
}

/// silu(z) (w x / rms(x)) per value head; z stands behind q, k and v of the projection.
void execute_delta_norm(const KernelCall& call) {
  const ops::GatedDeltaShape& s = delta_of(call);
  const TrackedRows& mixed = call.pass.at(Buffer::DeltaOut);
  const TrackedRows& input = call.pass.at(Buffer::DeltaInput);
  TrackedRows& attended = call.pass.fresh(Buffer::Attended, mixed.rows(), s.value_width());
  const double epsilon = call.on().network.norm.epsilon;
  std::vector<float> head(index_of(s.value_dim));
  for (const std::int64_t row : call.on().order_of(mixed.rows())) {
    const std::span<const float> x = mixed.read(row, call.span.start);
    const auto z = input.read(row, call.span.start).subspan(index_of(s.conv_channels()));
    const std::span<float> out = attended.write(row, call.span.end);
    for (std::int64_t h = 0; h < s.value_heads; ++h) {
      std::ranges::transform(part_of(x, h, s.value_dim), head.begin(),
                             [&](float value) { return round_to(call.on().type(), value); });
      norm_row(head, call.own_weights().row(0), false, epsilon, ElementType::Float32, head);
      const auto gate = part_of(z, h, s.value_dim);
      const auto to = part_of(out, h, s.value_dim);
      for (std::size_t i = 0; i < to.size(); ++i) {
        to[i] = round_to(call.on().type(), silu_of(gate[i]) * head[i]);
      }
    }
  }
}

}  // namespace tandem::gpu
