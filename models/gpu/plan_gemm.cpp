#include "models/gpu/plan_gemm.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "models/gpu/gemm_tiling.hpp"
#include "models/gpu/plan_low_precision.hpp"
#include "models/gpu/plan_reduce.hpp"
#include "models/gpu/plan_stream_k.hpp"

namespace tandem::gpu {
namespace {

/// Main-loop turns of one plan that are all simulated; above it, rounds of equal tiles are skipped.
constexpr std::int64_t gemm_turn_budget = 40'000;

class GemmProgram final : public CtaProgram {
 public:
  GemmProgram(const GpuParams& params, const GemmKernel& gemm, const GemmTiling& tiling,
              std::int64_t largest_turn)
      : params_(params),
        gemm_(gemm),
        format_(product_format(gemm)),
        tiling_(tiling),
        grid_(grid_of(gemm, tiling)),
        sharers_a_(sharers_of_a(params, grid_, tiling)),
        sharers_b_(sharers_of_b(params, grid_, tiling)),
        pair_(pair_of(params, grid_, tiling)),
        staging_bytes_(staging_bytes(params, format_)),
        turns_(loop_turns(grid_.slices_per_split, largest_turn)),
        last_turns_(
            loop_turns(grid_.slices - (tiling.split - 1) * grid_.slices_per_split, largest_turn)) {}

  [[nodiscard]] std::int64_t ctas() const override {
    return grid_.tiles_m * grid_.tiles_n * tiling_.split;
  }
  [[nodiscard]] std::int64_t tiles() const override {
    return operand_tiles() + grid_.tiles_m * grid_.tiles_n * (1 + tiling_.split);
  }
  [[nodiscard]] int steps(std::int64_t cta) const override {
    return static_cast<int>(turns_of(at(cta).split).size()) - 1;
  }

  void step(std::int64_t cta, int index, Step& out) const override {
    const TileCoordinates c = at(cta);
    const auto& turns = turns_of(c.split);
    const auto i = static_cast<std::size_t>(index);
    const std::int64_t first = c.split * grid_.slices_per_split;
    const std::int64_t k_begin = (first + turns[i]) * tiling_.slice_k;
    const std::int64_t k_end = std::min(gemm_.k, (first + turns[i + 1]) * tiling_.slice_k);
    const std::int64_t k = k_end - k_begin;
    const std::int64_t k_padded = (turns[i + 1] - turns[i]) * tiling_.slice_k;
    const std::int64_t column = c.split * static_cast<std::int64_t>(turns_.size() - 1) + index;
    out.add({c.m * tiles_per_row() + column, Bytes(format_.a_bytes(rows(c), k)),
             Operand::Activation, sharers_a_});
    out.add(weight_load(c, column, k));
    out.tensor = Flops(2 * rows(c) * columns(c) * k);
    out.tensor_padded = Flops(2 * tiling_.tile_m * tiling_.tile_n * k_padded);
    out.chain = chain_of(format_, k_padded);
    out.handoffs = (turns[i + 1] - turns[i]) * handoffs_per_slice(params_, gemm_);
    out.shared_traffic = Bytes(shared_traffic(format_, tiling_, k_padded));
    out.scale_copies = Bytes(scale_copies(params_, format_, tiling_, k_padded));
    out.issue = loop_operations(params_, gemm_, tiling_, k_padded);
  }

  void epilogue(std::int64_t cta, Epilogue& out) const override {
    const TileCoordinates c = at(cta);
    const std::int64_t elements = rows(c) * columns(c);
    out.staging = Bytes(elements * staging_bytes_);
    if (tiling_.split > 1) {
      out.workspace_store = Bytes(elements * accumulator_bytes);
      out.store_tile = workspace_tile(c);
      return;
    }
    out.store = Bytes(format_.out_bytes(elements));
    add_inputs(c, out);
  }

  /// The second phase: one CTA per output tile adds the partial sums in ascending split order.
  [[nodiscard]] std::vector<ReduceTask> reduction() const {
    std::vector<ReduceTask> tasks;
    for (std::int64_t cta = 0; cta < grid_.tiles_m * grid_.tiles_n; ++cta) {
      const TileCoordinates c = at(cta);
      const std::int64_t elements = rows(c) * columns(c);
      ReduceTask task;
      task.first_tile = workspace_tile(c);
      task.parts = tiling_.split;
      task.part_bytes = Bytes(elements * accumulator_bytes);
      task.epilogue.store = Bytes(format_.out_bytes(elements));
      add_inputs(c, task.epilogue);
      tasks.push_back(task);
    }
    return tasks;
  }

