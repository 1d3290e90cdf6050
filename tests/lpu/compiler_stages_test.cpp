// Stages as parts of a system: pipelines of chips, KV moved between chips, requests side by side,
// exact cycles, and schedules that no other machine would accept.
#include <gtest/gtest.h>

#include "models/lpu/verifier.hpp"
#include "tests/lpu/compiler_harness.hpp"

namespace tandem::test {
namespace {

using lpu::LatencyTable;

DenseDecoder three_layers() {
  return small_network(3, 100, 8, 4, 12, 150, 200);
}

// One token through all stages; the logits of head slices are put together.
std::vector<float> run_chain(std::vector<std::unique_ptr<StageUnderTest>>& chips,
                             const Weights& weights, std::int32_t token, std::int64_t position) {
  const auto row = embedding_row(weights, token);
  std::vector<float> hidden(row.begin(), row.end());
  std::vector<float> logits;
  for (auto& chip : chips) {
    const auto pass = chip->host->run_token(0, position, hidden);
    logits.insert(logits.end(), pass.logits.begin(), pass.logits.end());
    if (!pass.hidden.empty()) hidden = pass.hidden;
  }
  return logits;
}

TEST(Pipeline, ChipsInARowGiveTheBitsOfOneChip) {
  const Weights weights = spread_weights(three_layers(), 3);
  const Precision precision = precision_of(ElementType::Float16, ElementType::Float16);
  StageUnderTest single(narrow_geometry(4), whole_model(weights.network, precision), weights, 1, 8);
  // Two chips with layers and two that share the head.
  std::vector<std::unique_ptr<StageUnderTest>> chain;
  for (const Stage& stage : partition_pipeline(weights.network, precision, 2, 2)) {
    chain.push_back(std::make_unique<StageUnderTest>(narrow_geometry(4), stage, weights, 1, 8));
  }
  ASSERT_EQ(chain.size(), 4U);
  for (int position = 0; position < 4; ++position) {
    const auto one = single.host->run_token(0, position, embedding_row(weights, position + 5));
    EXPECT_EQ(run_chain(chain, weights, position + 5, position), one.logits);
  }
}

TEST(Pipeline, HiddenStateTakesOneLinkIntervalPerRow) {
  // 100 channels are 2 vectors of 64 lanes, 4 bytes each: 8 rows, 27 cycles apart.
  const Weights weights = spread_weights(three_layers(), 3);
  const Precision precision = precision_of(ElementType::Float16, ElementType::Float16);
  const auto stages = partition_pipeline(weights.network, precision, 2, 0);
  const auto first =
      lpu::compile_stage(narrow_geometry(4), LatencyTable{}, "chip", stages[0], 1, 8);
  const auto second =
      lpu::compile_stage(narrow_geometry(4), LatencyTable{}, "chip", stages[1], 1, 8);
  ASSERT_EQ(first.send_cycles.size(), 8U);
  ASSERT_EQ(second.receive_cycles.size(), 8U);
  EXPECT_TRUE(first.receive_cycles.empty());
  EXPECT_TRUE(second.send_cycles.empty());
  for (std::size_t i = 1; i < 8; ++i) {
    EXPECT_EQ(first.send_cycles[i] - first.send_cycles[i - 1], 27);
    EXPECT_EQ(second.receive_cycles[i] - second.receive_cycles[i - 1], 27);
  }
}

TEST(KvCache, MovesToAnotherChipByteForByte) {
  const Weights weights = spread_weights(three_layers(), 4);
  const Precision precision = precision_of(ElementType::Float16, ElementType::Float16);
  const Stage stage = whole_model(weights.network, precision);
  StageUnderTest from(narrow_geometry(4), stage, weights, 1, 80);
  StageUnderTest to(narrow_geometry(4), stage, weights, 2, 80);
  constexpr int tokens = 67;  // one full block and three tokens of the next
  for (int t = 0; t < tokens; ++t) {
    static_cast<void>(from.host->run_token(0, t, embedding_row(weights, t + 1)));
  }
  const KvBlock block = from.host->read_kv(0, tokens);
  // 3 layers x (K, V) x 67 tokens x 4 heads x 12 channels x 2 B = 38,592 B.
  EXPECT_EQ(block.bytes.size(), 38592U);
  to.host->write_kv(1, block);
  EXPECT_EQ(to.host->read_kv(1, tokens), block);
  for (int t = tokens; t < tokens + 2; ++t) {
    const auto here = from.host->run_token(0, t, embedding_row(weights, t + 1));
    const auto there = to.host->run_token(1, t, embedding_row(weights, t + 1));
    EXPECT_EQ(here.logits, there.logits);
  }
}

TEST(KvCache, RequestsInOtherSlotsChangeNothing) {
  const Weights weights = spread_weights(three_layers(), 5);
  const Stage stage =
      whole_model(weights.network, precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3));
  StageUnderTest alone(narrow_geometry(4), stage, weights, 1, 16);
  StageUnderTest shared(narrow_geometry(4), stage, weights, 3, 16);
  for (int t = 0; t < 5; ++t) {
    const auto expected = alone.host->run_token(0, t, embedding_row(weights, t));
    static_cast<void>(shared.host->run_token(0, t, embedding_row(weights, t + 50)));
    const auto mine = shared.host->run_token(1, t, embedding_row(weights, t));
    static_cast<void>(shared.host->run_token(2, t, embedding_row(weights, t + 90)));
    EXPECT_EQ(mine.logits, expected.logits);
  }
}

std::int64_t timed_cycles(const lpu::Geometry& geometry, const LatencyTable& latencies,
                          const lpu::CompiledStage& compiled, std::int64_t position) {
  lpu::Machine machine(geometry, latencies, false);
  machine.load(compiled.program, {});
  const auto registers = lpu::pass_registers(geometry, compiled.layout, 0, position);
  for (int r = 1; r < lpu::host_registers; ++r) {
    machine.set_register(r, registers[static_cast<std::size_t>(r)]);
  }
  return machine.run().cycles;
}

TEST(Cycles, AreLinearInTheNumberOfKvBlocksAndAsPredicted) {
  const Stage stage =
      whole_model(three_layers(), precision_of(ElementType::Float16, ElementType::Float16));
  const auto geometry = narrow_geometry(4);
  const auto compiled = lpu::compile_stage(geometry, LatencyTable{}, "chip", stage, 1, 640);
  const std::int64_t one = timed_cycles(geometry, LatencyTable{}, compiled, 0);
  const int unit = compiled.cycles.blocks_per_iteration;
  const std::int64_t two = timed_cycles(geometry, LatencyTable{}, compiled, 64 * unit);
  EXPECT_EQ(one, compiled.cycles.base);
  EXPECT_EQ(two - one, compiled.cycles.per_iteration);
  for (const int blocks : {3, 7, 10}) {
    EXPECT_EQ(timed_cycles(geometry, LatencyTable{}, compiled, 64 * blocks - 1),
              one + (two - one) * ((blocks - 1) / unit));
  }
}

TEST(Cycles, DoNotDependOnTheNumberOfSlots) {
  const Stage stage =
      whole_model(three_layers(), precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3));
  const auto geometry = narrow_geometry(4);
  const auto small = lpu::compile_stage(geometry, LatencyTable{}, "chip", stage, 1, 640);
  const auto large = lpu::compile_stage(geometry, LatencyTable{}, "chip", stage, 5, 640);
  EXPECT_EQ(small.cycles.base, large.cycles.base);
  EXPECT_EQ(small.cycles.per_iteration, large.cycles.per_iteration);
}

