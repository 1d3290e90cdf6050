// Loops over KV blocks whose iterations overlap: the bits of the plain schedule, cycles exactly as
// the closed form says, and resources that no two iterations share.
#include <gtest/gtest.h>

#include "models/lpu/compiler/loop_plan.hpp"
#include "models/lpu/verifier.hpp"
#include "tests/lpu/compiler_harness.hpp"

namespace tandem::test {
namespace {

using lpu::LatencyTable;
using lpu::LoopCost;
using lpu::LoopPlan;
using lpu::LoopStrategy;
using lpu::Timeline;

// Three packs of up to three heads on two lanes' worth of superlanes: blocks of 32 tokens.
DenseDecoder many_heads() {
  return small_network(1, 40, 16, 8, 8, 48, 64);
}

constexpr int lanes = 32;

lpu::CompiledStage compile(ElementType type, int blocks) {
  return lpu::compile_stage(narrow_geometry(2), LatencyTable{}, "chip",
                            whole_model(many_heads(), precision_of(type, type)), 1, blocks * lanes);
}

std::int64_t simulated(const lpu::CompiledStage& compiled, std::int64_t blocks) {
  const auto geometry = narrow_geometry(2);
  lpu::Machine machine(geometry, LatencyTable{}, false);
  machine.load(compiled.program, {});
  const auto registers = lpu::pass_registers(geometry, compiled.layout, 0, blocks * lanes - 1);
  for (int r = 1; r < lpu::host_registers; ++r) {
    machine.set_register(r, registers[static_cast<std::size_t>(r)]);
  }
  return machine.run().cycles;
}

TEST(LpuTimeline, APeriodStandsForAllCyclesOfItsPhase) {
  Timeline line(8);
  line.take(3);
  EXPECT_TRUE(line.busy(11));
  EXPECT_TRUE(line.busy(-5));
  EXPECT_FALSE(line.busy(4));
  line.release(19);
  EXPECT_FALSE(line.busy(3));
  Timeline plain;
  plain.take(100);
  EXPECT_FALSE(plain.busy(108));
  EXPECT_EQ(plain.end(), 101);
}

TEST(LpuLoopCost, CountsIterationsNotBlocks) {
  const LoopCost cost{{LoopStrategy::Overlapped, 4}, 100, 40};
  EXPECT_EQ(cost.at(1), 100);
  EXPECT_EQ(cost.at(4), 100);
  EXPECT_EQ(cost.at(5), 140);
  EXPECT_EQ(cost.at(9), 180);
  EXPECT_EQ(cost.total(8, 8), 4 * 100 + 4 * 140);
}

TEST(LpuLoops, OneBlockRunsSequentialAndManyBlocksOverlap) {
  for (const ElementType type : {ElementType::Fp8E4m3, ElementType::Float16}) {
    const auto one = compile(type, 1);
    const auto many = compile(type, 40);
    ASSERT_EQ(one.loops.size(), 2U);
    ASSERT_EQ(many.loops.size(), 2U);
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(one.loops[i].plan.strategy, LoopStrategy::Sequential);
      EXPECT_EQ(one.loops[i].plan.blocks, 1);
      EXPECT_EQ(many.loops[i].plan.strategy, LoopStrategy::Overlapped);
      // No schedule is shorter than what its busiest unit works.
      EXPECT_GE(many.loops[i].interval, many.loops[i].bound);
    }
    EXPECT_LT(many.cycles.per_iteration,
              one.cycles.per_iteration * many.cycles.blocks_per_iteration);
  }
}

// a + b x ceil(L / block), as predicted, on ten lengths and more.
TEST(LpuLoops, CyclesFollowTheClosedFormOnEveryLength) {
  for (const ElementType type : {ElementType::Fp8E4m3, ElementType::Float16}) {
    const auto compiled = compile(type, 40);
    const std::int64_t unit = compiled.cycles.blocks_per_iteration;
    const std::int64_t base = simulated(compiled, 1);
    const std::int64_t further = simulated(compiled, unit + 1) - base;
    EXPECT_EQ(base, compiled.cycles.base);
    EXPECT_EQ(further, compiled.cycles.per_iteration);
    for (const std::int64_t blocks : {1, 2, 3, 4, 5, 7, 8, 9, 13, 21, 32, 40}) {
      const std::int64_t iterations = (blocks + unit - 1) / unit;
      EXPECT_EQ(simulated(compiled, blocks), base + further * (iterations - 1)) << blocks;
      EXPECT_EQ(compiled.cycles.at(blocks), base + further * (iterations - 1)) << blocks;
    }
  }
}

// Every token of two blocks and a bit: the growing block, full blocks, blocks behind the context.
TEST(LpuLoops, NoPlanChangesABit) {
  const Weights weights = spread_weights(many_heads(), 11);
  const auto geometry = narrow_geometry(2);
  for (const ElementType type : {ElementType::Fp8E4m3, ElementType::Float16}) {
    const Stage stage = whole_model(weights.network, precision_of(type, type));
    std::vector<std::vector<float>> expected;
    int overlapped = 0;
    for (const LoopPlan& plan :
         {LoopPlan{LoopStrategy::Sequential, 1}, LoopPlan{LoopStrategy::Overlapped, 2},
          LoopPlan{LoopStrategy::Overlapped, 4}}) {
      const auto compiled = lpu::compile_stage(geometry, LatencyTable{}, "chip", stage, 1,
                                               8 * lanes, {}, {1, 1, plan});
      ASSERT_EQ(compiled.layout.blocks_per_iteration, plan.blocks);
      for (const auto& loop : compiled.loops) {
        overlapped += loop.plan.strategy == LoopStrategy::Overlapped ? 1 : 0;
      }
      lpu::ChipHost host(geometry, LatencyTable{}, compiled, weights);
      for (int t = 0; t < 2 * lanes + 2; ++t) {
        const auto pass = host.run_token(0, t, embedding_row(weights, t % 60));
        EXPECT_EQ(pass.run.cycles, compiled.cycles.at(t / lanes + 1));
        const auto token = static_cast<std::size_t>(t);
        if (token == expected.size()) expected.push_back(pass.logits);
        EXPECT_EQ(pass.logits, expected[token]) << t;
      }
    }
    EXPECT_GE(overlapped, 2);
  }
}

TEST(LpuLoops, TheVerifierFindsNothing) {
  for (const ElementType type : {ElementType::Fp8E4m3, ElementType::Float16}) {
    const auto compiled = compile(type, 12);
    for (const auto& fault : lpu::verify(compiled.program, narrow_geometry(2), LatencyTable{})) {
      ADD_FAILURE() << lpu::format_violation(fault);
    }
  }
}

}  // namespace
}  // namespace tandem::test
