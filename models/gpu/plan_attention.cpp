#include "models/gpu/plan_attention.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "models/gpu/plan_reduce.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {
namespace {

using Span = AttentionKernel::Span;

/// Queries per request up to which a kernel packs the heads of a KV group into one tile.
constexpr std::int64_t packed_queries = 8;
constexpr std::int64_t row_granule = 16;  ///< rows of a tensor instruction
constexpr std::int64_t partial_bytes = 4;
constexpr std::int64_t turn_budget = 40'000;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

/// One CTA: a run of query rows of one or more heads against a run of keys.
struct AttentionCta {
  std::int64_t span = 0;
  std::int64_t kv_head = 0;
  std::int64_t heads = 1;
  std::int64_t q_begin = 0, q_end = 0;
  std::int64_t k_begin = 0, k_end = 0;  ///< k_begin on the tile grid
  std::int64_t part = 0, parts = 1;     ///< KV splits of the same rows
  std::int64_t q_tile = 0;              ///< tile number of its queries
  std::int64_t workspace_tile = -1;
};

/// Tiles and the CTAs they make. Tile numbers: KV first, then queries, then partial results.
struct Schedule {
  std::vector<AttentionCta> ctas;
  std::vector<std::int64_t> first_kv_tile;  ///< per span
  std::int64_t turn_keys = 128;             ///< keys per main-loop turn, a multiple of kv_tile
  std::int64_t kv_tile = 128;
  std::int64_t tiles = 0;
};

class AttentionProgram final : public CtaProgram {
 public:
  AttentionProgram(const AttentionKernel& shape, Schedule schedule)
      : shape_(shape), schedule_(std::move(schedule)) {}
  [[nodiscard]] std::int64_t ctas() const override {
    return static_cast<std::int64_t>(schedule_.ctas.size());
  }
  [[nodiscard]] std::int64_t tiles() const override { return schedule_.tiles; }
  [[nodiscard]] int steps(std::int64_t index) const override {
    const AttentionCta& cta = at(index);
    const std::int64_t turn = schedule_.turn_keys;
    return static_cast<int>(ceil_div(cta.k_end, turn) - cta.k_begin / turn);
  }

  void step(std::int64_t index, int turn_index, Step& out) const override {
    const AttentionCta& cta = at(index);
    const Span& span = shape_.spans[static_cast<std::size_t>(cta.span)];
    const std::int64_t turn = cta.k_begin / schedule_.turn_keys + turn_index;
    const std::int64_t begin = std::max(cta.k_begin, turn * schedule_.turn_keys);
    const std::int64_t end = std::min(cta.k_end, (turn + 1) * schedule_.turn_keys);
    const std::int64_t rows = (cta.q_end - cta.q_begin) * cta.heads;
    if (turn_index == 0) {
      out.add({cta.q_tile, Bytes(rows * shape_.head_dim * bytes_of(shape_.activations)),
               Operand::Activation, 1});
    }
    const std::int64_t tile = schedule_.first_kv_tile[static_cast<std::size_t>(cta.span)] +
                              cta.kv_head * turns_of(span) + turn;
    // A window may begin inside a turn: its tile is still fetched from the front.
    const std::int64_t keys = end - turn * schedule_.turn_keys;
    out.add({tile, Bytes(2 * keys * shape_.head_dim * bytes_of(shape_.kv)), Operand::Kv, 1});
    const std::int64_t pairs =
        cta.heads * visible_pairs(shape_, span, cta.q_begin, cta.q_end, begin, end);
    const std::int64_t padded = ceil_div(rows, row_granule) * row_granule *
                                ceil_div(end - begin, row_granule) * row_granule;
    out.tensor = Flops(4 * shape_.head_dim * pairs);
    out.tensor_padded = Flops(4 * shape_.head_dim * padded);
    out.shared_traffic = Bytes(ceil_div(rows, 64) * 2 * (end - begin) * shape_.head_dim *
                               bytes_of(shape_.activations));
    // Scores along the head, then values along the keys; both operands of 32 bytes per instruction.
    out.chain = (shape_.head_dim + end - begin) * bytes_of(shape_.activations) / 32;
    out.vector = Flops(4 * pairs);
    out.special = Flops(pairs);
  }

  void epilogue(std::int64_t index, Epilogue& out) const override {
    const AttentionCta& cta = at(index);
    const std::int64_t rows = (cta.q_end - cta.q_begin) * cta.heads;
    if (cta.parts > 1) {
      out.workspace_store = Bytes(rows * (shape_.head_dim + 2) * partial_bytes);
      out.store_tile = cta.workspace_tile + cta.part;
      return;
    }
    finish(rows, out);
  }

