#include "models/gpu/plan_indexer.hpp"

#include <algorithm>

#include "models/gpu/plan_reduce.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/lower/kernel_work.hpp"

namespace tandem::gpu {
namespace {

/// Keys of one product and least keys of a CTA (deepseek-ai/DeepGEMM, fp8_paged_mqa_logits: block
/// of 64, split of 256), and rows of queries times heads in one CTA (fp8_mqa_logits).
constexpr std::int64_t tile_keys = 64;
constexpr std::int64_t least_run = 256;
constexpr std::int64_t tile_rows = 128;
constexpr std::int64_t score_bytes = 4;
constexpr std::int64_t index_bytes = 4;
constexpr std::int64_t indexer_turn_budget = 40'000;
/// A query's choice: a CTA of 512 threads with one load outstanding each walks its scores four
/// times, a histogram and a selection over leading and over further bits; once where all are chosen
/// (TensorRT-LLM, indexerTopK.cu, topKPerRowJob and processHistogramStep).
constexpr std::int64_t choice_threads = 512;
constexpr std::int64_t choice_walks = 4;

/// Queries [first, last) of a span against keys [begin, end).
struct ScoreCta {
  std::int64_t span = 0, first = 0, last = 0, begin = 0, end = 0;
  std::int64_t query_tile = 0, score_tile = 0;
};

struct ScoreSchedule {
  std::vector<ScoreCta> ctas;
  std::vector<ReduceTask> choices;  ///< one per query
  std::vector<std::int64_t> first_key_tile;
  std::int64_t turn_keys = tile_keys;
  std::int64_t tiles = 0;
};

/// Visible (query, key) pairs of a CTA or a part of it.
std::int64_t pairs_of(const IndexerKernel& shape, const ScoreCta& cta, std::int64_t begin,
                      std::int64_t end) {
  const QuerySpan& span = shape.spans[static_cast<std::size_t>(cta.span)];
  std::int64_t pairs = 0;
  for (std::int64_t query = cta.first; query < cta.last; ++query) {
    pairs += std::clamp<std::int64_t>(span.earlier() + query + 1 - begin, 0, end - begin);
  }
  return pairs;
}

class ScoreProgram final : public CtaProgram {
 public:
  ScoreProgram(const IndexerKernel& shape, ScoreSchedule schedule)
      : shape_(shape), schedule_(std::move(schedule)) {}
  [[nodiscard]] std::int64_t ctas() const override {
    return static_cast<std::int64_t>(schedule_.ctas.size());
  }
  [[nodiscard]] std::int64_t tiles() const override { return schedule_.tiles; }
  [[nodiscard]] int steps(std::int64_t index) const override {
    return static_cast<int>(ceil_div(at(index).end - at(index).begin, schedule_.turn_keys));
  }
  void step(std::int64_t index, int turn, Step& out) const override {
    const ScoreCta& cta = at(index);
    const std::int64_t begin = cta.begin + turn * schedule_.turn_keys;
    const std::int64_t end = std::min(cta.end, begin + schedule_.turn_keys);
    const std::int64_t rows = (cta.last - cta.first) * shape_.heads;
    if (turn == 0) {
      out.add({cta.query_tile, Bytes(rows * (shape_.head_dim + 1) * bytes_of(shape_.activations)),
               Operand::Activation, 1});
    }
    const std::int64_t key_tile =
        schedule_.first_key_tile[static_cast<std::size_t>(cta.span)] + begin / schedule_.turn_keys;
    out.add(
        {key_tile, Bytes((end - begin) * shape_.head_dim * bytes_of(shape_.kv)), Operand::Kv, 1});
    const std::int64_t pairs = pairs_of(shape_, cta, begin, end);
    const std::int64_t padded =
        ceil_div(rows, tile_keys) * tile_keys * ceil_div(end - begin, tile_keys) * tile_keys;
    out.tensor = Flops(2 * shape_.heads * shape_.head_dim * pairs);
    out.tensor_padded = Flops(2 * shape_.head_dim * padded);
    out.shared_traffic = Bytes((rows + end - begin) * shape_.head_dim * bytes_of(shape_.kv));
    out.vector = Flops(3 * shape_.heads * pairs);
  }
  void epilogue(std::int64_t index, Epilogue& out) const override {
    const ScoreCta& cta = at(index);
    out.workspace_store = Bytes((cta.last - cta.first) * (cta.end - cta.begin) * score_bytes);
    out.store_tile = cta.score_tile;
  }

