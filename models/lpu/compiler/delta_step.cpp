// Gated DeltaNet up to the states: convolution, gates, norms of keys and queries.
#include "models/lpu/compiler/delta_step.hpp"

#include <algorithm>
#include <cmath>

#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

// Products that sum lanes take accumulators from here on, in turn; those of matrices come before,
// and each is read before the next of its number begins.
constexpr int first_sum_accumulator = 64;
constexpr float key_epsilon = 1e-6F;  // of ops::l2_normalise_heads
constexpr float ln2 = 0x1.62e43p-1F;

std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

Rows tokens_ago(const Rows& ring, int ago) {
  Rows rows = ring;
  for (Place& place : rows) place.reg += ago;
  return rows;
}

}  // namespace

Value sigmoid(Work& work, Value x) {
  const Value grown = work.op(AluOp::Exp, work.op(AluOp::Neg, x));
  return work.op(AluOp::Recip, work.op(AluOp::Add, grown, Work::constant(1.0F)));
}

Value silu(Work& work, Value x) {
  return work.op(AluOp::Mul, x, sigmoid(work, x));
}

DeltaMaps make_delta_maps(const DeltaPlan& plan,
                          const std::function<int(std::vector<std::uint16_t>)>& add_map) {
  DeltaMaps maps;
  for (int pattern = 0; pattern < static_cast<int>(plan.patterns.size()); ++pattern) {
    maps.spread.emplace_back();
    for (int i = 0; i < plan.key_dim(); ++i) {
      maps.spread.back().push_back(add_map(plan.spread_map(pattern, i)));
    }
  }
  for (int pack = 0; pack < static_cast<int>(plan.packs.size()); ++pack) {
    maps.decay.push_back(add_map(plan.gate_map(pack, false)));
    maps.strength.push_back(add_map(plan.gate_map(pack, true)));
  }
  return maps;
}

DeltaStep::DeltaStep(Scheduler& scheduler, const DeltaPlan& plan, const DeltaMaps& maps,
                     const DeltaLayerRows& layer, const DeltaBuffers& buffers, float norm_epsilon)
    : scheduler_(scheduler),
      plan_(plan),
      maps_(maps),
      layer_(layer),
      buffers_(buffers),
      norm_epsilon_(norm_epsilon) {
  constexpr int alus = 16;
  if (scheduler.geometry().vxm_alus < alus) {
    throw ModelError("lpu.compiler: gated delta layers need sixteen ALUs");
  }
}

// ((w0 x[t-3] + w1 x[t-2]) + w2 x[t-1]) + w3 x[t], then silu; x[t] takes the ring's oldest place.
Value DeltaStep::convolve(Work& work, const Operand& projected, const DeltaChannels& channels) {
  const int taps = plan_.taps();
  const Value newest = work.op(AluOp::Pass, projected(work));
  work.store(newest, channels.ring);
  Value sum;
  for (int tap = 0; tap < taps; ++tap) {
    const int ago = taps - 1 - tap;
    Work::Options at;
    at.earliest = std::int64_t{std::max(0, tap - 1)} * scheduler_.latencies().vxm_simple;
    const Value x = ago == 0 ? newest : work.memory(tokens_ago(channels.ring, ago));
    const Value term = work.op(AluOp::Mul, x, work.memory(channels.weights[index_of(tap)]), at);
    sum = tap == 0 ? term : work.op(AluOp::Add, sum, term);
  }
  return silu(work, sum);
}

void DeltaStep::take_query(int vector, const Operand& projected) {
  Work work(scheduler_);
  work.store(convolve(work, projected, layer_.queries[index_of(vector)]),
             buffers_.queries[index_of(vector)]);
  work.place();
}

void DeltaStep::take_key(int vector, const Operand& projected) {
  Work work(scheduler_);
  work.store(convolve(work, projected, layer_.keys[index_of(vector)]),
             buffers_.keys[index_of(vector)]);
  work.place();
}

void DeltaStep::take_value(int pack, const Operand& projected) {
  Work work(scheduler_);
  work.store(convolve(work, projected, layer_.values[index_of(pack)]),
             buffers_.values[index_of(pack)]);
  work.place();
}

void DeltaStep::take_output_gate(int pack, const Operand& projected) {
  Work work(scheduler_);
  const Value z = work.op(AluOp::Pass, projected(work));
  work.store(work.op(AluOp::Mul, silu(work, z), work.memory(layer_.norm)),
             buffers_.gate[index_of(pack)]);
  work.place();
}

// alpha = exp(-exp(A_log) softplus(a + bias)), beta = sigmoid(b), each in all lanes; the maps pick.
// softplus(x) = max(x, 0) + ln 2 log2(1 + exp(-|x|)) never overflows; above 20 it is x in fp32.
void DeltaStep::take_gates(int vector, const Operand& projected) {
  const auto g = index_of(vector);
  Work decay(scheduler_);
  const Value a = decay.op(AluOp::Add, projected(decay), decay.memory(layer_.dt_bias[g]));
  const Value fallen = decay.op(AluOp::Exp, decay.op(AluOp::Neg, decay.op(AluOp::Abs, a)));
  const Value bits = decay.op(AluOp::Log2, decay.op(AluOp::Add, fallen, Work::constant(1.0F)));
  const Value tail = decay.op(AluOp::Mul, bits, Work::constant(ln2));
  const Value softplus = decay.op(AluOp::Add, decay.op(AluOp::Relu, a), tail);
  const Value log_decay = decay.op(AluOp::Mul, softplus, decay.memory(layer_.rate[g]));
  decay.store(decay.op(AluOp::Exp, log_decay), buffers_.decay_by_head[g]);
  decay.place();
  Work strength(scheduler_);
  const Value b = strength.op(AluOp::Pass, projected(strength));
  strength.store(sigmoid(strength, b), buffers_.strength_by_head[g]);
  strength.place();
  for (std::size_t p = 0; p < plan_.packs.size(); ++p) {
    if (plan_.packs[p].gate_vector == vector) spread_gates(static_cast<int>(p));
  }
}