  /// Combination of the splits: one CTA per run of rows.
  [[nodiscard]] std::vector<ReduceTask> reduction() const {
    std::vector<ReduceTask> tasks;
    for (const AttentionCta& cta : schedule_.ctas) {
      if (cta.parts == 1 || cta.part != 0) continue;
      ReduceTask task;
      const std::int64_t rows = (cta.q_end - cta.q_begin) * cta.heads;
      task.first_tile = cta.workspace_tile;
      task.parts = cta.parts;
      task.part_bytes = Bytes(rows * (shape_.head_dim + 2) * partial_bytes);
      finish(rows, task.epilogue);
      tasks.push_back(task);
    }
    return tasks;
  }

 private:
  [[nodiscard]] const AttentionCta& at(std::int64_t index) const {
    return schedule_.ctas[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] std::int64_t turns_of(const Span& span) const {
    return ceil_div(span.kv_len, schedule_.turn_keys);
  }
  /// Division of each row by its sum, and the store.
  void finish(std::int64_t rows, Epilogue& out) const {
    out.vector = Flops(rows * shape_.head_dim);
    out.special = Flops(rows);
    out.store = Bytes(rows * shape_.head_dim * bytes_of(shape_.activations));
  }

  AttentionKernel shape_;
  Schedule schedule_;
};

/// Keys [first, last) that any of the queries [q_begin, q_end) sees.
std::pair<std::int64_t, std::int64_t> visible_range(const AttentionKernel& shape, const Span& span,
                                                    std::int64_t q_begin, std::int64_t q_end) {
  if (!shape.causal) {
    return {0, shape.window > 0 ? std::min(shape.window, span.kv_len) : span.kv_len};
  }
  const std::int64_t offset = span.kv_len - span.q_len;
  const std::int64_t last = offset + q_end;
  const std::int64_t first =
      shape.window > 0 ? std::max<std::int64_t>(0, offset + q_begin + 1 - shape.window) : 0;
  return {first, last};
}

class Scheduler {
 public:
  Scheduler(const GpuParams& params, const AttentionKernel& shape)
      : params_(params), shape_(shape) {
    group_ = shape.heads / shape.kv_heads;
    q_tile_ = params.overlaps_softmax ? 128 : 64;
    schedule_.kv_tile = shape.head_dim > 128 || !params.overlaps_softmax ? 64 : 128;
    // Queries and two stages of K and V must fit; fp32 operands take smaller tiles.
    while (shared_bytes(2) > params.shared_memory.count() && q_tile_ > row_granule) {
      q_tile_ /= 2;
      schedule_.kv_tile = std::max<std::int64_t>(16, schedule_.kv_tile / 2);
    }
    const std::int64_t turns = total_tiles() / turn_budget;
    schedule_.turn_keys = schedule_.kv_tile * std::max<std::int64_t>(1, turns);
  }

  [[nodiscard]] std::int64_t shared_bytes(std::int64_t stages) const {
    const std::int64_t width = bytes_of(shape_.activations);
    return shape_.head_dim *
           (q_tile_ * width + 2 * stages * schedule_.kv_tile * std::max(width, bytes_of_kv()));
  }
  [[nodiscard]] CtaDemand demand() const {
    const std::int64_t threads = 128 + 2 * q_tile_;
    const std::int64_t accumulators = q_tile_ * (shape_.head_dim + schedule_.kv_tile) * 4;
    return {Bytes(shared_bytes(2)), Bytes(accumulators + threads * 64 * 4), threads};
  }

  Schedule make(std::int64_t resident) {
    number_tiles();
    const std::int64_t limit = split_length(resident);
    std::vector<std::int64_t> order(shape_.spans.size());
    std::iota(order.begin(), order.end(), 0);
    // Long requests first, so that the last CTAs are short ones.
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return span_at(a).q_len * span_at(a).kv_len > span_at(b).q_len * span_at(b).kv_len;
    });
    for (const std::int64_t index : order) {
      if (span_at(index).q_len <= packed_queries) {
        add_packed(index, limit);
      } else {
        add_tiled(index);
      }
    }
    return std::move(schedule_);
  }

