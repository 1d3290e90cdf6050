// Norms of queries and keys over all heads of a layer: rotated heads wait in SRAM until the squares
// of all vectors are added, over the chips of a gang too.
#include <algorithm>

#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
bool StageCompiler::norms_all_heads(const LayerLayout& layer) {
  return std::get<GroupedAttention>(layer.kind.mixer).qk_norm == QkNorm::AllHeads;
}

// The row of the inverse takes the squares first.
void StageCompiler::keep_square(const Output& output, const HeadVectors& heads, int vector,
                                const TokenBuffers& token) {
  Work turn(scheduler_);
  turn.store(rotate(turn, output, heads, token), token.rotated[index_of(vector)]);
  turn.place();
  Work work(scheduler_);
  work.store(square_of(work, output, heads.bias), token.inverse_rms[index_of(vector)]);
  work.place();
}

void StageCompiler::norm_all_heads(const LayerLayout& layer) {
  scheduler_.begin_operator("norms over all heads");
  const StageShape& shape = layout_.shape;
  // Where ranks share a kv head its squares are counted as often as its channels.
  const std::int64_t of_head = std::int64_t{shape.head_dim} * layout_.ranks;
  const int queries = shape.q_vectors();
  const std::array<NormedRun, 2> runs{
      NormedRun{0, queries, 0, shape.group * shape.kv_heads * of_head},
      NormedRun{queries, queries + shape.packs, 1, shape.kv_heads * of_head}};
  std::int64_t ready = 0;
  for (int t = 0; t < tokens_; ++t) {
    for (const NormedRun& run : runs) ready = std::max(ready, sum_squares(layout_.token(t), run));
  }
  if (collective_) ready = sum_over_ranks(ready);
  for (int t = 0; t < tokens_; ++t) {
    const TokenBuffers& token = layout_.token(t);
    for (const NormedRun& run : runs) keep_inverse_of_all(token, run, ready);
    for (int q = 0; q < queries; ++q) store_heads(layer, q, {}, token);
    for (int j = 0; j < shape.packs; ++j) store_key(layer, j, {}, token);
  }
}

// Lane by lane. Returns when the sum may be read.
std::int64_t StageCompiler::sum_squares(const TokenBuffers& token, const NormedRun& run) {
  Work work(scheduler_);
  Value sum;
  for (int vector = run.first; vector < run.end; ++vector) {
    Work::Options running;
    running.pinned = pinned_alu::sum(geometry_);
    running.earliest = vector - run.first;
    const AluOp operation = vector == run.first ? AluOp::AccClear : AluOp::AccAdd;
    sum = work.op(operation, work.memory(token.inverse_rms[index_of(vector)]), {}, running);
  }
  const auto& rows = token.square_sums[index_of(run.sum)];
  for (const Rows& copy : rows) work.store(work.op(AluOp::Pass, sum), copy);
  work.place();
  return work.last_write() + scheduler_.latencies().mem_write_to_read;
}

std::int64_t StageCompiler::sum_over_ranks(std::int64_t ready) {
  const StripedBlocks& blocks = layout_.norm_exchange;
  const int stripes = blocks.output.vectors / layout_.tray_chips;
  std::int64_t done = 0;
  for (int stripe = 0; stripe < stripes; ++stripe) {
    const std::int64_t summed = collective_->reduce_stripe(blocks, stripe, ready);
    done = std::max(done, collective_->gather_stripe(blocks, stripe, summed));
  }
  return done;
}

void StageCompiler::keep_inverse_of_all(const TokenBuffers& token, const NormedRun& run,
                                        std::int64_t ready) {
  Work work(scheduler_);
  const Rows& sum = collective_ ? token.summed_squares[index_of(run.sum)]
                                : token.square_sums[index_of(run.sum)].front();
  const Value own = work.op(AluOp::Pass, work.memory(sum));
  const Value total = reduce_lanes(work, own, AluOp::Add, Hemisphere::East);
  const Value inverse = inverse_root_of(work, total, run.channels);
  for (int vector = run.first; vector < run.end; ++vector) {
    work.store(work.op(AluOp::Pass, inverse), token.inverse_rms[index_of(vector)]);
  }
  work.place(ready - work.first_read());
}

}  // namespace tandem::lpu
