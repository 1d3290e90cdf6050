#include "models/gpu/plan_grouped.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/gpu/gemm_tiling.hpp"
#include "models/gpu/lane_units.hpp"
#include "models/gpu/plan_walk.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/numerics/formats/quant_format.hpp"

namespace tandem::gpu {
namespace {

/// Main-loop turns of one plan that are simulated one by one; above it, slices are merged.
constexpr std::int64_t grouped_turn_budget = 24'000;

std::int64_t slice_bytes(const ProductFormat& format, const GroupedTiling& t) {
  return format.a_bytes(t.tile_m, t.slice_k) + format.b_bytes(t.tile_n, t.slice_k);
}

/// Weights are the operand that each warpgroup reads 64 rows of; all warpgroups read the tokens.
std::int64_t shared_traffic(const ProductFormat& format, const GroupedTiling& t, std::int64_t k) {
  const std::int64_t readers = ceil_div(t.tile_n, warpgroup_rows);
  return k * (t.tile_n * format.b_bits + readers * t.tile_m * format.a_bits) / 8;
}

/// The same tile with tokens as rows of a plain product.
GemmTiling plain(const GroupedTiling& t) {
  return {t.tile_m, t.tile_n, 1, t.slice_k, t.stages, t.ctas_per_sm};
}

/// Elements along K after which sums of block-scaled operands are scaled.
constexpr std::int64_t scaled_block_k = 128;

/// Block scales without units for them: sums are scaled on CUDA cores block by block (DeepGEMM,
/// two-level accumulation). Chips with fp4 units scale inside the tensor pipe.
bool promotes_sums(const GpuParams& params, const GroupedGemmKernel& gemm) {
  return gemm.precision != nullptr && gemm.precision->activation &&
         product_format(gemm).a_scale_k > 0 && params.peak_fp4.count() <= 0;
}

/// Weights that CUDA cores widen to the type of the rows before they are multiplied.
bool widens_weights(const ProductFormat& format) {
  return format.b_bits < format.a_bits && format.pipe != MatrixPipe::Fp8;
}

/// Instructions beside the tensor ones in `k` elements of a tile's main loop: a multiply-add per
/// sum and block, or what the framework's kernel takes per weight that is widened.
std::int64_t loop_instructions(const GpuParams& params, const GroupedGemmKernel& gemm,
                               const GroupedTiling& t, std::int64_t k) {
  if (promotes_sums(params, gemm)) return t.tile_m * t.tile_n * ceil_div(k, scaled_block_k);
  if (!widens_weights(product_format(gemm))) return 0;
  return std::llround(params.expert_widening * static_cast<double>(t.tile_n * k));
}

/// Columns that a product of the tensor pipe fills: tensor memory has a lane for each of 128 weight
/// rows, used or not (PTX ISA, tcgen05.mma).
std::int64_t padded_columns(const GpuParams& params, const GroupedTiling& t) {
  return params.matrix_issue == MatrixIssue::TensorMemory ? std::max<std::int64_t>(128, t.tile_n)
                                                          : t.tile_n;
}

/// Whether the tiling is one of CUTLASS' for tensor memory, of which a tuner picks one.
bool is_tuned_cutlass(const GpuParams& params, const GroupedGemmKernel& gemm) {
  return gemm.writes_descriptors && gemm.tuned_rows > 0 &&
         params.matrix_issue == MatrixIssue::TensorMemory;
}

/// CTAs without rows in a grid that must hold any routing: each expert has one row first, then one
/// expert takes all the others (TensorRT-LLM, trtllmGenKernels, getMaxNumCtasInBatchDim).
std::int64_t idle_ctas(const GroupedGemmKernel& gemm, const GroupedTiling& t) {
  const std::int64_t alone = std::min(gemm.launched_choices, gemm.launched_experts);
  std::int64_t idle = alone + (gemm.launched_choices - alone) / t.tile_m;
  for (const std::int64_t rows : gemm.rows) idle -= ceil_div(rows, t.tile_m);
  return std::max<std::int64_t>(0, idle) * ceil_div(gemm.n, t.tile_n);
}

/// Where one expert's CTAs and tiles begin.
struct ExpertSpan {
  std::int64_t rows = 0, first_cta = 0, first_tile = 0;
  std::int64_t place = 0;  ///< among all experts, those without rows included
  GemmGrid grid;
};

class GroupedProgram final : public CtaProgram {
 public:
  GroupedProgram(const GpuParams& params, const GroupedGemmKernel& gemm,
                 const GroupedTiling& tiling, std::int64_t largest_turn)
      : params_(params),
        gemm_(gemm),
        format_(product_format(gemm)),
        tiling_(tiling),
        multicast_(params.multicast),
        staging_bytes_(staging_bytes(params, format_)),
        turns_(loop_turns(ceil_div(gemm.k, tiling.slice_k), largest_turn)) {
    for (std::size_t place = 0; place < gemm.rows.size(); ++place) {
      const std::int64_t rows = gemm.rows[place];
      if (rows < 1) continue;
      ExpertSpan span{rows, ctas_, tiles_, static_cast<std::int64_t>(place), {}};
      span.grid = {ceil_div(rows, tiling.tile_m), ceil_div(gemm.n, tiling.tile_n), 1, 1};
      ctas_ += span.grid.tiles_m * span.grid.tiles_n;
      tiles_ += (span.grid.tiles_m + span.grid.tiles_n) * turn_count() + span.grid.tiles_n;
      experts_.push_back(span);
    }
  }

