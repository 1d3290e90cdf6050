#include "models/gpu/plan_latent.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "models/gpu/lane_units.hpp"
#include "models/gpu/plan_reduce.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/lower/kv_codec_work.hpp"

namespace tandem::gpu {
namespace {

constexpr std::int64_t latent_partial_bytes = 4;
/// Main-loop turns of one plan that are simulated one by one; above it, turns are merged.
constexpr std::int64_t latent_turn_budget = 40'000;
/// Partial results in flight of the combining loop: the next one while it adds the last.
constexpr std::int64_t combine_unroll = 2;

/// From this many rows per CTA a kernel of its own combines, one CTA per row.
constexpr std::int64_t row_granule_of_combine = 32;

/// Turns of a CTA: runs of `merge` tiles of keys. Tile numbers: latents first, then queries, then
/// partial results.
class LatentProgram final : public CtaProgram {
 public:
  LatentProgram(const LatentAttentionKernel& shape, const LatentTiling& tiling,
                std::vector<LatentSegment> segments)
      : shape_(shape), tiling_(tiling), segments_(std::move(segments)) {
    std::int64_t turns = 0;
    for (const LatentSegment& s : segments_) {
      turns += ceil_div(s.key_end - s.key_begin, tiling_.keys);
    }
    turn_keys_ = tiling_.keys * merged_turns(turns, latent_turn_budget);
    for (const QuerySpan& span : shape_.spans) {
      first_tile_.push_back(tiles_);
      tiles_ += ceil_div(span.kv_len, turn_keys_) + 1;
    }
    query_tile_ = tiles_;
    tiles_ += ctas();
    number_partial_results();
  }

  [[nodiscard]] std::int64_t ctas() const override {
    return static_cast<std::int64_t>(segments_.size());
  }
  [[nodiscard]] std::int64_t tiles() const override { return tiles_; }
  [[nodiscard]] int steps(std::int64_t cta) const override {
    const LatentSegment& s = at(cta);
    return static_cast<int>(ceil_div(s.key_end - s.key_begin, turn_keys_));
  }

  void step(std::int64_t cta, int index, Step& out) const override {
    const LatentSegment& s = at(cta);
    const std::int64_t begin = s.key_begin + index * turn_keys_;
    const std::int64_t keys = std::min(s.key_end - begin, turn_keys_);
    const std::int64_t rows = s.head_end - s.head_begin;
    const std::int64_t cached = shape_.kv_rank + shape_.rope_dim;
    if (index == 0) {
      out.add({query_tile_ + cta, Bytes(rows * cached * bytes_of(shape_.query_type())),
               Operand::Activation, 1});
    }
    out.add({latent_tile(s, begin), Bytes(keys * shape_.bytes_per_key()), Operand::Kv,
             tiling_.sharers});
    if (shape_.selected > 0 && s.head_begin == 0) {
      out.add({query_tile_ + cta, Bytes(keys * index_bytes), Operand::Activation, 1});
    }
    const std::int64_t padded = tiling_.rows * ceil_div(keys, tiling_.keys) * tiling_.keys;
    out.tensor = Flops(2 * rows * keys * (cached + shape_.kv_rank));
    out.tensor_padded = Flops(2 * padded * (cached + shape_.kv_rank));
    out.shared_traffic = shared_traffic(keys);
    out.chain = (cached + keys) * bytes_of(shape_.query_type()) / 32;
    out.vector = Flops(4 * rows * keys);
    out.special = Flops(rows * keys);
    out.vector_padded = Flops(4 * padded + rescaling(keys));
    out.special_padded = Flops(padded);
    add_codec(s, begin, keys, out);
    if (shape_.sums_keys) add_key_sums(rows * keys, padded, fresh_keys(s, begin, keys), out);
  }