void DeltaStep::spread_gates(int pack) {
  const auto p = index_of(pack);
  const auto g = index_of(plan_.packs[p].gate_vector);
  Work decay(scheduler_);
  decay.store(
      decay.op(AluOp::Pass, decay.memory_permuted(buffers_.decay_by_head[g], maps_.decay[p])),
      buffers_.decay[p]);
  decay.place();
  Work strength(scheduler_);
  strength.store(strength.op(AluOp::Pass, strength.memory_permuted(buffers_.strength_by_head[g],
                                                                   maps_.strength[p])),
                 buffers_.strength[p]);
  strength.place();
}

// Sums over segments of lanes on the planes, as wide as fp32: the vector in three pieces of eight
// bits, each exact in bfloat16, against ones.
void DeltaStep::activate_sum(Work& work, Value value, const SumTile& sum, int accumulator,
                             int lanes) const {
  constexpr int pieces = 3;
  const int halves = lanes > plan_.lanes / 2 ? 2 : 1;
  Value rest = value;
  for (int piece = 0; piece < pieces; ++piece) {
    const Value rounded = work.convert(rest, Type::Float32, Type::Bfloat16);
    work.activate(rounded, {sum.plane, accumulator, piece > 0, halves, Type::Bfloat16});
    if (piece + 1 == pieces) break;
    rest = work.op(AluOp::Sub, rest, work.convert(rounded, Type::Bfloat16, Type::Float32));
  }
}

void DeltaStep::sum_keys(const DeltaView& view, const Rows& x, const Rows& y, int accumulator) {
  Work work(scheduler_);
  const Value product = work.op(AluOp::Mul, work.memory(x), work.memory(y));
  activate_sum(work, product, buffers_.key_sums[index_of(view.pattern)], accumulator,
               plan_.key_lanes());
  work.place();
}

// r = 1 / sqrt(sum + epsilon); that of q with the rule's scale; (k.q) r_k r_q.
void DeltaStep::scale_keys(int view, int plane, int accumulator) {
  const auto v = index_of(view);
  Work keys(scheduler_);
  const Value key_sum =
      keys.op(AluOp::Add, keys.accumulator(plane, accumulator), Work::constant(key_epsilon));
  keys.store(keys.op(AluOp::Rsqrt, key_sum), buffers_.key_scale[v]);
  keys.place();
  Work queries(scheduler_);
  const Value query_sum = queries.op(AluOp::Add, queries.accumulator(plane, accumulator + 1),
                                     Work::constant(key_epsilon));
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(plan_.key_dim())));
  const Value inverse = queries.op(AluOp::Rsqrt, query_sum);
  queries.store(queries.op(AluOp::Mul, inverse, Work::constant(scale)), buffers_.query_scale[v]);
  queries.place();
  Work overlap(scheduler_);
  const Value scales = overlap.op(AluOp::Mul, overlap.memory(buffers_.key_scale[v]),
                                  overlap.memory(buffers_.query_scale[v]));
  const Value product = overlap.op(AluOp::Pass, overlap.accumulator(plane, accumulator + 2));
  overlap.store(overlap.op(AluOp::Mul, product, scales), buffers_.overlap[v]);
  overlap.place();
}

void DeltaStep::view_sums() {
  constexpr int sums = 3;
  constexpr int turns = 16;
  int installed = -1;
  for (std::size_t v = 0; v < plan_.views.size(); ++v) {
    const DeltaView& view = plan_.views[v];
    const SumTile& sum = buffers_.key_sums[index_of(view.pattern)];
    if (view.pattern != installed) scheduler_.load_tile(sum.tile, sum.plane);
    installed = view.pattern;
    const Rows& k = buffers_.keys[index_of(view.key_vector)];
    const Rows& q = buffers_.queries[index_of(view.key_vector)];
    const int first = first_sum_accumulator + sums * (static_cast<int>(v) % turns);
    sum_keys(view, k, k, first);
    sum_keys(view, q, q, first + 1);
    sum_keys(view, k, q, first + 2);
    scale_keys(static_cast<int>(v), sum.plane, first);
  }
}

void DeltaStep::mix(const DeltaSink& sink) {
  const int packs = static_cast<int>(plan_.packs.size());
  view_sums();
  row_from_ = 0;
  for (const Bundle& bundle : bundles()) ask_states(bundle);
  scheduler_.load_tile(buffers_.value_sums.tile, buffers_.value_sums.plane);
  // A sum is read before another pack takes its accumulator.
  constexpr int under_way = 16;
  for (int pack = 0; pack < packs + under_way; ++pack) {
    if (pack < packs) answer(pack);
    if (pack >= under_way) norm(pack - under_way, sink);
  }
}

}  // namespace tandem::lpu
