#include "models/lpu/compiler/quantised_product.hpp"

#include "models/lpu/compiler/layout_maker.hpp"
#include "models/lpu/compiler/pieces.hpp"
#include "models/lpu/compiler/row_allocator.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

void lay_out_product(const Geometry& geometry, CompiledQuantisedProduct& product) {
  StageLayout layout;
  RowAllocator allocator(geometry, layout);
  for (int n = 0; n < product.n_tiles; ++n) {
    for (int k = 0; k < product.k_tiles; ++k) {
      product.weights.push_back(allocator.weights(n % geometry.planes, product.shape.type));
    }
  }
  const auto fp32 = [&](int turn) { return allocator.buffer(both_sides[index_of(turn % 2)], 4); };
  for (int k = 0; k < product.k_tiles; ++k) {
    product.input.values.push_back(fp32(k));
    for (const Hemisphere side : both_sides) {
      product.activations[side == Hemisphere::East ? 1 : 0].push_back(
          allocator.buffer(side, 1, BufferUse::Activation));
    }
  }
  product.input.codes = product.activations[0];
  product.input.factor = fp32(0);
  for (int n = 0; n < product.n_tiles; ++n) {
    product.factors.push_back(fp32(n));
    product.outputs.push_back(fp32(n + 1));
  }
  if (layout.deepest_bank() > geometry.rows_per_bank) {
    throw ModelError("lpu.compiler: the operands of a product do not fit the chip");
  }
}

// Codes for the planes of both hemispheres: those that went West pass the vector unit once more.
void copy_codes(Scheduler& scheduler, const CompiledQuantisedProduct& product) {
  for (int k = 0; k < product.k_tiles; ++k) {
    Work work(scheduler);
    Work::Options narrow;
    narrow.type = product.shape.type;
    work.store(work.op(AluOp::Pass, work.memory(product.activations[0][index_of(k)]), {}, narrow),
               product.activations[1][index_of(k)]);
    work.place();
  }
}

void multiply(Scheduler& scheduler, const CompiledQuantisedProduct& product, int n) {
  const Geometry& geometry = scheduler.geometry();
  const int plane = n % geometry.planes;
  const int accumulator = n / geometry.planes % geometry.accumulators;
  // With a wide weight path the ports of a plane's own hemisphere load weights.
  const bool from_east =
      (geometry.plane_hemisphere(plane) == Hemisphere::East) != geometry.has_wide_weight_path();
  for (int k = 0; k < product.k_tiles; ++k) {
    scheduler.load_tile(product.weights[index_of(n * product.k_tiles + k)], plane);
    Work work(scheduler);
    work.activate_rows(product.activations[from_east ? 1 : 0][index_of(k)],
                       {{plane, accumulator, k > 0, 1, product.shape.type}});
    work.place();
  }
  Work work(scheduler);
  Value sum = work.accumulator(plane, accumulator);
  if (product.shape.type == Type::Int8) sum = work.convert(sum, Type::Int32, Type::Float32);
  const Value by_output = work.op(AluOp::Mul, sum, work.memory(product.factors[index_of(n)]));
  work.store(work.op(AluOp::Mul, by_output, work.memory(product.input.factor)),
             product.outputs[index_of(n)]);
  work.place();
}

}  // namespace

CompiledQuantisedProduct compile_quantised_product(const Geometry& geometry,
                                                   const LatencyTable& latencies,
                                                   const std::string& chip,
                                                   const QuantisedProductShape& shape) {
  if (shape.type != Type::Int8 && shape.type != Type::Fp8E4m3) {
    throw ModelError("lpu.compiler: quantised products take int8 or e4m3 codes");
  }
  require_square_planes(geometry);
  CompiledQuantisedProduct product;
  product.shape = shape;
  product.k_tiles = pieces_of(shape.k, geometry.lanes());
  product.n_tiles = pieces_of(shape.n, geometry.lanes());
  lay_out_product(geometry, product);
  Scheduler scheduler(geometry, latencies, latencies.barrier);
  const AddMap add_map = [&](std::vector<std::uint16_t> map) {
    product.program.maps.push_back(std::move(map));
    return static_cast<int>(product.program.maps.size()) - 1;
  };
  quantise_token(scheduler, add_map, product.input, shape.type,
                 {geometry.vxm_alus - 2, geometry.vxm_alus - 3});
  copy_codes(scheduler, product);
  for (int n = 0; n < product.n_tiles; ++n) multiply(scheduler, product, n);
  product.program.chip = chip;
  emit_queues(scheduler, product.program);
  product.cycles = predict_cycles(scheduler).base;
  return product;
}

}  // namespace tandem::lpu