  void epilogue(std::int64_t cta, Epilogue& out) const override {
    const LatentSegment& s = at(cta);
    const std::int64_t rows = s.head_end - s.head_begin;
    if (shape_.sums_keys) {
      out.store = Bytes(fresh_keys(s, s.key_begin, s.key_end - s.key_begin) * latent_partial_bytes);
    }
    if (s.parts > 1) {
      out.workspace_store = Bytes(rows * (shape_.kv_rank + 2) * latent_partial_bytes);
      out.store_tile = partial_tile(s);
      return;
    }
    const Bytes sums = out.store;
    finish(rows, out);
    out.store += sums;
  }

  /// Combination of the parts: one CTA per row, or per tile of heads where the last CTA of a
  /// narrow tile combines.
  [[nodiscard]] std::vector<ReduceTask> reduction() const;
  /// Rows that were not split: CTAs of the combining kernel that read so and end.
  [[nodiscard]] std::vector<ReduceTask> empty_tasks() const;

 private:
  static constexpr std::int64_t index_bytes = 4;
  using RowsOfRequest = std::array<std::int64_t, 3>;  ///< span, query, first head

  /// Keys that no CTA of the same request with earlier queries or heads sees.
  [[nodiscard]] std::int64_t fresh_keys(const LatentSegment& s, std::int64_t begin,
                                        std::int64_t keys) const {
    if (s.head_begin != 0) return 0;
    const QuerySpan& span = shape_.spans[static_cast<std::size_t>(s.span)];
    const std::int64_t first = s.query == 0 ? begin : std::max(begin, span.earlier() + s.query);
    return std::max<std::int64_t>(0, begin + keys - first);
  }

  /// Every CTA decodes the slots that it loads; the first one that sees a key counts as useful.
  void add_codec(const LatentSegment& s, std::int64_t begin, std::int64_t keys, Step& out) const {
    if (!shape_.slots.is_coded()) return;
    const CodecWork decode = decode_work(shape_.slots);
    out.vector += Flops((decode * fresh_keys(s, begin, keys)).vector);
    out.vector_padded += Flops((decode * keys).vector);
  }

  /// The second sweep of the same latents: scores once more, their shares of the row, and sums per
  /// key, of which `choices` are compared.
  void add_key_sums(std::int64_t pairs, std::int64_t padded, std::int64_t choices,
                    Step& out) const {
    const std::int64_t cached = shape_.kv_rank + shape_.rope_dim;
    out.tensor += Flops(2 * pairs * cached);
    out.tensor_padded += Flops(2 * padded * cached);
    out.vector += Flops(4 * pairs + choices);
    out.special += Flops(pairs);
    out.vector_padded += Flops(4 * padded + choices);
    out.special_padded += Flops(padded);
  }

