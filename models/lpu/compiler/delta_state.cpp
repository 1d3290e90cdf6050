// The states of Gated DeltaNet: what they answer to keys and queries, and how they are updated.
#include <algorithm>

#include "models/lpu/compiler/delta_step.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

// Rows of even and of odd number are summed apart, then together; two rows of two packs pass the
// vector unit in every cycle, which keeps all its ALUs busy: eight products and eight sums when the
// states are asked; eight products, four sums and two kept factors when they are updated.
constexpr int parts = 2;
constexpr int bundle_packs = 2;
// Rows that meet the write-back of earlier ones on their ports are passed by those behind them.
constexpr std::int64_t look_back = 16;
constexpr int norm_accumulators = 32;
constexpr int first_norm_accumulator = 64;

// The n-th ordinary ALU among the pinned ones.
int ordinary_alu(const Geometry& geometry, int n) {
  int alu = geometry.vxm_alus - pinned_alus;
  for (;; ++alu) {
    if (alu % special_every == special_every - 1) continue;
    if (n-- == 0) return alu;
  }
}

// ALU of a running sum: the ordinary ones that are kept apart, then the special ones.
int sum_alu(const Geometry& geometry, int n) {
  constexpr int ordinary = 4;
  if (n < ordinary) return ordinary_alu(geometry, n);
  return (n - ordinary) * special_every + special_every - 1;
}

// The first and the third: norms, which follow the update, use the others.
int decay_alu(const Geometry& geometry, int pack) {
  return ordinary_alu(geometry, pack % bundle_packs * 2);
}

}  // namespace

const DeltaView& DeltaStep::view_of(int pack) const {
  return plan_.views[index_of(plan_.packs[index_of(pack)].view)];
}

int DeltaStep::spread(int pack, int i) const {
  return maps_.spread[index_of(view_of(pack).pattern)][index_of(i)];
}

std::vector<DeltaStep::Bundle> DeltaStep::bundles() const {
  std::vector<Bundle> result;
  for (int pack = 0; pack < static_cast<int>(plan_.packs.size()); ++pack) {
    if (pack % bundle_packs == 0) result.emplace_back();
    result.back().push_back(pack);
  }
  return result;
}

// Rows i and i + 1 of a state, times elements i and i + 1 of a vector in the lanes of each head,
// into two running sums; a row beyond the last counts as zeros. The result is the sum of both.
Value DeltaStep::add_rows(Work& work, int pack, int i, int sum, const Rows& vector) const {
  Value total;
  for (int part = 0; part < parts; ++part) {
    Value term = Work::constant(0.0F);
    if (i + part < plan_.key_dim()) {
      const Value element = work.memory_permuted(vector, spread(pack, i + part));
      term = work.op(AluOp::Mul, work.memory(delta_state_row(layer_, pack, i + part)), element);
    }
    Work::Options running;
    running.pinned = sum_alu(scheduler_.geometry(), sum + part);
    running.earliest = scheduler_.latencies().vxm_simple;
    const Value part_sum = work.op(i == 0 ? AluOp::AccClear : AluOp::AccAdd, term, {}, running);
    const bool is_last = i + parts >= plan_.key_dim();
    if (is_last) total = part == 0 ? part_sum : work.op(AluOp::Add, total, part_sum);
  }
  return total;
}

void DeltaStep::ask_rows(const Bundle& packs, int i) {
  Work work(scheduler_);
  int sum = 0;
  for (const int pack : packs) {
    const auto p = index_of(pack);
    const auto vector = index_of(view_of(pack).key_vector);
    const Value seen = add_rows(work, pack, i, sum, buffers_.keys[vector]);
    const Value answered = add_rows(work, pack, i, sum + parts, buffers_.queries[vector]);
    sum += 2 * parts;
    if (i + parts < plan_.key_dim()) continue;
    work.store(seen, buffers_.seen[p]);
    work.store(answered, buffers_.answered[p]);
  }
  row_from_ = work.place(row_from_);
}

void DeltaStep::ask_states(const Bundle& packs) {
  for (int i = 0; i < plan_.key_dim(); i += parts) ask_rows(packs, i);
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
  for (const Bundle& bundle : bundles()) update_states(bundle);
}

void DeltaStep::update_states(const Bundle& packs) {
  const Geometry& geometry = scheduler_.geometry();
  for (const int pack : packs) {
    Work work(scheduler_);
    Work::Options options;
    options.pinned = decay_alu(geometry, pack);
    work.op(AluOp::Pass, work.memory(buffers_.decay[index_of(pack)]), {}, options);
    work.place();
  }
  for (int i = 0; i < plan_.key_dim(); i += parts) {
    Work work(scheduler_);
    for (const int pack : packs) {
      for (int row = i; row < std::min(i + parts, plan_.key_dim()); ++row) {
        update_row(work, pack, row);
      }
    }
    row_from_ = work.place(row_from_ - look_back);
  }
}

// S[i] <- alpha S[i] + k[i] (r_k delta).
void DeltaStep::update_row(Work& work, int pack, int i) const {
  const Geometry& geometry = scheduler_.geometry();
  const Rows rows = delta_state_row(layer_, pack, i);
  const auto vector = index_of(view_of(pack).key_vector);
  const Value kept =
      work.op(AluOp::Mul, work.memory(rows), Work::register_of(decay_alu(geometry, pack)));
  const Value key = work.memory_permuted(buffers_.keys[vector], spread(pack, i));
  const Value added = work.op(AluOp::Mul, key, work.memory(buffers_.change[index_of(pack)]));
  Work::Options options;
  options.special = true;
  work.store(work.op(AluOp::Add, kept, added, options),
             delta_next_state_row(plan_, layer_, pack, i));
}

}  // namespace tandem::lpu