  [[nodiscard]] std::int64_t ctas() const override { return ctas_; }
  [[nodiscard]] std::int64_t tiles() const override { return tiles_; }
  /// Steps of every CTA.
  [[nodiscard]] std::int64_t turn_count() const {
    return static_cast<std::int64_t>(turns_.size()) - 1;
  }
  [[nodiscard]] const std::vector<ExpertSpan>& experts() const { return experts_; }
  [[nodiscard]] int steps(std::int64_t) const override { return static_cast<int>(turn_count()); }

  void step(std::int64_t cta, int index, Step& out) const override {
    const ExpertSpan& expert = expert_of(cta);
    const TileCoordinates c = at(expert, cta);
    const auto i = static_cast<std::size_t>(index);
    const std::int64_t k_padded = (turns_[i + 1] - turns_[i]) * tiling_.slice_k;
    const std::int64_t k =
        std::min(gemm_.k, turns_[i + 1] * tiling_.slice_k) - turns_[i] * tiling_.slice_k;
    const std::int64_t m = rows(expert, c);
    const std::int64_t n = columns(c);
    const std::int64_t sharers = std::min(multicast_, expert.grid.tiles_m);
    out.add({expert.first_tile + c.m * turn_count() + index, Bytes(format_.a_bytes(m, k)),
             Operand::Activation, 1});
    out.add({expert.first_tile + (expert.grid.tiles_m + c.n) * turn_count() + index,
             Bytes(format_.b_bytes(n, k)), Operand::Weight, sharers});
    out.tensor = Flops(2 * m * n * k);
    out.tensor_padded = Flops(2 * tiling_.tile_m * padded_columns(params_, tiling_) * k_padded);
    out.chain = chain_of(format_, k_padded);
    out.issue = Flops(loop_instructions(params_, gemm_, tiling_, k_padded));
    out.handoffs = turns_[i + 1] - turns_[i];
    out.shared_traffic = Bytes(shared_traffic(format_, tiling_, k_padded));
    if (index == 0 && gemm_.writes_descriptors) out.rounds = 1 + experts_passed(cta) / warp;
  }

  void epilogue(std::int64_t cta, Epilogue& out) const override {
    const ExpertSpan& expert = expert_of(cta);
    const TileCoordinates c = at(expert, cta);
    const std::int64_t elements = rows(expert, c) * columns(c);
    out.staging = Bytes(elements * staging_bytes_);
    out.store = Bytes(format_.out_bytes(elements));
    if (!gemm_.bias) return;
    const std::int64_t operands = (expert.grid.tiles_m + expert.grid.tiles_n) * turn_count();
    out.load = {expert.first_tile + operands + c.n, Bytes(format_.out_bytes(columns(c))),
                Operand::Weight, 1};
    out.vector = Flops(elements);
  }

