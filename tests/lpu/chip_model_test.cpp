// The LPU behind the engine's chip interface: fit, time against floor, functional against timed.
#include "models/lpu/chip_model.hpp"

#include <gtest/gtest.h>

#include "tests/lpu/chip_harness.hpp"
#include "tests/lpu/compiler_harness.hpp"

namespace tandem::test {
namespace {

Batch one_token(std::int64_t context) {
  Batch batch;
  batch.slices.push_back({0, context, 1, true});
  return batch;
}

const Precision fp16 = precision_of(ElementType::Float16, ElementType::Float16);
const Precision byte = precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3);

DenseDecoder small() {
  DenseDecoder network = small_network(2, 100, 8, 4, 12, 150, 200);
  network.max_context = 640;
  return network;
}

DenseDecoder llama8b() {
  DenseDecoder network = small_network(32, 4096, 32, 8, 128, 14336, 128256);
  network.max_context = 131072;
  return network;
}

TEST(LpuChip, TakesLongerThanItsFloorAtEveryContext) {
  const auto chip = lpu::make_lpu_chip(chip_of(narrow_geometry(4)), Software{});
  for (const Precision& precision : {fp16, byte}) {
    const Stage stage = whole_model(small(), precision);
    for (const std::int64_t context : {0, 63, 64, 500, 639}) {
      EXPECT_GT(chip->simulate(stage, one_token(context)).time,
                chip->floor(stage, one_token(context)));
    }
  }
}

TEST(LpuChip, RunsALayerOfLlama8bAtAQuarterOfTheWeightPathOrBetter) {
  // 218 M one-byte weights over 4 planes x 80 streams x 320 B are 2,130 cycles at least.
  const auto chip = lpu::make_lpu_chip(chip_of(lp30_geometry()), Software{});
  const Stage stage = partition_pipeline(network_of(llama8b()), byte, 32, 2)[1];
  const StageCost cost = chip->simulate(stage, one_token(1000));
  EXPECT_GT(cost.cycles.count(), 2130);
  EXPECT_LT(cost.cycles.count(), 4 * 2130);
  EXPECT_GT(cost.time, chip->floor(stage, one_token(1000)));
}

TEST(LpuChip, FitsAsManyTokensOfKvAsCanBeLoaded) {
  const lpu::Geometry geometry = narrow_geometry(4);
  const auto chip = lpu::make_lpu_chip(chip_of(geometry), Software{});
  const Stage stage = whole_model(small(), fp16);
  const Fit fit = chip->fit(stage, 1, 64);
  EXPECT_EQ(fit.capacity, geometry.sram());
  EXPECT_TRUE(fit.holds_weights());
  // Requests of one block each: as many as kv_tokens says can be laid out, and one program's rows
  // more cannot.
  const std::int64_t slots = fit.kv_tokens() / geometry.lanes();
  ASSERT_GT(slots, 10);
  const auto rows_of = [&](std::int64_t n) {
    return lpu::make_layout(geometry, stage, static_cast<int>(n), geometry.lanes(),
                            lpu::most_tokens)
        .deepest_bank();
  };
  const std::int64_t bank_bytes =
      geometry.sram().count() / geometry.rows_per_bank;  // one row in every bank
  const std::int64_t program_rows = fit.program.count() / bank_bytes + 1;
  EXPECT_LE(rows_of(slots), geometry.rows_per_bank - program_rows);
  EXPECT_GT(rows_of(slots + 1), geometry.rows_per_bank - program_rows);
}

// The host brings what a first stage needs and takes what a last one has found; 2 us more each.
TEST(LpuChip, EveryPassWaitsForTheHost) {
  const Chip near = chip_of(narrow_geometry(2));
  Chip far = near;
  Parameter latency = near.parameters.at("host_latency");
  latency.value += 2e-6;
  far.parameters.set("host_latency", latency);
  const auto farther_us = [&](const Stage& stage, const Batch& batch) {
    const Picoseconds time = lpu::make_lpu_chip(far, Software{})->simulate(stage, batch).time;
    const Picoseconds less = lpu::make_lpu_chip(near, Software{})->simulate(stage, batch).time;
    return (time - less).count() / 1'000'000;
  };
  Batch two_blocks = one_token(31);
  two_blocks.slices.front().new_tokens = 2;
  const Stage whole = whole_model(small(), fp16);
  EXPECT_EQ(farther_us(whole, one_token(5)), 4);
  EXPECT_EQ(farther_us(whole, two_blocks), 8);
  EXPECT_EQ(farther_us(partition_pipeline(network_of(small()), fp16, 2, 0)[0], one_token(5)), 2);
}

TEST(LpuChip, SaysThatALayerOfLlama8bDoesNotFitLpuV1InHalfPrecision) {
  // 218 M weights x 2 B = 436 MB against 230.7 MB.
  const auto chip = lpu::make_lpu_chip(chip_of(lpu_v1_geometry()), Software{});
  const Fit fit = chip->fit(partition_pipeline(network_of(llama8b()), fp16, 32, 2)[1], 1, 1024);
  EXPECT_FALSE(fit.holds_weights());
  EXPECT_EQ(fit.kv_tokens(), 0);
}

TEST(LpuStage, RunsInTheCyclesAndCountsOfTheTimedMachine) {
  const auto chip = lpu::make_lpu_chip(chip_of(narrow_geometry(2)), Software{});
  const Weights weights = spread_weights(small(), 11);
  const Stage stage = whole_model(small(), fp16);
  const auto loaded = chip->load(stage, weights, 2, 96);
  Batch prompt;
  prompt.slices.push_back({7, 0, 35, true});
  StageData in, out;
  for (int t = 0; t < 35; ++t) in.tokens.push_back(t + 1);
  const StageCost functional = loaded->run(prompt, in, out);
  const StageCost timed = chip->simulate(stage, prompt);
  EXPECT_EQ(functional.cycles, timed.cycles);
  EXPECT_EQ(functional.time, timed.time);
  EXPECT_EQ(functional.floor, chip->floor(stage, prompt));
  EXPECT_EQ(functional.activity.counts, timed.activity.counts);
  EXPECT_EQ(out.logits.shape(), (std::vector<std::int64_t>{1, 200}));
}

// Where long requests leave room for narrow passes only, short ones run in those too.
TEST(LpuStage, PassesAreAsWideAsTheLongestRequestLeavesRoomFor) {
  lpu::Geometry geometry = narrow_geometry(4);
  geometry.rows_per_bank = 2600;
  const auto chip = lpu::make_lpu_chip(chip_of(geometry), Software{});
  DenseDecoder network = small();
  network.max_context = 1024;
  Stage stage = whole_model(network, fp16);
  Batch prompt;
  prompt.slices.push_back({7, 0, 16, true});
  const Cycles wide = chip->simulate(stage, prompt).cycles;
  stage.longest_request = 1024;
  const auto loaded = chip->load(stage, spread_weights(network, 11), 1, 1024);
  StageData in, out;
  for (int t = 0; t < 16; ++t) in.tokens.push_back(t + 1);
  const StageCost functional = loaded->run(prompt, in, out);
  const StageCost timed = chip->simulate(stage, prompt);
  EXPECT_EQ(functional.cycles, timed.cycles);
  EXPECT_EQ(functional.activity.counts, timed.activity.counts);
  EXPECT_GT(timed.cycles, wide);
}

// KV of so many tokens, all zeros, as if a prompt had been computed elsewhere.
void give_context(LoadedStage& loaded, std::int64_t request, KvBlock block, std::int64_t tokens) {
  block.tokens = tokens;
  block.bytes.assign(static_cast<std::size_t>(block.expected_size().count()), std::byte{0});
  loaded.import_kv(request, block);
}

// Of 32 lanes, a block holds 32 tokens: up to 31 further blocks. Iterations of a loop meet their
// neighbours' vectors on the way to the edge of the chip, so hops are the count that shows whether
// further iterations follow from the first few.
TEST(LpuStage, CountsOfManyIterationsAreThoseOfTheFunctionalMachine) {
  DenseDecoder network = small();
  network.max_context = 1024;
  for (const Precision& precision : {fp16, byte}) {
    const auto chip = lpu::make_lpu_chip(chip_of(narrow_geometry(2)), Software{});
    Stage stage = whole_model(network, precision);
    stage.longest_request = 1024;
    const auto loaded = chip->load(stage, spread_weights(network, 14), 1, 1024);
    StageData in, out;
    in.tokens = {3};
    Batch token = one_token(0);
    static_cast<void>(loaded->run(token, in, out));
    const KvBlock block = loaded->export_kv(0);
    for (const std::int64_t context : {50, 100, 200, 333, 600, 1000}) {
      loaded->release(0);
      give_context(*loaded, 0, block, context);
      token.slices[0].context = context;
      const StageCost functional = loaded->run(token, in, out);
      const StageCost timed = chip->simulate(stage, token);
      EXPECT_EQ(functional.cycles, timed.cycles) << context;
      EXPECT_EQ(functional.activity.counts, timed.activity.counts) << context;
    }
  }
}

// Loops of different requests follow each other and meet in the same way.
TEST(LpuStage, CountsOfTwoLongRequestsAreThoseOfTheFunctionalMachine) {
  DenseDecoder network = small();
  network.max_context = 1024;
  const auto chip = lpu::make_lpu_chip(chip_of(narrow_geometry(2)), Software{});
  Stage stage = whole_model(network, byte);
  stage.longest_request = 1024;
  const auto loaded = chip->load(stage, spread_weights(network, 15), 2, 1024);
  StageData in, out;
  in.tokens = {3};
  static_cast<void>(loaded->run(one_token(0), in, out));
  const KvBlock block = loaded->export_kv(0);
  loaded->release(0);
  in.tokens = {3, 4};
  for (const auto& [first, second] :
       {std::pair{900, 40}, std::pair{70, 640}, std::pair{500, 500}}) {
    give_context(*loaded, 0, block, first);
    give_context(*loaded, 1, block, second);
    Batch batch;
    batch.slices = {{0, first, 1, true}, {1, second, 1, true}};
    const StageCost functional = loaded->run(batch, in, out);
    const StageCost timed = chip->simulate(stage, batch);
    EXPECT_EQ(functional.cycles, timed.cycles) << first;
    EXPECT_EQ(functional.activity.counts, timed.activity.counts) << first << ' ' << second;
    loaded->release(0);
    loaded->release(1);
  }
}

TEST(LpuChip, BatchesTakeLessThanTheirRequestsOneByOne) {
  const auto chip = lpu::make_lpu_chip(chip_of(narrow_geometry(4)), Software{});
  const Stage stage = whole_model(small(), fp16);
  Picoseconds before = chip->simulate(stage, one_token(70)).time;
  for (const int tokens : {2, 4, 8}) {
    Batch batch;
    for (int r = 0; r < tokens; ++r) batch.slices.push_back({r, 70, 1, true});
    const StageCost cost = chip->simulate(stage, batch);
    EXPECT_LT(cost.time, 2 * before);  // a pass of twice the tokens is shorter than two passes
    EXPECT_GT(cost.time, before);
    EXPECT_GT(cost.time, chip->floor(stage, batch));
    before = cost.time;
  }
}

// Prompts of different lengths in one batch, then both requests decode side by side: the logits of
// each request by itself, in the cycles and counts of the timed machine.
TEST(LpuStage, BatchesGiveTheLogitsOfEachRequestByItself) {
  const auto chip = lpu::make_lpu_chip(chip_of(narrow_geometry(2)), Software{});
  const Weights weights = spread_weights(small(), 13);
  const Stage stage = whole_model(small(), fp16);
  const auto together = chip->load(stage, weights, 2, 96);
  const auto alone = chip->load(stage, weights, 2, 96);
  Batch batch;
  batch.slices = {{1, 0, 30, true}, {2, 0, 3, true}};
  StageData in, out, own_in, own_out;
  for (int t = 0; t < 33; ++t) in.tokens.push_back(5 * t % 200);
  for (int round = 0; round < 4; ++round) {
    const StageCost functional = together->run(batch, in, out);
    const StageCost timed = chip->simulate(stage, batch);
    EXPECT_EQ(functional.cycles, timed.cycles) << round;
    EXPECT_EQ(functional.time, timed.time) << round;
    EXPECT_EQ(functional.activity.counts, timed.activity.counts) << round;
    std::size_t first = 0;
    for (std::size_t i = 0; i < 2; ++i) {
      SequenceSlice& slice = batch.slices[i];
      const auto count = static_cast<std::size_t>(slice.new_tokens);
      for (std::size_t t = 0; t < count; ++t) {
        Batch single;
        const auto at = static_cast<std::int64_t>(t);
        single.slices.push_back({slice.request, slice.context + at, 1, true});
        own_in.tokens = {in.tokens[first + t]};
        static_cast<void>(alone->run(single, own_in, own_out));
      }
      first += count;
      const std::span<const float> logits = out.logits.floats();
      const std::vector<float> mine(logits.begin() + static_cast<std::ptrdiff_t>(200 * i),
                                    logits.begin() + static_cast<std::ptrdiff_t>(200 * (i + 1)));
      const std::span<const float> expected = own_out.logits.floats();
      EXPECT_EQ(mine, std::vector<float>(expected.begin(), expected.end())) << round << " " << i;
      slice.context += slice.new_tokens;
      slice.new_tokens = 1;
    }
    EXPECT_EQ(together->export_kv(1), alone->export_kv(1));
    EXPECT_EQ(together->export_kv(2), alone->export_kv(2));
    in.tokens = {17 + round, 90 + round};
  }
}

TEST(LpuStage, GoesOnFromImportedKvAndGuardsItsRequests) {
  const auto chip = lpu::make_lpu_chip(chip_of(narrow_geometry(2)), Software{});
  const Weights weights = spread_weights(small(), 12);
  const auto loaded = chip->load(whole_model(small(), fp16), weights, 2, 96);
  StageData in, first, second;
  in.tokens = {3, 5, 8};
  Batch prompt;
  prompt.slices.push_back({1, 0, 3, true});
  static_cast<void>(loaded->run(prompt, in, first));
  loaded->import_kv(2, loaded->export_kv(1));
  in.tokens = {13};
  Batch next = one_token(3);
  next.slices[0].request = 1;
  static_cast<void>(loaded->run(next, in, first));
  next.slices[0].request = 2;
  static_cast<void>(loaded->run(next, in, second));
  EXPECT_EQ(first.logits, second.logits);
  EXPECT_EQ(loaded->export_kv(1), loaded->export_kv(2));
  EXPECT_THROW(loaded->run(next, in, second), ModelError);  // it holds 4 tokens now
  next.slices[0] = {3, 0, 1, true};
  EXPECT_THROW(loaded->run(next, in, second), ModelError);  // both slots are taken
  loaded->release(1);
  EXPECT_NO_THROW(static_cast<void>(loaded->run(next, in, second)));
}

}  // namespace
}  // namespace tandem::test
