#include "models/lpu/compiler/delta.hpp"

#include <algorithm>

#include "models/lpu/compiler/delta_step.hpp"
#include "models/lpu/compiler/emitter.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

Operand in_memory(const Rows& rows) {
  return [&rows](Work& work) { return work.memory(rows); };
}

std::vector<Rows> vectors(RowAllocator& allocator, int count) {
  std::vector<Rows> rows;
  for (int i = 0; i < count; ++i) {
    rows.push_back(allocator.buffer(i % 2 == 0 ? Hemisphere::West : Hemisphere::East, 4));
  }
  return rows;
}

void lay_out(const Geometry& geometry, int slots, CompiledDelta& delta) {
  StageLayout layout;
  RowAllocator allocator(geometry, layout);
  const DeltaPlan& plan = delta.plan;
  const int packs = static_cast<int>(plan.packs.size());
  delta.buffers = make_delta_buffers(geometry, plan, allocator);
  delta.layer = make_delta_layer(plan, allocator, slots);
  delta.queries = vectors(allocator, plan.key_vectors);
  delta.keys = vectors(allocator, plan.key_vectors);
  delta.values = vectors(allocator, packs);
  delta.z = vectors(allocator, packs);
  delta.gates = vectors(allocator, plan.gate_vectors);
  delta.outputs = vectors(allocator, packs);
  if (layout.deepest_bank() > geometry.rows_per_bank) {
    throw ModelError("lpu.delta: states and constants do not fit the chip");
  }
}

void take_projections(DeltaStep& step, const CompiledDelta& delta) {
  const auto each = [](const std::vector<Rows>& rows, const auto& take) {
    for (std::size_t i = 0; i < rows.size(); ++i) take(static_cast<int>(i), in_memory(rows[i]));
  };
  each(delta.keys, [&](int i, const Operand& x) { step.take_key(i, x); });
  each(delta.queries, [&](int i, const Operand& x) { step.take_query(i, x); });
  each(delta.gates, [&](int i, const Operand& x) { step.take_gates(i, x); });
  each(delta.values, [&](int i, const Operand& x) { step.take_value(i, x); });
  each(delta.z, [&](int i, const Operand& x) { step.take_output_gate(i, x); });
}

void set_limits(const CompiledDelta& delta, int slots, Program& program) {
  const auto limits = delta_register_limits(delta.plan, slots);
  std::copy(limits.begin(), limits.end(),
            program.register_limits.begin() + host_register::delta_state);
}

}  // namespace

CompiledDelta compile_delta(const Geometry& geometry, const LatencyTable& latencies,
                            const std::string& chip, const ops::GatedDeltaShape& shape,
                            float norm_epsilon, int slots) {
  CompiledDelta delta{DeltaPlan(shape, geometry.lanes()), {}, {}, {}, {}, {}, {}, {}, {}, {}, 0, 0};
  lay_out(geometry, slots, delta);
  Scheduler scheduler(geometry, latencies, latencies.barrier);
  auto& maps = delta.program.maps;
  const DeltaMaps indices = make_delta_maps(delta.plan, [&](std::vector<std::uint16_t> map) {
    maps.push_back(std::move(map));
    return static_cast<int>(maps.size()) - 1;
  });
  DeltaStep step(scheduler, delta.plan, indices, delta.layer, delta.buffers, norm_epsilon);
  take_projections(step, delta);
  step.mix([&](Work& work, Value output, int pack) {
    work.store(output, delta.outputs[static_cast<std::size_t>(pack)]);
  });
  delta.answered = predict_cycles(scheduler).base;
  step.update();
  delta.program.chip = chip;
  emit_queues(scheduler, delta.program);
  delta.cycles = predict_cycles(scheduler).base;
  set_limits(delta, slots, delta.program);
  return delta;
}

}  // namespace tandem::lpu
