#include "models/lpu/compiler/quantise.hpp"

#include "models/lpu/compiler/row_allocator.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

// Multiplies every vector by the inverse that an ALU keeps, and rounds.
void write_codes(Scheduler& scheduler, const QuantiseRows& rows, Type type, int inverse) {
  for (std::size_t k = 0; k < rows.values.size(); ++k) {
    Work work(scheduler);
    const Value scaled =
        work.op(AluOp::Mul, work.memory(rows.values[k]), Work::register_of(inverse));
    work.store(work.convert(scaled, Type::Float32, type), rows.codes[k]);
    work.place();
  }
}

Work::Options pinned_to(int alu) {
  Work::Options options;
  options.pinned = alu;
  return options;
}

}  // namespace

float largest_value(Type type) {
  switch (type) {
    case Type::Int8:
      return 127.0F;
    case Type::Fp8E4m3:
      return 448.0F;
    case Type::Fp8E5m2:
      return 57344.0F;
    default:
      throw ModelError("lpu.compiler: quantises to one-byte types only");
  }
}

void quantise_token(Scheduler& scheduler, const AddMap& add_map, const QuantiseRows& rows,
                    Type type, const QuantiseAlus& alus) {
  Work work(scheduler);
  Value largest;
  for (std::size_t k = 0; k < rows.values.size(); ++k) {
    Work::Options at;
    at.earliest = static_cast<std::int64_t>(k);
    const Value magnitude = work.op(AluOp::Abs, work.memory(rows.values[k]), {}, at);
    largest =
        work.op(k == 0 ? AluOp::AccClear : AluOp::AccMax, magnitude, {}, pinned_to(alus.running));
  }
  const Value amax = reduce_lanes(work, largest, AluOp::Max, Hemisphere::East,
                                  scheduler.geometry().lanes(), add_map);
  const Value used = work.op(AluOp::Max, amax, Work::constant(least_amax));
  const Value factor = work.op(AluOp::Mul, used, Work::constant(1.0F / largest_value(type)));
  work.store(factor, rows.factor);
  work.op(AluOp::Pass, work.op(AluOp::Recip, factor), {}, pinned_to(alus.inverse));
  work.place();
  write_codes(scheduler, rows, type, alus.inverse);
}

void quantise_tensor(Scheduler& scheduler, const QuantiseRows& rows, Type type,
                     const QuantiseAlus& alus) {
  static_cast<void>(largest_value(type));
  Work work(scheduler);
  work.op(AluOp::Pass, work.op(AluOp::Recip, work.memory(rows.factor)), {},
          pinned_to(alus.inverse));
  work.place();
  write_codes(scheduler, rows, type, alus.inverse);
}

void dequantise(Scheduler& scheduler, const DequantiseRows& rows, Type from) {
  for (std::size_t k = 0; k < rows.codes.size(); ++k) {
    Work work(scheduler);
    Value value = work.memory(rows.codes[k]);
    if (from != Type::Float32) value = work.convert(value, from, Type::Float32);
    value = work.op(AluOp::Mul, value, work.memory(rows.by_output[k]));
    if (!rows.token.empty()) value = work.op(AluOp::Mul, value, work.memory(rows.token));
    work.store(value, rows.values[k]);
    work.place();
  }
}

CompiledQuantise compile_quantise(const Geometry& geometry, const LatencyTable& latencies,
                                  const std::string& chip, int vectors, Type type, bool per_token) {
  CompiledQuantise result;
  StageLayout layout;
  RowAllocator allocator(geometry, layout);
  const auto buffer = [&](int k, int bytes) {
    return allocator.buffer(k % 2 == 0 ? Hemisphere::West : Hemisphere::East, bytes);
  };
  for (int k = 0; k < vectors; ++k) {
    result.rows.values.push_back(buffer(k, 4));
    result.rows.codes.push_back(buffer(k + 1, 1));
    result.back.by_output.push_back(buffer(k, 4));
    result.back.values.push_back(buffer(k + 1, 4));
  }
  result.rows.factor = result.back.token = buffer(0, 4);
  result.back.codes = result.rows.codes;
  Scheduler scheduler(geometry, latencies, latencies.barrier);
  const QuantiseAlus alus{geometry.vxm_alus - 2, geometry.vxm_alus - 3};
  const AddMap add_map = [&](std::vector<std::uint16_t> map) {
    result.program.maps.push_back(std::move(map));
    return static_cast<int>(result.program.maps.size()) - 1;
  };
  if (per_token) {
    quantise_token(scheduler, add_map, result.rows, type, alus);
  } else {
    quantise_tensor(scheduler, result.rows, type, alus);
  }
  dequantise(scheduler, result.back, type);
  result.program.chip = chip;
  emit_queues(scheduler, result.program);
  result.cycles = predict_cycles(scheduler).base;
  return result;
}

}  // namespace tandem::lpu