  /// Parts of the same rows get consecutive tiles.
  void number_partial_results() {
    for (const LatentSegment& s : segments_) {
      if (s.parts == 1 || s.part != 0) continue;
      first_partial_.emplace(RowsOfRequest{s.span, s.query, s.head_begin}, tiles_);
      tiles_ += s.parts;
    }
  }
  [[nodiscard]] std::int64_t partial_tile(const LatentSegment& s) const {
    return first_partial_.at({s.span, s.query, s.head_begin}) + s.part;
  }
  [[nodiscard]] const LatentSegment& at(std::int64_t cta) const {
    return segments_[static_cast<std::size_t>(cta)];
  }
  /// Chosen latents lie anywhere in the request: the runs of different queries start apart.
  [[nodiscard]] std::int64_t latent_tile(const LatentSegment& s, std::int64_t key) const {
    const auto span = static_cast<std::size_t>(s.span);
    const std::int64_t count = ceil_div(shape_.spans[span].kv_len, turn_keys_);
    const std::int64_t tile = key / turn_keys_;
    return first_tile_[span] + (shape_.selected > 0 ? (tile + s.query) % count : tile);
  }
  /// Latents are written to shared memory once; scores read queries and latents, values read
  /// latents again, and the probabilities pass from one warpgroup to the other. Warpgroup products
  /// take 8-bit operands along their sum only (PTX ISA, wgmma), so that values of 8 bits are read
  /// and written once more to turn them.
  [[nodiscard]] Bytes shared_traffic(std::int64_t keys) const {
    const std::int64_t cached = shape_.kv_rank + shape_.rope_dim;
    const std::int64_t tiles = ceil_div(keys, tiling_.keys);
    const std::int64_t width = bytes_of(shape_.query_type());
    const std::int64_t groups = ceil_div(tiling_.rows, warpgroup_rows);
    const std::int64_t latents = keys * (cached * (1 + groups) + shape_.kv_rank * groups);
    const std::int64_t queries = tiles * tiling_.rows * cached;
    const std::int64_t probabilities = 2 * keys * tiling_.rows;
    const std::int64_t turning = tiling_.dealt && width == 1 ? 2 * keys * shape_.kv_rank : 0;
    return Bytes((latents + queries + probabilities + turning) * width);
  }
  /// Every tile of keys may raise the rows' maxima: accumulators in registers are then scaled, by
  /// the warps that compute; those in tensor memory by others.
  [[nodiscard]] std::int64_t rescaling(std::int64_t keys) const {
    return tiling_.dealt ? ceil_div(keys, tiling_.keys) * tiling_.rows * shape_.kv_rank : 0;
  }
  void finish(std::int64_t rows, Epilogue& out) const {
    out.vector = Flops(rows * shape_.kv_rank);
    out.special = Flops(rows);
    out.store = Bytes(rows * shape_.kv_rank * bytes_of(shape_.activations));
  }

  LatentAttentionKernel shape_;
  LatentTiling tiling_;
  std::vector<LatentSegment> segments_;
  std::int64_t turn_keys_ = 64;
  std::vector<std::int64_t> first_tile_;  ///< per span
  std::int64_t query_tile_ = 0, tiles_ = 0;
  std::map<RowsOfRequest, std::int64_t> first_partial_;
};

std::vector<ReduceTask> LatentProgram::reduction() const {
  std::vector<ReduceTask> tasks;
  for (std::int64_t cta = 0; cta < ctas(); ++cta) {
    const LatentSegment& s = at(cta);
    if (s.parts == 1 || s.part != 0) continue;
    ReduceTask task;
    const std::int64_t rows = s.head_end - s.head_begin;
    const std::int64_t together = tiling_.rows < row_granule_of_combine ? rows : 1;
    task.first_tile = partial_tile(s);
    task.parts = s.parts;
    task.part_bytes = Bytes(together * (shape_.kv_rank + 2) * latent_partial_bytes);
    finish(together, task.epilogue);
    tasks.insert(tasks.end(), static_cast<std::size_t>(rows / together), task);
  }
  return tasks;
}

std::vector<ReduceTask> LatentProgram::empty_tasks() const {
  std::vector<ReduceTask> tasks;
  for (const LatentSegment& s : segments_) {
    if (s.parts > 1) continue;
    ReduceTask task;
    task.first_tile = query_tile_;
    task.part_bytes = Bytes(2 * index_bytes);
    tasks.insert(tasks.end(), static_cast<std::size_t>(s.head_end - s.head_begin), task);
  }
  return tasks;
}

/// One thread deals the requests out to the SMs (FlashMLA, get_mla_metadata_kernel).
class DealProgram final : public CtaProgram {
 public:
  DealProgram(const GpuParams& params, std::int64_t requests, std::int64_t parts)
      : requests_(requests) {
    const double lanes =
        params.vector_peak().count() / static_cast<double>(params.sms) / params.clock.count();
    busy_ = static_cast<std::int64_t>(static_cast<double>((requests + parts) * clocks_per_turn) *
                                      lanes);
  }
  [[nodiscard]] std::int64_t ctas() const override { return 1; }
  [[nodiscard]] std::int64_t tiles() const override { return 1; }
  [[nodiscard]] int steps(std::int64_t) const override { return 1; }
  void step(std::int64_t, int, Step& out) const override {
    out.add({0, Bytes(requests_ * 4), Operand::Workspace, 1});
    out.vector_padded = Flops(busy_);
  }
  void epilogue(std::int64_t, Epilogue& out) const override {
    out.workspace_store = Bytes(requests_ * 4);
    out.store_tile = 0;
  }