 private:
  [[nodiscard]] const ScoreCta& at(std::int64_t index) const {
    return schedule_.ctas[static_cast<std::size_t>(index)];
  }
  IndexerKernel shape_;
  ScoreSchedule schedule_;
};

/// Keys per CTA such that every SM has one, in whole runs.
std::int64_t run_length(const GpuParams& params, const IndexerKernel& shape,
                        std::int64_t queries_per_tile) {
  std::int64_t work = 0;
  for (const QuerySpan& span : shape.spans) {
    work += ceil_div(span.q_len, queries_per_tile) * span.kv_len;
  }
  return ceil_div(ceil_div(work, params.sms), least_run) * least_run;
}

void add_choices(const IndexerKernel& shape, const ScoreCta& first, std::int64_t parts,
                 std::int64_t run, ScoreSchedule& schedule) {
  const QuerySpan& span = shape.spans[static_cast<std::size_t>(first.span)];
  for (std::int64_t query = first.first; query < first.last; ++query) {
    const std::int64_t visible = span.earlier() + query + 1;
    ReduceTask task;
    task.first_tile = first.score_tile;
    task.parts = parts;
    task.part_bytes = Bytes(std::min(run, visible) * score_bytes);
    task.rounds = ceil_div(std::min(run, visible), choice_threads) *
                  (visible > shape.top_k ? choice_walks : 1);
    task.epilogue.vector = Flops(visible);
    task.epilogue.store = Bytes(std::min(visible, shape.top_k) * index_bytes);
    schedule.choices.push_back(task);
  }
}

ScoreSchedule schedule_of(const GpuParams& params, const IndexerKernel& shape) {
  ScoreSchedule schedule;
  const std::int64_t together = std::max<std::int64_t>(1, tile_rows / shape.heads);
  const std::int64_t run = run_length(params, shape, together);
  std::int64_t turns = 0;
  for (const QuerySpan& span : shape.spans) {
    turns += ceil_div(span.q_len, together) * ceil_div(span.kv_len, tile_keys);
  }
  schedule.turn_keys = tile_keys * merged_turns(turns, indexer_turn_budget);
  for (const QuerySpan& span : shape.spans) {
    schedule.first_key_tile.push_back(schedule.tiles);
    schedule.tiles += ceil_div(span.kv_len, schedule.turn_keys) + 1;
  }
  for (std::size_t s = 0; s < shape.spans.size(); ++s) {
    const QuerySpan& span = shape.spans[s];
    for (std::int64_t first = 0; first < span.q_len; first += together) {
      ScoreCta cta{static_cast<std::int64_t>(s), first, std::min(span.q_len, first + together)};
      const std::int64_t keys = span.earlier() + cta.last;
      const std::int64_t parts = ceil_div(keys, run);
      cta.query_tile = schedule.tiles++;
      cta.score_tile = schedule.tiles;
      schedule.tiles += parts;
      add_choices(shape, cta, parts, run, schedule);
      for (; cta.begin < keys; cta.begin += run, ++cta.score_tile) {
        cta.end = std::min(keys, cta.begin + run);
        schedule.ctas.push_back(cta);
      }
    }
  }
  return schedule;
}

void check(const IndexerKernel& shape) {
  if (shape.heads < 1 || shape.head_dim < 1 || shape.spans.empty()) {
    throw ModelError("gpu: an indexer over no request or no head");
  }
  for (const QuerySpan& span : shape.spans) {
    if (span.q_len < 1 || span.kv_len < span.q_len) {
      throw ModelError("gpu: an indexer needs a query and its own key");
    }
  }
}

}  // namespace

KernelPlan plan_indexer(const GpuParams& params, const IndexerKernel& shape) {
  check(shape);
  ScoreSchedule schedule = schedule_of(params, shape);
  std::vector<ReduceTask> choices = std::move(schedule.choices);
  const std::int64_t tiles = schedule.tiles;
  PlanPhase scores;
  scores.program = std::make_shared<ScoreProgram>(shape, std::move(schedule));
  scores.stages = 4;
  scores.pipe = pipe_of(math_type(shape.kv, shape.activations));
  scores.vector_work = params.overlaps_softmax ? VectorWork::BesideTensor : VectorWork::AfterTensor;
  KernelPlan plan;
  plan.algorithm = "indexer";
  plan.phases.push_back(scores);
  plan.phases.push_back(reduce_phase(params, std::move(choices), tiles));
  plan.phases.back().is_launched = true;
  plan.phases.back().stages = 1;
  plan.phases.back().ctas_per_sm = params.max_threads / choice_threads;
  return plan;
}

}  // namespace tandem::gpu
