// The states of Gated DeltaNet: what they answer to keys and queries, and how they are updated.
#include <algorithm>

#include "models/lpu/compiler/delta_step.hpp"

namespace tandem::lpu {
namespace {

// Rows of even and of odd number are summed apart, then together.
constexpr int parts = 2;
constexpr int norm_accumulators = 32;
constexpr int first_norm_accumulator = 64;

std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

// The n-th ordinary ALU among the pinned ones: every fourth is a special one.
int pinned(const Geometry& geometry, int n) {
  constexpr int special_every = 4;
  int alu = geometry.vxm_alus - pinned_alus;
  for (;; ++alu) {
    if (alu % special_every == special_every - 1) continue;
    if (n-- == 0) return alu;
  }
}

}  // namespace

const DeltaView& DeltaStep::view_of(int pack) const {
  return plan_.views[index_of(plan_.packs[index_of(pack)].view)];
}

int DeltaStep::spread(int pack, int i) const {
  return maps_.spread[index_of(view_of(pack).pattern)][index_of(i)];
}

// Row i of the state, times element i of k and of q in the lanes of each head.
void DeltaStep::ask_row(int pack, int i) {
  const auto vector = index_of(view_of(pack).key_vector);
  Work work(scheduler_);
  const Value state = work.memory(delta_state_row(layer_, pack, i));
  const Rows* operands[] = {&buffers_.keys[vector], &buffers_.queries[vector]};
  for (int which = 0; which < 2; ++which) {
    const Value spread_out = work.memory_permuted(*operands[which], spread(pack, i));
    Work::Options running;
    running.pinned = pinned(scheduler_.geometry(), which * parts + i % parts);
    const AluOp first = i < parts ? AluOp::AccClear : AluOp::AccAdd;
    work.op(first, work.op(AluOp::Mul, state, spread_out), {}, running);
  }
  row_from_ = work.place(row_from_);
}

void DeltaStep::ask_states(int pack) {
  for (int i = 0; i < plan_.key_dim(); ++i) ask_row(pack, i);
  keep_answers(pack);
}

// Frees the running sums for the next pack.
void DeltaStep::keep_answers(int pack) {
  const Rows* kept[] = {&buffers_.seen[index_of(pack)], &buffers_.answered[index_of(pack)]};
  for (int which = 0; which < 2; ++which) {
    Work work(scheduler_);
    const Value even = Work::register_of(pinned(scheduler_.geometry(), which * parts));
    const Value odd = Work::register_of(pinned(scheduler_.geometry(), which * parts + 1));
    work.store(plan_.key_dim() > 1 ? work.op(AluOp::Add, even, odd) : work.op(AluOp::Pass, even),
               *kept[which]);
    work.place();
  }
}

void DeltaStep::answer(int pack) {
  const auto p = index_of(pack);
  const auto view = index_of(plan_.packs[p].view);
  Work work(scheduler_);
  const Value decay = work.memory(buffers_.decay[p]);
  const Value key_scale = work.memory(buffers_.key_scale[view]);
  const Value by_key = work.op(AluOp::Mul, decay, key_scale);
  const Value seen = work.op(AluOp::Mul, by_key, work.memory(buffers_.seen[p]));
  const Value error = work.op(AluOp::Sub, work.memory(buffers_.values[p]), seen);
  const Value delta = work.op(AluOp::Mul, error, work.memory(buffers_.strength[p]));
  work.store(work.op(AluOp::Mul, delta, key_scale), buffers_.change[p]);
  const Value by_query = work.op(AluOp::Mul, decay, work.memory(buffers_.query_scale[view]));
  const Value old = work.op(AluOp::Mul, by_query, work.memory(buffers_.answered[p]));
  const Value fresh = work.op(AluOp::Mul, delta, work.memory(buffers_.overlap[view]));
  const Value output = work.op(AluOp::Add, old, fresh);
  work.store(output, buffers_.mixed[p]);
  activate_sum(work, work.op(AluOp::Mul, output, output), buffers_.value_sums,
               first_norm_accumulator + pack % norm_accumulators, plan_.value_lanes());
  work.place();
}

// o / rms(o) per head, times silu(z) w.
void DeltaStep::norm(int pack, const DeltaSink& sink) {
  const auto p = index_of(pack);
  Work work(scheduler_);
  const Value sum = work.accumulator(buffers_.value_sums.plane,
                                     first_norm_accumulator + pack % norm_accumulators);
  const auto mean_factor = static_cast<float>(1.0 / static_cast<double>(plan_.value_dim()));
  const Value mean = work.op(AluOp::Mul, sum, Work::constant(mean_factor));
  const Value inverse =
      work.op(AluOp::Rsqrt, work.op(AluOp::Add, mean, Work::constant(norm_epsilon_)));
  const Value normed = work.op(AluOp::Mul, work.memory(buffers_.mixed[p]), inverse);
  sink(work, work.op(AluOp::Mul, normed, work.memory(buffers_.gate[p])), pack);
  work.place();
}

void DeltaStep::update() {
  row_from_ = 0;
  for (int pack = 0; pack < static_cast<int>(plan_.packs.size()); ++pack) {
    const int turn = pack % 2 * 2;
    const int decay_alu = pinned(scheduler_.geometry(), turn);
    const int change_alu = pinned(scheduler_.geometry(), turn + 1);
    const std::pair<const Rows*, int> kept[] = {{&buffers_.decay[index_of(pack)], decay_alu},
                                                {&buffers_.change[index_of(pack)], change_alu}};
    for (const auto& [rows, alu] : kept) {
      Work work(scheduler_);
      Work::Options options;
      options.pinned = alu;
      work.op(AluOp::Pass, work.memory(*rows), {}, options);
      work.place();
    }
    for (int i = 0; i < plan_.key_dim(); ++i) update_row(pack, i, decay_alu, change_alu);
  }
}

// S[i] <- alpha S[i] + k[i] (r_k delta).
void DeltaStep::update_row(int pack, int i, int decay_alu, int change_alu) {
  const Rows rows = delta_state_row(layer_, pack, i);
  const auto vector = index_of(view_of(pack).key_vector);
  Work work(scheduler_);
  const Value kept = work.op(AluOp::Mul, work.memory(rows), Work::register_of(decay_alu));
  const Value key = work.memory_permuted(buffers_.keys[vector], spread(pack, i));
  const Value added = work.op(AluOp::Mul, key, Work::register_of(change_alu));
  work.store(work.op(AluOp::Add, kept, added), rows);
  row_from_ = work.place(row_from_);
}

}  // namespace tandem::lpu