 private:
  [[nodiscard]] const Span& span_at(std::int64_t index) const {
    return shape_.spans[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] std::int64_t bytes_of_kv() const { return bytes_of(shape_.kv); }

  [[nodiscard]] std::int64_t total_tiles() const {
    std::int64_t total = 0;
    for (const Span& span : shape_.spans) {
      const std::int64_t runs = span.q_len <= packed_queries
                                    ? shape_.kv_heads
                                    : shape_.heads * ceil_div(span.q_len, q_tile_);
      total += runs * ceil_div(span.kv_len, schedule_.kv_tile);
    }
    return total;
  }

  void number_tiles() {
    std::int64_t next = 0;
    for (const Span& span : shape_.spans) {
      schedule_.first_kv_tile.push_back(next);
      next += shape_.kv_heads * ceil_div(span.kv_len, schedule_.turn_keys);
    }
    schedule_.tiles = next;
  }

  /// Keys per CTA such that the packed rows give every resident slot one CTA, at least one turn.
  [[nodiscard]] std::int64_t split_length(std::int64_t resident) const {
    std::int64_t keys = 0;
    for (const Span& span : shape_.spans) {
      if (span.q_len <= packed_queries) keys += span.kv_len * shape_.kv_heads;
    }
    const std::int64_t turn = schedule_.turn_keys;
    return std::max(turn, ceil_div(ceil_div(keys, resident), turn) * turn);
  }

  void add_packed(std::int64_t index, std::int64_t limit) {
    const Span& span = span_at(index);
    const auto [first, last] = visible_range(shape_, span, 0, span.q_len);
    const std::int64_t begin = first / schedule_.turn_keys * schedule_.turn_keys;
    const std::int64_t parts = ceil_div(last - begin, limit);
    for (std::int64_t head = 0; head < shape_.kv_heads; ++head) {
      AttentionCta cta{index, head, group_, 0, span.q_len, 0, 0, 0, parts, schedule_.tiles++, -1};
      cta.workspace_tile = schedule_.tiles;
      if (parts > 1) schedule_.tiles += parts;
      for (cta.part = 0; cta.part < parts; ++cta.part) {
        cta.k_begin = std::max(first, begin + cta.part * limit);
        cta.k_end = std::min(last, begin + (cta.part + 1) * limit);
        schedule_.ctas.push_back(cta);
      }
    }
  }

  /// The query tiles of one KV head run together and share its keys in L2; with a causal mask the
  /// last tiles are the longest and go first.
  void add_tiled(std::int64_t index) {
    const Span& span = span_at(index);
    for (std::int64_t kv_head = 0; kv_head < shape_.kv_heads; ++kv_head) {
      for (std::int64_t end = span.q_len; end > 0; end = (end - 1) / q_tile_ * q_tile_) {
        const std::int64_t begin = (end - 1) / q_tile_ * q_tile_;
        const auto [first, last] = visible_range(shape_, span, begin, end);
        for (std::int64_t head = 0; head < group_; ++head) {
          schedule_.ctas.push_back(
              {index, kv_head, 1, begin, end, first, last, 0, 1, schedule_.tiles++, -1});
        }
      }
    }
  }

  const GpuParams& params_;
  const AttentionKernel& shape_;
  std::int64_t group_ = 1;
  std::int64_t q_tile_ = 128;
  Schedule schedule_;
};

void check(const AttentionKernel& shape) {
  if (shape.heads < 1 || shape.kv_heads < 1 || shape.heads % shape.kv_heads != 0) {
    throw ModelError(
        fmt::format("gpu: {} query heads cannot share {} KV heads", shape.heads, shape.kv_heads));
  }
  for (const Span& span : shape.spans) {
    if (span.q_len < 1 || span.kv_len < span.q_len) {
      throw ModelError(
          fmt::format("gpu: attention of {} queries over {} keys", span.q_len, span.kv_len));
    }
  }
  if (shape.spans.empty()) throw ModelError("gpu: attention over no request");
}

}  // namespace

std::int64_t sum_clamped(std::int64_t a, std::int64_t n, std::int64_t low, std::int64_t high) {
  const std::int64_t below = std::clamp<std::int64_t>(low - a, 0, n);
  const std::int64_t above = std::clamp<std::int64_t>(a + n - high, 0, n);
  const std::int64_t middle = n - below - above;
  const std::int64_t first = a + below;
  return below * low + above * high + middle * first + middle * (middle - 1) / 2;
}

std::int64_t visible_pairs(const AttentionKernel& shape, const Span& span, std::int64_t q_begin,
                           std::int64_t q_end, std::int64_t k_begin, std::int64_t k_end) {
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
  Scheduler scheduler(params, shape);
  const std::int64_t fit = ctas_per_sm(params, scheduler.demand());
  if (fit < 1) throw ModelError("gpu: an attention tile does not fit the shared memory of an SM");
  const std::int64_t resident = std::min<std::int64_t>(fit, 2);
  Schedule schedule = scheduler.make(params.sms * resident);
  const std::int64_t tiles = schedule.tiles;
  auto program = std::make_shared<AttentionProgram>(shape, std::move(schedule));
  PlanPhase phase;
  phase.program = program;
  phase.ctas_per_sm = resident;
  phase.pipe = pipe_of(math_type(shape.kv, shape.activations));
  phase.overlaps_vector = params.overlaps_softmax;
  const std::int64_t stage = scheduler.shared_bytes(1) - scheduler.shared_bytes(0);
  const std::int64_t room = params.shared_memory.count() / resident - scheduler.shared_bytes(0);
  phase.stages = std::clamp<std::int64_t>(room / stage, 2, 8);
  KernelPlan plan;
  plan.algorithm = "attention";
  plan.phases.push_back(phase);
  std::vector<ReduceTask> combine = program->reduction();
  if (!combine.empty()) plan.phases.push_back(reduce_phase(params, std::move(combine), tiles));
  return plan;
}

}  // namespace tandem::gpu