// A machine whose latency differs in one entry must refuse the schedule or take other cycles.
TEST(Cycles, EveryLatencyOfTheMachineMatters) {
  const Stage stage =
      whole_model(three_layers(), precision_of(ElementType::Float16, ElementType::Float16));
  const auto geometry = narrow_geometry(4);
  const auto compiled = lpu::compile_stage(geometry, LatencyTable{}, "chip", stage, 1, 64);
  for (int LatencyTable::*entry :
       {&LatencyTable::mem_read, &LatencyTable::mem_write_to_read, &LatencyTable::vxm_simple,
        &LatencyTable::vxm_special, &LatencyTable::mxm_load, &LatencyTable::mxm_install,
        &LatencyTable::mxm_result, &LatencyTable::sxm_cross, &LatencyTable::barrier}) {
    LatencyTable other;
    other.*entry += 1;
    bool noticed = false;
    try {
      noticed = timed_cycles(geometry, other, compiled, 0) != compiled.cycles.base;
    } catch (const lpu::ScheduleError&) {
      noticed = true;
    }
    EXPECT_TRUE(noticed);
  }
}

TEST(Verifier, FindsNothingInCompiledPrograms) {
  const Precision half = precision_of(ElementType::Float16, ElementType::Float16);
  const Precision byte = precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3);
  for (const Precision& precision : {half, byte}) {
    for (const Stage& stage : partition_pipeline(network_of(three_layers()), precision, 2, 2)) {
      const auto geometry = narrow_geometry(4);
      const auto compiled = lpu::compile_stage(geometry, LatencyTable{}, "chip", stage, 2, 200);
      expect_verified(compiled, geometry);
    }
  }
}

TEST(Compiler, NamesWhatDoesNotFitOrIsNotSupported) {
  const auto geometry = narrow_geometry(4);
  DenseDecoder wide = three_layers();
  wide.head_dim = 64;  // a pack needs one lane more than its heads
  const Precision half = precision_of(ElementType::Float16, ElementType::Float16);
  EXPECT_THROW(lpu::compile_stage(geometry, LatencyTable{}, "chip", whole_model(wide, half), 1, 8),
               ModelError);
  DenseDecoder large = small_network(40, 640, 8, 4, 16, 6400, 200);
  EXPECT_THROW(lpu::compile_stage(geometry, LatencyTable{}, "chip", whole_model(large, half), 1, 8),
               ModelError);
  const Precision full = precision_of(ElementType::Float32, ElementType::Float16);
  EXPECT_THROW(
      lpu::compile_stage(geometry, LatencyTable{}, "chip", whole_model(three_layers(), full), 1, 8),
      ModelError);
}

}  // namespace
}  // namespace tandem::test