 private:
  /// The tile of the residual and the columns' part of the bias, each added to every element.
  void add_inputs(const TileCoordinates& c, Epilogue& out) const {
    const std::int64_t elements = rows(c) * columns(c);
    std::int64_t inputs = 0;
    if (gemm_.adds_residual) {
      inputs += elements;
      out.vector += Flops(elements);
    }
    if (gemm_.bias) {
      inputs += columns(c);
      out.vector += Flops(elements);
    }
    if (inputs == 0) return;
    out.load = {residual_tile(c), Bytes(format_.out_bytes(inputs)), Operand::Activation, 1};
  }
  /// A CTA of a pair loads its half; the last row of an odd count has no partner.
  [[nodiscard]] TileLoad weight_load(const TileCoordinates& c, std::int64_t column,
                                     std::int64_t k) const {
    const std::int64_t row = (grid_.tiles_m + c.n * pair_) * tiles_per_row();
    const std::int64_t bytes = format_.b_bytes(columns(c), k);
    if (pair_ == 1) return {row + column, Bytes(bytes), Operand::Weight, sharers_b_};
    const bool is_second = c.m % 2 != 0;
    const bool is_alone = !is_second && c.m + 1 == grid_.tiles_m;
    const std::int64_t half = bytes / 2;
    return {row + (is_second ? tiles_per_row() : 0) + column,
            Bytes(is_alone ? bytes : (is_second ? bytes - half : half)), Operand::Weight, 1};
  }
  [[nodiscard]] std::int64_t operand_tiles() const {
    return (grid_.tiles_m + grid_.tiles_n * pair_) * tiles_per_row();
  }
  [[nodiscard]] TileCoordinates at(std::int64_t cta) const {
    return raster(grid_, raster_group, cta);
  }
  [[nodiscard]] const std::vector<std::int64_t>& turns_of(std::int64_t split) const {
    return split == tiling_.split - 1 ? last_turns_ : turns_;
  }
  [[nodiscard]] std::int64_t tiles_per_row() const {
    return static_cast<std::int64_t>(turns_.size() - 1) * tiling_.split;
  }
  /// None where a cluster reaches beyond the output: its CTA multiplies zeros.
  [[nodiscard]] std::int64_t rows(const TileCoordinates& c) const {
    return std::clamp<std::int64_t>(gemm_.m - c.m * tiling_.tile_m, 0, tiling_.tile_m);
  }
  [[nodiscard]] std::int64_t columns(const TileCoordinates& c) const {
    return std::min(tiling_.tile_n, gemm_.n - c.n * tiling_.tile_n);
  }
  [[nodiscard]] std::int64_t residual_tile(const TileCoordinates& c) const {
    return operand_tiles() + c.m * grid_.tiles_n + c.n;
  }
  [[nodiscard]] std::int64_t workspace_tile(const TileCoordinates& c) const {
    const std::int64_t before = operand_tiles() + grid_.tiles_m * grid_.tiles_n;
    return before + (c.m * grid_.tiles_n + c.n) * tiling_.split + c.split;
  }

  GpuParams params_;
  GemmKernel gemm_;
  ProductFormat format_;
  GemmTiling tiling_;
  GemmGrid grid_;
  std::int64_t sharers_a_, sharers_b_;
  std::int64_t pair_;
  std::int64_t staging_bytes_;
  std::vector<std::int64_t> turns_;
  std::vector<std::int64_t> last_turns_;
};

}  // namespace

GemmGrid grid_of(const GemmKernel& gemm, const GemmTiling& tiling) {
  GemmGrid grid;
  grid.tiles_m =
      ceil_div(ceil_div(gemm.m, tiling.tile_m), tiling.cluster_rows) * tiling.cluster_rows;
  grid.tiles_n = ceil_div(gemm.n, tiling.tile_n);
  grid.slices = ceil_div(gemm.k, tiling.slice_k);
  grid.slices_per_split = ceil_div(grid.slices, tiling.split);
  return grid;
}

TileCoordinates raster(const GemmGrid& grid, std::int64_t group, std::int64_t cta) {
  const std::int64_t tiles = grid.tiles_m * grid.tiles_n;
  const std::int64_t tile = cta % tiles;
  const std::int64_t per_group = group * grid.tiles_n;
  const std::int64_t first_m = tile / per_group * group;
  const std::int64_t height = std::min(group, grid.tiles_m - first_m);
  const std::int64_t inside = tile % per_group;
  return {first_m + inside % height, inside / height, cta / tiles};
}

KernelPlan plan_gemm_with(const GpuParams& params, const GemmKernel& gemm,
                          const GemmTiling& tiling) {
  const GemmGrid grid = grid_of(gemm, tiling);
  const std::int64_t turn = std::max<std::int64_t>(1, tiling.stages / 2);
  const std::int64_t turns = grid.tiles_m * grid.tiles_n * ceil_div(grid.slices, turn);
  auto program = std::make_shared<GemmProgram>(params, gemm, tiling, turn);
  KernelPlan plan;
  plan.algorithm = fmt::format("gemm {}x{} split {}", tiling.tile_m, tiling.tile_n, tiling.split);
  PlanPhase main;
  main.ctas_per_sm = tiling.ctas_per_sm;
  main.stages = std::max(std::min<std::int64_t>(2, tiling.stages), tiling.stages / turn);
  main.pipe = product_format(gemm).pipe;
  main.persistent = params.persistent_kernels;
  main.vector_work = promotion_of(params, gemm);
  main.overlaps_epilogue = overlaps_epilogue(params, tiling);
  main.program = program;
  // Tiles at the edges do less; their share of so many is small.
  if (turns > gemm_turn_budget && tiling.split == 1) main.period = 1;
  plan.phases.push_back(main);
  if (tiling.split > 1) {
    plan.phases.push_back(reduce_phase(params, program->reduction(), program->tiles()));
    plan.phases.back().is_launched = true;
    plan.phases.back().has_setup = false;
  }
  return plan;
}

KernelPlan plan_gemm(const GpuParams& params, const Kernel&, const GemmKernel& gemm) {
  const GemmTiling tiling = choose_tiling(params, gemm);
  if (params.offers_stream_k && tiling.split == 1 &&
      predict_stream_k(params, gemm, tiling) < predict_gemm(params, gemm, tiling)) {
    return plan_stream_k(params, gemm, tiling);
  }
  return plan_gemm_with(params, gemm, tiling);
}

}  // namespace tandem::gpu
