#include "models/gpu/plan_attention.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "models/gpu/attention_copies.hpp"
#include "models/gpu/attention_schedule.hpp"
#include "models/gpu/plan_reduce.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/lower/kv_codec_work.hpp"

namespace tandem::gpu {
namespace {

constexpr std::int64_t partial_bytes = 4;

/// A launch that prepares a few words for the kernel behind it.
class PreparingProgram final : public CtaProgram {
 public:
  [[nodiscard]] std::int64_t ctas() const override { return 1; }
  [[nodiscard]] std::int64_t tiles() const override { return 0; }
  [[nodiscard]] int steps(std::int64_t) const override { return 1; }
  void step(std::int64_t, int, Step&) const override {}
  void epilogue(std::int64_t, Epilogue&) const override {}
};

class AttentionProgram final : public CtaProgram {
 public:
  AttentionProgram(const AttentionKernel& shape, AttentionSchedule schedule)
      : shape_(shape), schedule_(std::move(schedule)) {}
  [[nodiscard]] std::int64_t ctas() const override {
    return static_cast<std::int64_t>(schedule_.ctas.size());
  }
  [[nodiscard]] std::int64_t tiles() const override { return schedule_.tiles; }
  [[nodiscard]] int steps(std::int64_t index) const override {
    const AttentionCta& cta = at(index);
    const std::int64_t turn = schedule_.turn_keys;
    if (cta.is_idle()) return 1;
    return static_cast<int>(ceil_div(cta.k_end, turn) - cta.k_begin / turn);
  }

  void step(std::int64_t index, int turn_index, Step& out) const override {
    const AttentionCta& cta = at(index);
    if (cta.without_rows > 0) {
      // Each reads the lengths and leaves.
      out.rounds = cta.without_rows;
      out.add({schedule_.neighbour_tile, Bytes(8), Operand::Activation, 1});
      return;
    }
    const std::int64_t turn = cta.k_begin / schedule_.turn_keys + turn_index;
    const std::int64_t begin = std::max(cta.k_begin, turn * schedule_.turn_keys);
    const std::int64_t end = std::min(cta.k_end, (turn + 1) * schedule_.turn_keys);
    add_loads(cta, turn, end, turn_index == 0, out);
    add_products(cta, begin, end, out);
    add_codec(cta, begin, end, turn_index == 0, out);
    if (shape_.sums_keys) add_key_sums(cta, begin, end, out);
    const AttentionTiling& tiling = schedule_.tiling;
    out.rounds = turn_index == 0 ? tiling.first_rounds : tiling.turn_rounds;
    out.exchanges = turn_index == 0 ? tiling.first_exchanges : tiling.turn_exchanges;
    if (cta.is_idle()) {
      // It learns so from the lengths, sets up and takes part in the end.
      out.rounds = 2;
      out.exchanges = 2;
    }
    if (turn_index == 0 && shape_.sinks) {
      out.vector += Flops(3 * rows_of(cta) * share_of_sinks(cta));
      out.special += Flops(rows_of(cta) * share_of_sinks(cta));
    }
  }

  void epilogue(std::int64_t index, Epilogue& out) const override {
    const AttentionCta& cta = at(index);
    if (cta.without_rows > 0) return;
    out.exchanges = schedule_.tiling.last_exchanges;
    if (shape_.sums_keys && !cta.is_idle()) {
      out.store = Bytes(new_keys(cta, cta.k_begin, cta.k_end) * partial_bytes);
    }
    if (cta.parts > 1) {
      out.workspace_store = part_bytes(cta);
      out.store_tile = cta.workspace_tile + cta.part;
      return;
    }
    const Bytes sums = out.store;
    finish(rows_of(cta), out);
    out.store += sums;
  }

  /// Combination of the splits: one CTA per run of rows.
  [[nodiscard]] std::vector<ReduceTask> reduction() const {
    std::vector<ReduceTask> tasks;
    for (const AttentionCta& cta : schedule_.ctas) {
      if (cta.parts == 1 || cta.part != 0) continue;
      ReduceTask task;
      task.first_tile = cta.workspace_tile;
      task.parts = cta.parts;
      task.part_bytes = part_bytes(cta);
      finish(rows_of(cta), task.epilogue);
      tasks.push_back(task);
    }
    return tasks;
  }

