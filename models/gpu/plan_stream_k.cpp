#include "models/gpu/plan_stream_k.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "models/gpu/gemm_tiling.hpp"
#include "models/gpu/plan_low_precision.hpp"
#include "models/gpu/plan_reduce.hpp"

namespace tandem::gpu {
namespace {

class StreamKProgram final : public CtaProgram {
 public:
  StreamKProgram(const GpuParams& params, const GemmKernel& gemm, const GemmTiling& tiling,
                 std::int64_t slices_per_chunk)
      : params_(params),
        gemm_(gemm),
        format_(product_format(gemm)),
        tiling_(tiling),
        grid_(grid_of(gemm, tiling)),
        chunk_k_(slices_per_chunk * tiling.slice_k),
        slices_per_chunk_(slices_per_chunk),
        chunks_(ceil_div(grid_.slices, slices_per_chunk)),
        segments_(stream_k_segments(outputs(), chunks_, params.sms * tiling.ctas_per_sm)) {
    number_workspace();
  }

  [[nodiscard]] std::int64_t ctas() const override {
    return static_cast<std::int64_t>(segments_.size());
  }
  [[nodiscard]] std::int64_t tiles() const override { return tiles_; }
  [[nodiscard]] int steps(std::int64_t cta) const override {
    return static_cast<int>(segment(cta).end - segment(cta).begin);
  }

  void step(std::int64_t cta, int index, Step& out) const override {
    const StreamKSegment& own = segment(cta);
    const TileCoordinates c = raster(grid_, raster_group, own.tile);
    const std::int64_t chunk = own.begin + index;
    const std::int64_t k = std::min(gemm_.k, (chunk + 1) * chunk_k_) - chunk * chunk_k_;
    const std::int64_t slices =
        std::min(grid_.slices, (chunk + 1) * slices_per_chunk_) - chunk * slices_per_chunk_;
    const std::int64_t k_padded = slices * tiling_.slice_k;
    out.add({c.m * chunks_ + chunk, Bytes(format_.a_bytes(rows(c), k)), Operand::Activation, 1});
    out.add({(grid_.tiles_m + c.n) * chunks_ + chunk, Bytes(format_.b_bytes(columns(c), k)),
             Operand::Weight, 1});
    out.tensor = Flops(2 * rows(c) * columns(c) * k);
    out.tensor_padded = Flops(2 * tiling_.tile_m * tiling_.tile_n * k_padded);
    out.chain = chain_of(format_, k_padded);
    out.handoffs = slices * handoffs_per_slice(params_, gemm_);
    out.shared_traffic = Bytes(shared_traffic(format_, tiling_, k_padded));
    out.issue = loop_operations(params_, gemm_, tiling_, k_padded);
  }

  void epilogue(std::int64_t cta, Epilogue& out) const override {
    const StreamKSegment& own = segment(cta);
    const TileCoordinates c = raster(grid_, raster_group, own.tile);
    const std::int64_t elements = rows(c) * columns(c);
    out.staging = Bytes(elements * staging_bytes(params_, format_));
    if (own.parts == 1) return store_tile(own.tile, c, out);
    out.workspace_store = Bytes(elements * accumulator_bytes);
    out.store_tile = workspace_[static_cast<std::size_t>(cta)];
  }

  /// The parts of each divided tile, added in ascending order.
  [[nodiscard]] std::vector<ReduceTask> reduction() const {
    std::vector<ReduceTask> tasks;
    for (std::size_t i = 0; i < segments_.size(); ++i) {
      const StreamKSegment& own = segments_[i];
      if (own.parts == 1 || own.part > 0) continue;
      const TileCoordinates c = raster(grid_, raster_group, own.tile);
      ReduceTask task{
          workspace_[i], own.parts, Bytes(rows(c) * columns(c) * accumulator_bytes), {}};
      store_tile(own.tile, c, task.epilogue);
      tasks.push_back(task);
    }
    return tasks;
  }

 private:
  /// Output, with the residual and bias that are added to it.
  void store_tile(std::int64_t tile, const TileCoordinates& c, Epilogue& out) const {
    const std::int64_t elements = rows(c) * columns(c);
    out.store = Bytes(format_.out_bytes(elements));
    std::int64_t inputs = 0;
    if (gemm_.adds_residual) inputs += elements;
    if (gemm_.bias) inputs += columns(c);
    out.vector = Flops(elements * ((gemm_.adds_residual ? 1 : 0) + (gemm_.bias ? 1 : 0)));
    if (inputs == 0) return;
    out.load = {first_residual() + tile, Bytes(format_.out_bytes(inputs)), Operand::Activation, 1};
  }
  /// Parts of a tile stand one behind the other, in the order of their chunks.
  void number_workspace() {
    std::vector<std::int64_t> first(static_cast<std::size_t>(outputs()), -1);
    tiles_ = first_residual() + outputs();
    for (const StreamKSegment& own : segments_) {
      std::int64_t& begin = first[static_cast<std::size_t>(own.tile)];
      if (begin < 0 && own.parts > 1) {
        begin = tiles_;
        tiles_ += own.parts;
      }
      workspace_.push_back(own.parts > 1 ? begin + own.part : -1);
    }
  }
  [[nodiscard]] std::int64_t outputs() const { return grid_.tiles_m * grid_.tiles_n; }
  [[nodiscard]] std::int64_t first_residual() const {
    return (grid_.tiles_m + grid_.tiles_n) * chunks_;
  }
  [[nodiscard]] std::int64_t rows(const TileCoordinates& c) const {
    return std::min(tiling_.tile_m, gemm_.m - c.m * tiling_.tile_m);
  }
  [[nodiscard]] std::int64_t columns(const TileCoordinates& c) const {
    return std::min(tiling_.tile_n, gemm_.n - c.n * tiling_.tile_n);
  }
  [[nodiscard]] const StreamKSegment& segment(std::int64_t cta) const {
    return segments_[static_cast<std::size_t>(cta)];
  }