 private:
  /// A turn of its loop takes a request or closes a part: about 35 instructions (compiled code),
  /// each waiting four clocks for the one before (Jia et al., arXiv 1804.06826, table 4.1).
  static constexpr std::int64_t clocks_per_turn = 35 * 4;
  std::int64_t requests_;
  std::int64_t busy_ = 0;
};

PlanPhase deal_phase(const GpuParams& params, const LatentAttentionKernel& shape,
                     const LatentTiling& tiling) {
  std::int64_t requests = 0;
  for (const QuerySpan& span : shape.spans) requests += span.q_len;
  const std::int64_t parts =
      std::max<std::int64_t>(1, params.sms / ceil_div(shape.heads, tiling.rows));
  PlanPhase phase;
  phase.program = std::make_shared<DealProgram>(params, requests, parts);
  phase.has_setup = false;
  return phase;
}

/// The combining kernel: its CTAs of 128 threads hold a row each, split or not.
PlanPhase combine_phase(const GpuParams& params, const LatentProgram& program,
                        const LatentTiling& tiling, std::vector<ReduceTask> tasks) {
  if (tiling.dealt) {
    const std::vector<ReduceTask> empty = program.empty_tasks();
    tasks.insert(tasks.end(), empty.begin(), empty.end());
  }
  PlanPhase phase = reduce_phase(params, std::move(tasks), program.tiles());
  phase.stages = std::min(phase.stages, combine_unroll);
  phase.is_launched = tiling.dealt || tiling.rows >= row_granule_of_combine;
  phase.has_setup = phase.is_launched;
  if (phase.is_launched) phase.ctas_per_sm = ctas_per_sm(params, {Bytes(0), Bytes(128 * 160), 128});
  return phase;
}

void check(const LatentAttentionKernel& shape) {
  if (shape.heads < 1 || shape.kv_rank < 1 || shape.spans.empty()) {
    throw ModelError("gpu: latent attention over no request or no head");
  }
  for (const QuerySpan& span : shape.spans) {
    if (span.q_len < 1 || span.kv_len < span.q_len) {
      throw ModelError("gpu: latent attention needs a query and its own key");
    }
  }
}

}  // namespace

KernelPlan plan_latent(const GpuParams& params, const LatentAttentionKernel& shape) {
  check(shape);
  const LatentTiling tiling = latent_tiling(params, shape);
  auto program =
      std::make_shared<LatentProgram>(shape, tiling, latent_segments(params, shape, tiling));
  KernelPlan plan;
  plan.algorithm = "latent attention";
  if (shape.deal_kernel && tiling.dealt) plan.phases.push_back(deal_phase(params, shape, tiling));
  PlanPhase phase;
  phase.program = program;
  phase.stages = tiling.stages;
  phase.pipe = pipe_of(math_type(shape.kv, shape.query_type()));
  // One warpgroup computes the scores and their softmax; only then both compute the values.
  phase.vector_work = tiling.dealt ? VectorWork::AfterTensor : VectorWork::BesideTensor;
  phase.is_launched = !plan.phases.empty();
  plan.phases.push_back(phase);
  std::vector<ReduceTask> combine = program->reduction();
  if (!combine.empty() || tiling.dealt) {
    plan.phases.push_back(combine_phase(params, *program, tiling, std::move(combine)));
  }
  return plan;
}

}  // namespace tandem::gpu
