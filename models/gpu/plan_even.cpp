#include "models/gpu/plan_even.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "models/gpu/lane_units.hpp"
#include "models/gpu/shared_constants.hpp"

namespace tandem::gpu {
namespace {

constexpr std::int64_t scheduler_lanes = 128;
/// Elements along k that one tensor instruction of 16-bit operands takes (PTX ISA, mma and wgmma
/// shapes).
constexpr std::int64_t instruction_depth = 16;

class EvenProgram final : public CtaProgram {
 public:
  explicit EvenProgram(EvenGrid grid) : grid_(std::move(grid)), turns_(grid_.ctas * grid_.steps) {}
  [[nodiscard]] std::int64_t ctas() const override { return grid_.ctas; }
  [[nodiscard]] std::int64_t tiles() const override { return grid_.tiles; }
  [[nodiscard]] int steps(std::int64_t) const override { return grid_.steps; }
  void step(std::int64_t cta, int index, Step& out) const override {
    for (const EvenLoad& load : grid_.loads) add_load(load, cta, index, out);
    const std::int64_t turn = cta * grid_.steps + index;
    out.tensor = part(grid_.tensor, turn);
    out.tensor_padded = part(grid_.tensor_padded, turn);
    out.vector = part(grid_.vector, turn);
    out.special = part(grid_.special, turn);
    out.issue = grid_.issue;
    out.chain = grid_.chain;
    out.store = {Bytes(0), grid_.step_workspace, grid_.first_workspace + turn};
  }
  void epilogue(std::int64_t cta, Epilogue& out) const override {
    out.store = Bytes(share_of(grid_.output.count(), grid_.ctas, cta, cta + 1));
    out.workspace_store = grid_.workspace;
    out.store_tile = grid_.first_workspace + cta;
  }

 private:
  void add_load(const EvenLoad& load, std::int64_t cta, int index, Step& out) const {
    const std::int64_t owner = cta / load.ctas_per_tile;
    if (load.step == EvenLoad::every_step) {
      out.add(
          {load.first_tile + owner * grid_.steps + index, load.bytes, load.operand, load.sharers});
    } else if (load.step == index) {
      out.add({load.first_tile + owner, load.bytes, load.operand, load.sharers});
    }
  }
  [[nodiscard]] Flops part(Flops total, std::int64_t turn) const {
    return Flops(share_of(total.count(), turns_, turn, turn + 1));
  }

  EvenGrid grid_;
  std::int64_t turns_;
};

Flops slots_at(double efficiency, std::int64_t warp_instructions, std::int64_t lines) {
  const double slots = static_cast<double>(warp_instructions * warp) / efficiency;
  return Flops(static_cast<std::int64_t>(std::ceil(slots)) + lines * scheduler_lanes);
}

}  // namespace

std::shared_ptr<const CtaProgram> even_program(EvenGrid grid) {
  return std::make_shared<EvenProgram>(std::move(grid));
}

std::int64_t share_of(std::int64_t total, std::int64_t pieces, std::int64_t begin,
                      std::int64_t end) {
  return total / pieces * (end - begin) + total % pieces * end / pieces -
         total % pieces * begin / pieces;
}

std::vector<std::int64_t> split_by(std::int64_t total, const std::vector<std::int64_t>& weights) {
  const std::int64_t sum =
      std::max<std::int64_t>(1, std::accumulate(weights.begin(), weights.end(), std::int64_t{0}));
  std::vector<std::int64_t> parts;
  std::int64_t so_far = 0;
  for (const std::int64_t weight : weights) {
    parts.push_back(share_of(total, sum, so_far, so_far + weight));
    so_far += weight;
  }
  return parts;
}

Flops issue_slots(std::int64_t warp_instructions, std::int64_t lines) {
  return slots_at(shared::issue_efficiency, warp_instructions, lines);
}

Flops tile_issue_slots(std::int64_t warp_instructions, std::int64_t lines) {
  return slots_at(shared::tile_issue_efficiency, warp_instructions, lines);
}

std::int64_t dot_chain(const GpuParams& params, std::int64_t dots, std::int64_t depth) {
  if (params.matrix_latency.count() == 0) return 0;
  const double handoff = shared::product_handoff_clocks / params.clock.count() *
                         picoseconds_per_second /
                         static_cast<double>(params.matrix_latency.count());
  return dots * (static_cast<std::int64_t>(std::llround(handoff)) + depth / instruction_depth);
}

}  // namespace tandem::gpu