 private:
  [[nodiscard]] const ExpertSpan& expert_of(std::int64_t cta) const {
    const auto after =
        std::upper_bound(experts_.begin(), experts_.end(), cta,
                         [](std::int64_t c, const ExpertSpan& e) { return c < e.first_cta; });
    return *(after - 1);
  }
  /// Experts between the tile that the CTA's SM had before and this one: a warp looks at the sizes
  /// of 32 in one trip (CUTLASS, sm90_tile_scheduler_group, get_work_idx_m_and_n).
  [[nodiscard]] std::int64_t experts_passed(std::int64_t cta) const {
    const std::int64_t before = cta - params_.sms * tiling_.ctas_per_sm;
    return expert_of(cta).place - (before < 0 ? 0 : expert_of(before).place);
  }
  [[nodiscard]] static TileCoordinates at(const ExpertSpan& expert, std::int64_t cta) {
    return raster(expert.grid, raster_group, cta - expert.first_cta);
  }
  [[nodiscard]] std::int64_t rows(const ExpertSpan& expert, const TileCoordinates& c) const {
    return std::min(tiling_.tile_m, expert.rows - c.m * tiling_.tile_m);
  }
  [[nodiscard]] std::int64_t columns(const TileCoordinates& c) const {
    return std::min(tiling_.tile_n, gemm_.n - c.n * tiling_.tile_n);
  }