 private:
  [[nodiscard]] const AttentionCta& at(std::int64_t index) const {
    return schedule_.ctas[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] const QuerySpan& span_of(const AttentionCta& cta) const {
    return shape_.spans[static_cast<std::size_t>(cta.span)];
  }
  [[nodiscard]] static std::int64_t rows_of(const AttentionCta& cta) {
    return (cta.q_end - cta.q_begin) * cta.heads;
  }
  /// A sink joins the softmax of a row once: in its first part.
  [[nodiscard]] static std::int64_t share_of_sinks(const AttentionCta& cta) {
    return cta.part == 0 ? 1 : 0;
  }
  /// Unnormalised output, maximum and sum of each row.
  [[nodiscard]] Bytes part_bytes(const AttentionCta& cta) const {
    return Bytes(rows_of(cta) * (shape_.value_width() + 2) * partial_bytes);
  }

  void add_loads(const AttentionCta& cta, std::int64_t turn, std::int64_t end, bool is_first,
                 Step& out) const {
    if (is_first) {
      out.add({cta.q_tile, Bytes(rows_of(cta) * shape_.head_dim * bytes_of(shape_.activations)),
               Operand::Activation, 1});
    }
    if (cta.is_idle()) return;
    const std::int64_t turns = ceil_div(span_of(cta).kv_len, schedule_.turn_keys);
    const std::int64_t tile =
        schedule_.first_kv_tile[static_cast<std::size_t>(cta.span)] + cta.kv_head * turns + turn;
    // A window may begin inside a turn: its tile is still fetched from the front.
    const std::int64_t keys = end - turn * schedule_.turn_keys;
    out.add({tile, Bytes(keys * shape_.head_bytes_per_key()), Operand::Kv, 1});
    if (is_first && shape_.sinks && share_of_sinks(cta) > 0) {
      out.add({schedule_.first_sink_tile + cta.kv_head,
               Bytes(cta.heads * bytes_of(shape_.activations)), Operand::Weight, 1});
    }
    if (schedule_.tiling.fetches_boxes) add_neighbours(cta, end, is_first, out);
  }

  /// What whole boxes bring along beyond the tile's own rows and keys; it is in L2, because those
  /// requests fetch it for themselves.
  void add_neighbours(const AttentionCta& cta, std::int64_t end, bool is_first, Step& out) const {
    const auto missing = [](std::int64_t count, std::int64_t box) {
      return ceil_div(count, box) * box - count;
    };
    const std::int64_t keys = missing(end, schedule_.tiling.keys);
    const std::int64_t rows = is_first ? missing(rows_of(cta), schedule_.tiling.rows) : 0;
    out.add({schedule_.neighbour_tile,
             Bytes(keys * shape_.head_bytes_per_key() +
                   rows * shape_.head_dim * bytes_of(shape_.activations)),
             Operand::Activation, 1});
  }

  void add_products(const AttentionCta& cta, std::int64_t begin, std::int64_t end,
                    Step& out) const {
    if (cta.is_idle()) return;
    const AttentionTiling& tiling = schedule_.tiling;
    const std::int64_t width = shape_.head_dim + shape_.value_width();
    const std::int64_t pairs =
        cta.heads * visible_pairs(shape_, span_of(cta), cta.q_begin, cta.q_end, begin, end);
    const std::int64_t rows = ceil_div(rows_of(cta), tiling.row_granule) * tiling.row_granule;
    const std::int64_t keys =
        ceil_div(end, tiling.keys) * tiling.keys - begin / tiling.keys * tiling.keys;
    const std::int64_t per_pair = shape_.softcap ? 2 : 1;
    out.tensor = Flops(2 * width * pairs);
    out.tensor_padded = Flops(2 * width * rows * keys * tiling.issue_per_product);
    out.vector = Flops((shape_.softcap ? 6 : 4) * pairs);
    out.special = Flops(per_pair * pairs);
    out.vector_padded = Flops((shape_.softcap ? 6 : 4) * rows * keys);
    out.special_padded = Flops(per_pair * rows * keys);
    if (tiling.issue_per_masked > 0) {
      out.issue =
          out.vector_padded + Flops(tiling.issue_per_masked * masked_scores(cta, begin, end));
    }
    if (tiling.per_query_head) return;
    out.shared_traffic =
        Bytes(ceil_div(rows, tiling.rows_per_read) * keys * width * bytes_of(shape_.activations));
    // Scores along the head, then values along the keys; both operands of 32 bytes per instruction.
    out.chain =
        (shape_.head_dim + keys) * bytes_of(shape_.activations) / 32 * tiling.links_per_instruction;
  }

  /// Every CTA decodes the slots that it loads and rotates its queries; of CTAs that load the same
  /// slots, the first one whose queries see a key counts as useful.
  void add_codec(const AttentionCta& cta, std::int64_t begin, std::int64_t end, bool is_first,
                 Step& out) const {
    if (!shape_.slots.is_coded() || cta.is_idle()) return;
    const CodecWork decode = decode_work(shape_.slots);
    const CodecWork turn = turn_work(shape_.slots) * (is_first ? rows_of(cta) : 0);
    const CodecWork useful = decode * new_keys(cta, begin, end) + turn * (cta.part == 0 ? 1 : 0);
    const CodecWork all = decode * (end - begin) + turn;
    out.vector += Flops(useful.vector);
    out.special += Flops(useful.special);
    out.vector_padded += Flops(all.vector);
    out.special_padded += Flops(all.special);
    if (out.issue.count() > 0) out.issue += Flops(all.vector);
  }

  /// The second sweep of the same keys: scores once more, their shares of the row, and sums per
  /// key.
  void add_key_sums(const AttentionCta& cta, std::int64_t begin, std::int64_t end,
                    Step& out) const {
    if (cta.is_idle()) return;
    const AttentionTiling& tiling = schedule_.tiling;
    const std::int64_t pairs =
        cta.heads * visible_pairs(shape_, span_of(cta), cta.q_begin, cta.q_end, begin, end);
    const std::int64_t rows = ceil_div(rows_of(cta), tiling.row_granule) * tiling.row_granule;
    const std::int64_t keys =
        ceil_div(end, tiling.keys) * tiling.keys - begin / tiling.keys * tiling.keys;
    const std::int64_t choice = new_keys(cta, begin, end);
    out.tensor += Flops(2 * shape_.head_dim * pairs);
    out.tensor_padded += Flops(2 * shape_.head_dim * rows * keys * tiling.issue_per_product);
    out.vector += Flops(4 * pairs + choice);
    out.special += Flops(pairs);
    out.vector_padded += Flops(4 * rows * keys + choice);
    out.special_padded += Flops(rows * keys);
    if (out.issue.count() > 0) out.issue += Flops(4 * rows * keys);
  }

  /// Keys of [begin, end) that no CTA of the same KV head with earlier queries or heads sees.
  [[nodiscard]] std::int64_t new_keys(const AttentionCta& cta, std::int64_t begin,
                                      std::int64_t end) const {
    if (cta.first_head % (shape_.heads / shape_.kv_heads) != 0) return 0;
    if (cta.q_begin == 0) return end - begin;
    if (!shape_.causal) return 0;
    const std::int64_t offset = span_of(cta).kv_len - span_of(cta).q_len;
    return std::max<std::int64_t>(0, end - std::max(begin, offset + cta.q_begin));
  }

  /// Scores of [begin, end) in the tiles, of a granule of rows each, that the mask cuts.
  [[nodiscard]] std::int64_t masked_scores(const AttentionCta& cta, std::int64_t begin,
                                           std::int64_t end) const {
    if (!shape_.causal) return 0;
    const std::int64_t rows = schedule_.tiling.row_granule, keys = schedule_.tiling.keys;
    const std::int64_t offset = span_of(cta).kv_len - span_of(cta).q_len;
    std::int64_t cut = 0;
    for (std::int64_t row = cta.q_begin; row < cta.q_end; row += rows) {
      const std::int64_t first = offset + row, last = offset + std::min(row + rows, cta.q_end) - 1;
      for (std::int64_t key = begin / keys * keys; key < end; key += keys) {
        const bool is_seen =
            key <= last && (shape_.window == 0 || key + keys > first - shape_.window);
        const bool is_cut =
            key + keys > first + 1 || (shape_.window > 0 && key < last + 1 - shape_.window);
        if (is_seen && is_cut) ++cut;
      }
    }
    return cut * rows * keys;
  }

  /// Division of each row by its sum, and the store.
  void finish(std::int64_t rows, Epilogue& out) const {
    out.vector = Flops(rows * shape_.value_width());
    out.special = Flops(rows);
    out.store = Bytes(rows * shape_.value_width() * bytes_of(shape_.activations));
  }

  AttentionKernel shape_;
  AttentionSchedule schedule_;
};

void check(const AttentionKernel& shape) {
  if (shape.heads < 1 || shape.kv_heads < 1 || shape.heads % shape.kv_heads != 0) {
    throw ModelError(
        fmt::format("gpu: {} query heads cannot share {} KV heads", shape.heads, shape.kv_heads));
  }
  for (const QuerySpan& span : shape.spans) {
    if (span.q_len < 1 || span.kv_len < span.q_len) {
      throw ModelError(
          fmt::format("gpu: attention of {} queries over {} keys", span.q_len, span.kv_len));
    }
  }
  if (shape.spans.empty()) throw ModelError("gpu: attention over no request");
}

std::int64_t first_free_tile(const KernelPlan& plan) {
  std::int64_t first = 0;
  for (const PlanPhase& phase : plan.phases) first = std::max(first, phase.program->tiles());
  return first;
}

void add_copy(const GpuParams& params, Bytes bytes, bool strided, KernelPlan& plan) {
  if (bytes.count() == 0) return;
  plan.phases.push_back(copy_phase(params, bytes, strided, first_free_tile(plan)));
  plan.phases.back().is_launched = plan.phases.size() > 1;
}

/// Phase of the spans of one kind, and where its parts are combined a second one. `is_launched`: a
/// launch behind the phases before it.
void add_phases(const GpuParams& params, const AttentionKernel& shape, bool is_packed,
                bool is_launched, KernelPlan& plan) {
  AttentionSchedule schedule = attention_schedule(params, shape, is_packed, first_free_tile(plan));
  if (schedule.ctas.empty()) return;
  const AttentionTiling tiling = schedule.tiling;
  const std::int64_t fixed = shared_bytes(shape, tiling, 0);
  const std::int64_t stage = shared_bytes(shape, tiling, 1) - fixed;
  const std::int64_t fit = ctas_per_sm(
      params, {Bytes(fixed + stage), Bytes(tiling.threads * tiling.registers * 4), tiling.threads});
  if (fit < 1) throw ModelError("gpu: an attention tile does not fit the shared memory of an SM");
  const std::int64_t tiles = schedule.tiles, merged = schedule.merged, period = schedule.period;
  for (std::int64_t i = preparing_launches(params, shape, is_packed); i > 0; --i) {
    PlanPhase launch;
    launch.program = std::make_shared<PreparingProgram>();
    launch.is_launched = !plan.phases.empty();
    plan.phases.push_back(launch);
  }
  auto program = std::make_shared<AttentionProgram>(shape, std::move(schedule));
  PlanPhase phase;
  phase.program = program;
  phase.ctas_per_sm = std::min(fit, tiling.most_ctas);
  phase.pipe =
      tiling.per_query_head ? MatrixPipe::Float32 : pipe_of(math_type(shape.kv, shape.activations));
  phase.vector_work = tiling.vector_work;
  phase.fetches_in_order = tiling.fetches_in_order;
  phase.persistent = tiling.persistent;
  phase.is_launched = is_launched || preparing_launches(params, shape, is_packed) > 0;
  const std::int64_t room = params.shared_memory.count() / phase.ctas_per_sm - fixed;
  const std::int64_t stages = std::clamp<std::int64_t>(room / stage, tiling.least_stages, 8);
  phase.stages = std::max(std::min<std::int64_t>(2, stages), stages / merged);
  phase.period = period;
  plan.phases.push_back(phase);
  std::vector<ReduceTask> combine = program->reduction();
  if (combine.empty()) return;
  plan.phases.push_back(reduce_phase(params, std::move(combine), tiles));
  plan.phases.back().is_launched = combines_apart(params, shape);
}

}  // namespace

std::int64_t sum_clamped(std::int64_t a, std::int64_t n, std::int64_t low, std::int64_t high) {
  const std::int64_t below = std::clamp<std::int64_t>(low - a, 0, n);
  const std::int64_t above = std::clamp<std::int64_t>(a + n - high, 0, n);
  const std::int64_t middle = n - below - above;
  const std::int64_t first = a + below;
  return below * low + above * high + middle * first + middle * (middle - 1) / 2;
}

std::int64_t visible_pairs(const AttentionKernel& shape, const QuerySpan& span,
                           std::int64_t q_begin, std::int64_t q_end, std::int64_t k_begin,
                           std::int64_t k_end) {
  const std::int64_t rows = q_end - q_begin;
  if (!shape.causal) {
    const std::int64_t last = shape.window > 0 ? std::min(shape.window, k_end) : k_end;
    return rows * std::max<std::int64_t>(0, last - k_begin);
  }
  // Query i sees keys [p + 1 - window, p + 1) with p = kv_len - q_len + i.
  const std::int64_t first = span.kv_len - span.q_len + q_begin + 1;
  const std::int64_t upper = sum_clamped(first, rows, k_begin, k_end);
  const std::int64_t lower =
      shape.window > 0 ? sum_clamped(first - shape.window, rows, k_begin, k_end) : rows * k_begin;
  return upper - lower;
}

KernelPlan plan_attention(const GpuParams& params, const Kernel&, const AttentionKernel& shape) {
  check(shape);
  KernelPlan plan;
  plan.algorithm = "attention";
  const AttentionCopies copies = attention_copies(params, shape);
  add_copy(params, copies.before, copies.strided, plan);
  const bool is_launched = copies.before.count() > 0;
  add_phases(params, shape, false, is_launched, plan);
  add_phases(params, shape, true, is_launched, plan);
  add_copy(params, copies.after, copies.strided, plan);
  return plan;
}

}  // namespace tandem::gpu
