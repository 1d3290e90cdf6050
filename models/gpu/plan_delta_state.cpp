#include "models/gpu/plan_delta_state.hpp"

#include <algorithm>

#include "models/gpu/lane_units.hpp"
#include "models/gpu/plan_even.hpp"

namespace tandem::gpu {
namespace {

constexpr std::int64_t state_width = 2;

/// Each chunk takes two steps: W S with its loads and the new values, which nothing fetches ahead;
/// then the decay, whose gates are loaded when they are needed, and K^T V'.
class DeltaStateProgram final : public CtaProgram {
 public:
  DeltaStateProgram(const GpuParams& params, const GatedDeltaKernel& shape, const KernelWork& work,
                    const DeltaTiles& tiles)
      : s_(shape.shape),
        work_(work),
        tiles_(tiles),
        columns_(std::min(state_columns, s_.value_dim)),
        blocks_((s_.value_dim + columns_ - 1) / columns_),
        lanes_(s_.value_heads * blocks_) {
    for (const QuerySpan& span : shape.spans) {
      const std::int64_t chunks = std::max<std::int64_t>(1, (span.q_len + s_.chunk - 1) / s_.chunk);
      first_chunk_.push_back(chunks_);
      chunks_of_.push_back(chunks);
      chunks_ += chunks;
    }
    chain_[0] = dot_chain(params, 1, s_.key_dim);
    chain_[1] = dot_chain(params, 1, s_.chunk);
  }
  [[nodiscard]] std::int64_t ctas() const override {
    return static_cast<std::int64_t>(chunks_of_.size()) * lanes_;
  }
  [[nodiscard]] std::int64_t tiles() const override { return tiles_.tiles; }
  [[nodiscard]] int steps(std::int64_t cta) const override {
    return static_cast<int>(2 * chunks_of_[sequence(cta)]);
  }

  void step(std::int64_t cta, int index, Step& out) const override {
    const std::int64_t lane = cta % lanes_;
    const std::int64_t chunk = first_chunk_[sequence(cta)] + index / 2;
    const std::int64_t unit = chunk * s_.value_heads + lane / blocks_;
    // The CTAs of one block of output columns run side by side: the last one stores for all.
    constexpr std::int64_t together = output_columns / state_columns;
    const std::int64_t column = lane % blocks_;
    const bool stores = column % together == together - 1 || column == blocks_ - 1;
    const std::int64_t stored = stores ? columns_ * (column % together + 1) : 0;
    const std::int64_t tile = unit * ((blocks_ + together - 1) / together) + column / together;
    const bool is_first = index % 2 == 0;
    add_work(2 * (chunk * lanes_ + lane) + index % 2, out);
    out.chain = chain_[index % 2];
    const std::int64_t n = s_.chunk;
    const std::int64_t rows = tiles_.rows;
    const std::int64_t k = s_.key_dim;
    const std::int64_t ratio =
        std::max<std::int64_t>(1, s_.value_heads / std::max<std::int64_t>(1, s_.key_heads));
    if (is_first) {
      // W and U of a unit are one tile; the columns of U that others take stay in it.
      out.add(
          {tiles_.w + unit, Bytes(rows * (k + s_.value_dim) * state_width), Operand::Workspace, 1});
      out.store = {Bytes(0), Bytes(k * stored * state_width), tiles_.state + tile};
      out.issue =
          tile_issue_slots(k * columns_ / warp * 5 + n * columns_ / warp * 5 + 250,
                           (rows * k + k * columns_ + rows * columns_) * state_width / line);
      if (index == 0) add_initial_state(cta, out);
    } else {
      out.add({tiles_.k + unit / ratio, Bytes(rows * k * state_width), Operand::Activation, 1});
      out.add({tiles_.gates + unit, Bytes(rows * accumulator), Operand::Workspace, 1});
      out.store = {Bytes(0), Bytes(rows * stored * state_width), tiles_.new_value + tile};
      out.issue = tile_issue_slots(k * columns_ / warp * 3 + n * columns_ / warp * 5 + 250,
                                   (rows + rows * columns_ / k) * k * state_width / line + rows);
    }
  }

  void epilogue(std::int64_t cta, Epilogue& out) const override {
    out.store = Bytes(share_of(work_.write_bytes.count(), ctas(), cta, cta + 1));
  }

 private:
  [[nodiscard]] std::size_t sequence(std::int64_t cta) const {
    return static_cast<std::size_t>(cta / lanes_);
  }
  void add_work(std::int64_t turn, Step& out) const {
    const std::int64_t turns = 2 * chunks_ * lanes_;
    const auto part = [&](Flops total) {
      return Flops(share_of(total.count(), turns, turn, turn + 1));
    };
    out.tensor = part(work_.matrix);
    out.vector = part(work_.vector);
    out.special = part(work_.special);
    out.tensor_padded = Flops(2 * s_.chunk * s_.key_dim * columns_);
  }
  void add_initial_state(std::int64_t cta, Step& out) const {
    const Bytes part(share_of(work_.read_bytes.count(), ctas(), cta, cta + 1));
    out.add({tiles_.tiles - 1 - cta % lanes_, part, Operand::Kv, 1});
  }

  ops::GatedDeltaShape s_;
  KernelWork work_;
  DeltaTiles tiles_;
  std::int64_t columns_, blocks_, lanes_;
  std::int64_t chunks_ = 0;
  std::int64_t chain_[2] = {};
  std::vector<std::int64_t> first_chunk_, chunks_of_;
};

}  // namespace

PlanPhase delta_state_phase(const GpuParams& params, const GatedDeltaKernel& shape,
                            const KernelWork& work, const DeltaTiles& tiles) {
  PlanPhase phase;
  phase.program = std::make_shared<DeltaStateProgram>(params, shape, work, tiles);
  // Two stages of W and K, and both operands that go through shared memory.
  const ops::GatedDeltaShape& s = shape.shape;
  const std::int64_t shared =
      (2 * 2 * s.chunk * s.key_dim + s.key_dim * state_columns + s.chunk * state_columns) *
      state_width;
  phase.ctas_per_sm =
      std::max<std::int64_t>(1, ctas_per_sm(params, {Bytes(shared), Bytes(0), 128}));
  phase.stages = 1;
  phase.is_launched = true;
  phase.has_equal_ctas =
      std::all_of(shape.spans.begin(), shape.spans.end(),
                  [&](const QuerySpan& span) { return span.q_len == shape.spans.front().q_len; });
  return phase;
}

}  // namespace tandem::gpu