  GpuParams params_;
  GroupedGemmKernel gemm_;
  ProductFormat format_;
  GroupedTiling tiling_;
  std::int64_t multicast_;
  std::int64_t staging_bytes_;
  std::vector<std::int64_t> turns_;
  std::vector<ExpertSpan> experts_;
  std::int64_t ctas_ = 0;
  std::int64_t tiles_ = 0;
};

/// Neighbouring experts that are run, of those with as many tiles: one to settle, two to measure.
/// They must fill the chip often enough that where one ends and the next begins does not show.
constexpr std::int64_t kept_experts = 3;
constexpr std::int64_t least_rounds = 8;

/// Runs of neighbouring experts with as many tiles. `round`: CTAs that the chip has room for.
std::vector<RepeatedCtas> repeats_of(const std::vector<ExpertSpan>& experts, std::int64_t round) {
  std::vector<RepeatedCtas> repeats;
  for (std::size_t i = 0; i < experts.size();) {
    const ExpertSpan& first = experts[i];
    const std::int64_t ctas = first.grid.tiles_m * first.grid.tiles_n;
    std::int64_t count = 0;
    for (; i < experts.size() && experts[i].grid.tiles_m == first.grid.tiles_m; ++i) ++count;
    if (ctas < least_rounds * round || count <= kept_experts) continue;
    repeats.push_back({first.first_cta, ctas, count, kept_experts});
  }
  return repeats;
}

/// As for plain products: stage buffers, accumulators and 40 other registers per thread, a loading
/// warpgroup beside the computing ones.
CtaDemand demand_of(const ProductFormat& format, const GroupedTiling& t) {
  const std::int64_t compute = ceil_div(t.tile_m * t.tile_n, 64 * 256);
  const std::int64_t threads = 128 * (1 + compute);
  return {Bytes(t.stages * slice_bytes(format, t)),
          Bytes(t.tile_m * t.tile_n * accumulator_bytes + threads * 40 * 4), threads};
}

/// Dependent trips to L2 before a tile's first load: sizes of the experts, address and strides of
/// the operands, release and acquisition of each rewritten descriptor, their fetch by the copy
/// engine (CUTLASS, sm90_tile_scheduler_group and sm90_mma_array_tma_gmma_ss_warpspecialized,
/// tensormaps_perform_update, tensormaps_cp_fence_release, tensormaps_fence_acquire). Scales that
/// the tensor pipe applies have descriptors too (sm100_blockscaled_mma_array_warpspecialized).
std::int64_t trips_per_tile(const GroupedGemmKernel& gemm) {
  const std::int64_t descriptors = product_format(gemm).a_scale_k > 0 ? 4 : 2;
  return 3 + descriptors;
}

/// What a tiling runs, summed over experts of `rows` rows.
struct GroupedCounts {
  std::int64_t ctas = 0, rows = 0, touched = 0;
};

GroupedCounts count(const GroupedGemmKernel& gemm, const GroupedTiling& t) {
  GroupedCounts counts;
  for (const std::int64_t actual : gemm.rows) {
    const std::int64_t rows = gemm.tuned_rows > 0 ? gemm.tuned_rows : actual;
    if (rows < 1) continue;
    counts.ctas += ceil_div(rows, t.tile_m) * ceil_div(gemm.n, t.tile_n);
    counts.rows += rows;
    ++counts.touched;
  }
  return counts;
}

}  // namespace

namespace {

/// One CTA per SM, stage buffers in all of its shared memory: 64 or 128 weight rows by 32 to 256
/// tokens, from 16 in fp8; 128 by 64 to 256 in fp4 (TensorRT-LLM, cutlass_heuristic.cpp,
/// get_candidate_configs_sm100_dynamic_cluster_shape).
std::vector<GroupedTiling> cutlass_menu(const GpuParams& params, const GroupedGemmKernel& gemm) {
  const ProductFormat format = product_format(gemm);
  const bool is_fp4 = format.pipe == MatrixPipe::Fp4;
  std::vector<GroupedTiling> menu;
  GroupedTiling t;
  t.slice_k = 1024 / std::max(format.a_bits, format.b_bits);
  t.ctas_per_sm = 1;
  for (const std::int64_t tile_n : {64, 128}) {
    for (const std::int64_t tile_m : {16, 32, 64, 128, 256}) {
      if (is_fp4 && (tile_n < 128 || tile_m < 64)) continue;
      if (tile_m == 16 && (tile_n < 128 || format.pipe != MatrixPipe::Fp8)) continue;
      t.tile_m = tile_m;
      t.tile_n = tile_n;
      t.stages = params.max_bytes_in_flight.count() / slice_bytes(format, t);
      if (t.stages >= 2) menu.push_back(t);
    }
  }
  return menu;
}

}  // namespace

std::vector<GroupedTiling> grouped_menu(const GpuParams& params, const GroupedGemmKernel& gemm) {
  if (is_tuned_cutlass(params, gemm)) return cutlass_menu(params, gemm);
  const ProductFormat format = product_format(gemm);
  std::vector<GroupedTiling> menu;
  GroupedTiling t;
  t.slice_k = 1024 / std::max(format.a_bits, format.b_bits);
  constexpr std::int64_t row_tiles[] = {16, 32, 64, 128, 256};
  // Triton programs have at most 128 rows; widened weights and sums share tensor memory.
  const std::int64_t widest_rows = params.matrix_issue == MatrixIssue::TensorMemory ? 64 : 128;
  for (const std::int64_t tile_n : {128, 256}) {
    for (const std::int64_t tile_m : row_tiles) {
      if (tile_m * tile_n > 128 * 256 || (tile_n == 256 && tile_m < 128)) continue;
      if (tile_m * tile_n > 128 * 128 && promotes_sums(params, gemm)) continue;
      if (tile_m > widest_rows && widens_weights(format)) continue;
      t.tile_m = tile_m;
      t.tile_n = tile_n;
      const std::int64_t slice = slice_bytes(format, t);
      for (const std::int64_t ctas : {1, 2}) {
        const std::int64_t limit =
            std::min(params.shared_memory.count(), params.max_bytes_in_flight.count()) / ctas;
        t.stages = std::min<std::int64_t>(8, limit / slice);
        t.ctas_per_sm = ctas;
        if (t.stages < 2 || ctas_per_sm(params, demand_of(format, t)) < ctas) continue;
        menu.push_back(t);
      }
    }
  }
  return menu;
}

Picoseconds predict_grouped(const GpuParams& params, const GroupedGemmKernel& gemm,
                            const GroupedTiling& t) {
  const ProductFormat format = product_format(gemm);
  const GroupedCounts counts = count(gemm, t);
  const auto sms = static_cast<double>(params.sms);
  const auto slices = static_cast<double>(ceil_div(gemm.k, t.slice_k));
  const auto slice = static_cast<double>(slice_bytes(format, t));
  const double clock = params.clock.count();
  const double tensor_rate =
      params.matrix_peak(format.pipe).count() * params.matrix_efficiency / sms;
  const double math = std::max(
      static_cast<double>(2 * t.tile_m * padded_columns(params, t) * t.slice_k) / tensor_rate,
      static_cast<double>(shared_traffic(format, t, t.slice_k)) /
          (params.shared_bytes_per_clock * clock));
  const double beside = static_cast<double>(loop_instructions(params, gemm, t, t.slice_k)) * sms /
                        params.vector_peak().count();
  const double in_flight = static_cast<double>(t.ctas_per_sm * t.stages) * slice;
  const double port =
      std::min(params.port_bytes_per_clock * clock, in_flight / to_seconds(params.hbm_latency));
  const auto rounds = static_cast<double>(ceil_div(counts.ctas, params.sms));
  const double memory = static_cast<double>(counts.touched * format.b_bytes(gemm.n, gemm.k) +
                                            format.a_bytes(counts.rows, gemm.k) +
                                            format.out_bytes(counts.rows * gemm.n));
  const double busiest =
      std::max({rounds * slices * (math + beside), rounds * slices * slice / port,
                static_cast<double>(counts.ctas) * slices * slice / params.l2_bandwidth.count(),
                memory / params.hbm.bandwidth.count()});
  return Picoseconds(static_cast<std::int64_t>(std::ceil(busiest * picoseconds_per_second)));
}

GroupedTiling choose_grouped(const GpuParams& params, const GroupedGemmKernel& gemm) {
  const std::vector<GroupedTiling> menu = grouped_menu(params, gemm);
  if (menu.empty()) throw ModelError("gpu: no grouped GEMM tile fits this chip");
  std::vector<std::pair<Picoseconds, std::size_t>> by_time;
  for (std::size_t i = 0; i < menu.size(); ++i) {
    by_time.emplace_back(predict_grouped(params, gemm, menu[i]), i);
  }
  std::sort(by_time.begin(), by_time.end());
  // Each entry of that menu comes with a dozen clusters and epilogues, and the tuner's samples do
  // not separate them: the middle of the list stands for its pick.
  const std::size_t pick = is_tuned_cutlass(params, gemm) ? by_time.size() / 2 : 0;
  return menu[by_time[pick].second];
}

KernelPlan plan_grouped_with(const GpuParams& params, const GroupedGemmKernel& gemm,
                             const GroupedTiling& tiling) {
  GroupedGemmKernel actual = gemm;
  actual.tuned_rows = 0;
  const std::int64_t total = count(actual, tiling).ctas * ceil_div(gemm.k, tiling.slice_k);
  const std::int64_t largest = std::max(std::max<std::int64_t>(1, tiling.stages / 2),
                                        merged_turns(total, grouped_turn_budget));
  const auto program = std::make_shared<GroupedProgram>(params, gemm, tiling, largest);
  PlanPhase phase;
  phase.program = program;
  if (program->ctas() * program->turn_count() > grouped_turn_budget) {
    phase.repeats = repeats_of(program->experts(), params.sms * tiling.ctas_per_sm);
  }
  phase.ctas_per_sm = tiling.ctas_per_sm;
  phase.stages = std::max<std::int64_t>(2, tiling.stages / largest);
  phase.pipe = product_format(gemm).pipe;
  phase.overlaps_epilogue = overlaps_epilogue(params, plain(tiling));
  phase.persistent = params.persistent_kernels && gemm.launched_choices == 0;
  if (gemm.writes_descriptors) phase.tile_setup = params.l2_latency * trips_per_tile(gemm);
  KernelPlan plan;
  plan.algorithm = fmt::format("grouped gemm {}x{}", tiling.tile_m, tiling.tile_n);
  plan.phases.push_back(phase);
  if (const std::int64_t idle = idle_ctas(gemm, tiling); idle > 0) {
    plan.phases.push_back(idle_phase(idle, tiling.ctas_per_sm));
  }
  return plan;
}

KernelPlan plan_grouped(const GpuParams& params, const GroupedGemmKernel& gemm) {
  if (gemm.n < 1 || gemm.k < 1) {
    throw ModelError(
        fmt::format("gpu: a grouped GEMM of width {} over {} is empty", gemm.n, gemm.k));
  }
  return plan_grouped_with(params, gemm, choose_grouped(params, gemm));
}

}  // namespace tandem::gpu