  GpuParams params_;
  GemmKernel gemm_;
  ProductFormat format_;
  GemmTiling tiling_;
  GemmGrid grid_;
  std::int64_t chunk_k_, slices_per_chunk_, chunks_;
  std::vector<StreamKSegment> segments_;
  std::vector<std::int64_t> workspace_;  ///< tile of the partial sums of each segment; -1: none
  std::int64_t tiles_ = 0;
};

}  // namespace

std::vector<StreamKSegment> stream_k_segments(std::int64_t tiles, std::int64_t chunks,
                                              std::int64_t ctas) {
  std::vector<StreamKSegment> segments;
  const bool is_even = tiles % ctas == 0;
  const std::int64_t whole = is_even ? tiles : std::max<std::int64_t>(0, tiles / ctas - 1) * ctas;
  for (std::int64_t tile = 0; tile < whole; ++tile) segments.push_back({tile, 0, chunks, 0, 1});
  const std::int64_t shared = (tiles - whole) * chunks;
  const std::int64_t workers = std::min(ctas, shared);
  for (std::int64_t worker = 0; worker < workers; ++worker) {
    std::int64_t at = shared * worker / workers;
    const std::int64_t end = shared * (worker + 1) / workers;
    while (at < end) {
      const std::int64_t tile = at / chunks;
      const std::int64_t stop = std::min(end, (tile + 1) * chunks);
      segments.push_back({whole + tile, at - tile * chunks, stop - tile * chunks, 0, 1});
      at = stop;
    }
  }
  std::vector<std::int64_t> parts(static_cast<std::size_t>(tiles));
  for (StreamKSegment& segment : segments) {
    segment.part = parts[static_cast<std::size_t>(segment.tile)]++;
  }
  for (StreamKSegment& segment : segments) {
    segment.parts = parts[static_cast<std::size_t>(segment.tile)];
  }
  // CTAs take segments as they come free: the longest first, so that all end together.
  std::stable_sort(segments.begin() + whole, segments.end(),
                   [](const StreamKSegment& a, const StreamKSegment& b) {
                     return a.end - a.begin > b.end - b.begin;
                   });
  return segments;
}

Picoseconds predict_stream_k(const GpuParams& params, const GemmKernel& gemm,
                             const GemmTiling& tiling) {
  const GemmGrid grid = grid_of(gemm, tiling);
  const std::int64_t tiles = grid.tiles_m * grid.tiles_n;
  const std::int64_t slots = params.sms * tiling.ctas_per_sm;
  const auto waves = static_cast<double>(tiles) / static_cast<double>(slots);
  const double filled = waves / static_cast<double>(ceil_div(tiles, slots));
  const auto partial =
      static_cast<double>(2 * slots * tiling.tile_m * tiling.tile_n * accumulator_bytes);
  const double seconds = to_seconds(predict_gemm(params, gemm, tiling)) * filled +
                         partial / params.l2_bandwidth.count() + 2 * to_seconds(params.l2_latency);
  return from_seconds(seconds);
}

KernelPlan plan_stream_k(const GpuParams& params, const GemmKernel& gemm,
                         const GemmTiling& tiling) {
  const std::int64_t chunk = std::max<std::int64_t>(1, tiling.stages / 2);
  auto program = std::make_shared<StreamKProgram>(params, gemm, tiling, chunk);
  KernelPlan plan;
  plan.algorithm = fmt::format("gemm {}x{} stream-k", tiling.tile_m, tiling.tile_n);
  PlanPhase main;
  main.ctas_per_sm = tiling.ctas_per_sm;
  main.stages =
      std::max<std::int64_t>(std::min<std::int64_t>(2, tiling.stages), tiling.stages / chunk);
  main.pipe = product_format(gemm).pipe;
  main.persistent = true;
  main.vector_work = promotion_of(params, gemm);
  main.overlaps_epilogue = overlaps_epilogue(params, tiling);
  main.program = program;
  plan.phases.push_back(main);
  if (auto tasks = program->reduction(); !tasks.empty()) {
    plan.phases.push_back(reduce_phase(params, std::move(tasks), program->tiles()));
    plan.phases.back().has_setup = false;
  }
  return plan;
}

}  // namespace tandem::gpu
