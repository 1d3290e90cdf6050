// Does the machine take the time that a sum by hand gives?
#include "models/gpu/machine.hpp"

#include <gtest/gtest.h>

#include "models/gpu/chip_model.hpp"
#include "models/gpu/floor.hpp"
#include "models/gpu/plan_gemm.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/describe/dense_decoder.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {
using namespace literals;

/// Equal CTAs of equal steps; every CTA has tiles of its own unless `shares_tiles`.
struct SimpleCta {
  std::int64_t ctas = 1;
  int steps = 1;
  Bytes load{0};
  Flops tensor{0};
  Flops vector{0};
  Bytes store{0};
  bool shares_tiles = false;
  std::int64_t handoffs = 0;
  Bytes staging{0};
  std::int64_t exchanges = 0;
};

class SimpleProgram final : public CtaProgram {
 public:
  explicit SimpleProgram(SimpleCta shape) : shape_(shape) {}
  [[nodiscard]] std::int64_t ctas() const override { return shape_.ctas; }
  [[nodiscard]] std::int64_t tiles() const override { return shape_.ctas * shape_.steps; }
  [[nodiscard]] int steps(std::int64_t) const override { return shape_.steps; }
  void step(std::int64_t cta, int index, Step& out) const override {
    const std::int64_t owner = shape_.shares_tiles ? 0 : cta;
    out.add({owner * shape_.steps + index, shape_.load, Operand::Weight, 1});
    out.tensor = out.tensor_padded = shape_.tensor;
    out.vector = shape_.vector;
    out.handoffs = shape_.handoffs;
    out.exchanges = shape_.exchanges;
  }
  void epilogue(std::int64_t, Epilogue& out) const override {
    out.store = shape_.store;
    out.staging = shape_.staging;
    out.exchanges = shape_.exchanges;
  }

 private:
  SimpleCta shape_;
};

KernelPlan simple_plan(const SimpleCta& shape, std::int64_t ctas_per_sm = 1,
                       std::int64_t stages = 2) {
  KernelPlan plan;
  PlanPhase phase;
  phase.program = std::make_shared<SimpleProgram>(shape);
  phase.ctas_per_sm = ctas_per_sm;
  phase.stages = stages;
  plan.phases.push_back(phase);
  return plan;
}

KernelTiming run(const Chip& chip, const KernelPlan& plan, const Residency& residency = {}) {
  return Machine(params_of(chip)).run(plan, residency);
}

TEST(Machine, OneCtaOnOneSm) {
  // Launch 1000 + start 50 + HBM 10000 B / 100 B/ns = 100 + latency 400 + 100000 operations / 1000
  // per ns = 100 + tail 200 = 1850 ns.
  const KernelTiming timing = run(round_chip(), simple_plan({1, 1, Bytes(10000), Flops(100000)}));
  EXPECT_EQ(timing.time, 1850_ns);
  EXPECT_EQ(timing.hbm_read, Bytes(10000));
}

TEST(Machine, LoadsOverlapComputeThroughTheStageBuffers) {
  // Two stages: loads of steps 0 and 1 leave at once and arrive at 1550 and 1650; compute of 300 ns
  // each: 1550..1850, 1850..2150. The load of step 2 leaves at 1850 when buffer 0 is free, arrives
  // at 1850 + 100 + 400 = 2350; 2350..2650, + tail 200.
  const KernelTiming timing = run(round_chip(), simple_plan({1, 3, Bytes(10000), Flops(300000)}));
  EXPECT_EQ(timing.time, 2850_ns);
  // A third buffer hides that: 1550 + 3 x 300 + 200.
  EXPECT_EQ(run(round_chip(), simple_plan({1, 3, Bytes(10000), Flops(300000)}, 1, 3)).time,
            2650_ns);
}

TEST(Machine, BankConflictsOfManyStreamsTakeTheirShareOfTheBus) {
  // 10000 B take 100 ns on the whole bus and 125 ns on four fifths of it.
  const Chip chip = with(round_chip(), "hbm_stream_efficiency", 0.8);
  const KernelTiming timing = run(chip, simple_plan({1, 1, Bytes(10000), Flops(100000)}));
  EXPECT_EQ(timing.time, 1850_ns + 25_ns);
}

TEST(Machine, TwoReadersShareHbm) {
  // Two CTAs on two SMs want 100 kB each: 1000 ns apiece on the bus, one after the other.
  const KernelTiming one = run(round_chip(), simple_plan({1, 1, Bytes(100000)}));
  const KernelTiming two = run(round_chip(), simple_plan({2, 1, Bytes(100000)}));
  EXPECT_EQ(two.time - one.time, 1000_ns);
}

TEST(Machine, OneCtaTooManyTakesAnotherWave) {
  // No loads: a wave takes start 50 + tensor 1000. Four SMs: 4 CTAs one wave, 5 CTAs two.
  const KernelTiming four = run(round_chip(), simple_plan({4, 1, Bytes(0), Flops(1000000)}));
  const KernelTiming five = run(round_chip(), simple_plan({5, 1, Bytes(0), Flops(1000000)}));
  EXPECT_EQ(four.time, 2250_ns);
  EXPECT_EQ(five.time, 3300_ns);
  const Chip large = with(with(large_chip(), "persistent_kernels", 0), "matrix_efficiency", 1);
  const SimpleCta shape{132, 1, Bytes(0), Flops(7492424)};  // 989e12 / 132 per second: 1 us
  SimpleCta more = shape;
  more.ctas = 133;
  // The second wave costs one more CTA: 50 ns start + 1 us (rounded up to a picosecond).
  const Picoseconds extra =
      run(large, simple_plan(more)).time - run(large, simple_plan(shape)).time;
  EXPECT_NEAR(static_cast<double>(extra.count()), 1050000, 2);
}

TEST(Machine, CtasOfOneSmShareItsTensorPipe) {
  // Eight CTAs, two per SM: the pipe serves both in turn, 1000 ns each.
  const KernelTiming timing = run(round_chip(), simple_plan({8, 1, Bytes(0), Flops(1000000)}, 2));
  EXPECT_EQ(timing.time, 1000_ns + 50_ns + 2000_ns + 200_ns);
}

TEST(Machine, AHandoverPausesItsCtaAndLeavesThePipeToTheOther) {
  Chip chip = with(with(round_chip(), "stage_handoff", 100e-9), "sms", 1);
  chip = with(chip, "peak_bfloat16", 1e12);
  SimpleCta shape{1, 3, Bytes(0), Flops(300000)};
  shape.handoffs = 1;
  // Three steps of 300 + 100 between launch 1000 + start 50 and tail 200.
  EXPECT_EQ(run(chip, simple_plan(shape)).time, 2450_ns);
  // Two CTAs fill each other's pauses: six steps of 300 back to back, one pause at the end.
  shape.ctas = 2;
  EXPECT_EQ(run(chip, simple_plan(shape, 2)).time, 1050_ns + 1800_ns + 100_ns + 200_ns);
}

TEST(Machine, WarpsThatWaitForEachOtherDelayTheirCtaAlone) {
  // 100 clocks of 1 ns per exchange: two in each of two steps of 1000 ns, two before the end.
  SimpleCta shape{1, 2, Bytes(0), Flops(1000000)};
  shape.exchanges = 2;
  const Chip chip = with(with(round_chip(), "sms", 1), "peak_bfloat16", 1e12);
  EXPECT_EQ(run(chip, simple_plan(shape)).time, 1050_ns + 2 * 1200_ns + 200_ns + 200_ns);
  // Two CTAs: the pipe is busy for 4000 ns, the waits of the last step and of the end remain.
  shape.ctas = 2;
  EXPECT_EQ(run(chip, simple_plan(shape, 2)).time, 1050_ns + 4000_ns + 400_ns + 200_ns);
}

TEST(Machine, APersistentCtaComputesBesideItsEpilogueOnlyWithASecondSetOfSums) {
  // Two tiles of 1000 ns on one SM; 400 bytes of staging at 1 byte per ns, stores free.
  Chip chip = with(with(round_chip(), "shared_bytes_per_clock", 1), "sms", 1);
  chip = with(chip, "peak_bfloat16", 1e12);
  SimpleCta shape{2, 1, Bytes(0), Flops(1000000)};
  shape.staging = Bytes(400);
  KernelPlan plan = simple_plan(shape);
  plan.phases[0].persistent = true;
  EXPECT_EQ(run(chip, plan).time, 1050_ns + 2 * 1400_ns + 200_ns);
  plan.phases[0].overlaps_epilogue = true;
  EXPECT_EQ(run(chip, plan).time, 1050_ns + 2000_ns + 400_ns + 200_ns);
}

TEST(Machine, APhaseThatIsAKernelOfItsOwnPaysTailAndLaunch) {
  const SimpleCta shape{4, 1, Bytes(0), Flops(1000000)};
  KernelPlan plan = simple_plan(shape);
  plan.phases.push_back(plan.phases[0]);
  // Two waves of start 50 + 1000.
  EXPECT_EQ(run(round_chip(), plan).time, 1000_ns + 2100_ns + 200_ns);
  plan.phases[1].is_launched = true;
  EXPECT_EQ(run(round_chip(), plan).time, 1000_ns + 2100_ns + 200_ns + 1200_ns);
  // A kernel without barriers and descriptors starts at once.
  plan.phases[1].has_setup = false;
  EXPECT_EQ(run(round_chip(), plan).time, 1000_ns + 2050_ns + 200_ns + 1200_ns);
}

TEST(Machine, ATileIsFetchedFromHbmOnce) {
  const KernelTiming timing =
      run(round_chip(), simple_plan({4, 2, Bytes(10000), Flops(0), Flops(0), Bytes(0), true}));
  EXPECT_EQ(timing.hbm_read, Bytes(20000));
  EXPECT_EQ(timing.l2_bytes, Bytes(80000));
  // Ablation: without L2 every CTA fetches for itself.
  const KernelTiming without =
      run(with(round_chip(), "model_l2", 0),
          simple_plan({4, 2, Bytes(10000), Flops(0), Flops(0), Bytes(0), true}));
  EXPECT_EQ(without.hbm_read, Bytes(80000));
  EXPECT_GT(without.time, timing.time);
}

TEST(Machine, ResidentOperandsComeFromL2) {
  // 10000 B: port and L2 10 ns each in parallel + 100 latency instead of 100 + 400.
  const KernelTiming timing = run(round_chip(), simple_plan({1, 1, Bytes(10000), Flops(100000)}),
                                  {true, false, false, false});
  EXPECT_EQ(timing.time, 1000_ns + 50_ns + 10_ns + 100_ns + 100_ns + 200_ns);
  EXPECT_EQ(timing.hbm_read, Bytes(0));
}

TEST(Machine, L2KeepsNoMoreThanItsCapacity) {
  // 4 CTAs run twice over 12 MB of shared tiles (steps of 1 MB) one after another: capacity is
  // 10 MB, and least-recently-used replacement keeps none of a cyclic sweep that is too large.
  const SimpleCta shape{2, 12, Bytes(1000000), Flops(0), Flops(0), Bytes(0), true};
  Chip chip = with(round_chip(), "sms", 1);
  EXPECT_EQ(run(chip, simple_plan(shape)).hbm_read, Bytes(24000000));
  EXPECT_EQ(run(with(chip, "l2_capacity", 12e6), simple_plan(shape)).hbm_read, Bytes(12000000));
}

TEST(Machine, StoresTakeTheMemoryBus) {
  // 10000 B out: HBM bus 100 ns unless the output stays in L2 (10 ns).
  const SimpleCta shape{1, 1, Bytes(0), Flops(0), Flops(0), Bytes(10000)};
  const KernelTiming through = run(round_chip(), simple_plan(shape));
  EXPECT_EQ(through.time, 1000_ns + 50_ns + 100_ns + 200_ns);
  EXPECT_EQ(through.hbm_written, Bytes(10000));
  const KernelTiming kept = run(round_chip(), simple_plan(shape), {false, false, false, true});
  EXPECT_EQ(kept.time, 1000_ns + 50_ns + 10_ns + 200_ns);
  EXPECT_EQ(kept.hbm_written, Bytes(0));
}

TEST(Machine, LaunchIsPaidOncePerKernelAndCanBeSwitchedOff) {
  const SimpleCta shape{40, 1, Bytes(0), Flops(1000000)};
  // Ten waves of 50 + 1000 after one launch; without launch costs ten waves of 1000.
  EXPECT_EQ(run(round_chip(), simple_plan(shape)).time, 1000_ns + 10500_ns + 200_ns);
  EXPECT_EQ(run(with(round_chip(), "model_launch", 0), simple_plan(shape)).time, 10000_ns);
}

TEST(Machine, DependentLaunchHidesTheGapAndTheFirstSetUp) {
  // 1000 ns of launch and 50 ns of set-up go; the second wave of CTAs still sets up.
  GpuParams params = params_of(round_chip());
  const KernelPlan plan = simple_plan({8, 1, Bytes(10000), Flops(100000)});
  const Picoseconds usual = Machine(params).run(plan, {}).time;
  params.hides_launch = true;
  EXPECT_EQ(usual - Machine(params).run(plan, {}).time, 1050_ns);
}

TEST(Machine, DependentLaunchNeedsChipAndFramework) {
  Software software;
  software.parameters.set("dependent_launch", plain(1));
  const Chip able = with(round_chip(), "dependent_launch", 1);
  EXPECT_TRUE(resolve(able, software).hides_launch);
  EXPECT_FALSE(resolve(round_chip(), software).hides_launch);
  EXPECT_FALSE(resolve(able, Software{}).hides_launch);
}

TEST(Machine, LaunchesTheAttentionKernelsOfItsFramework) {
  Software software;
  software.parameters.set("tensorrt_attention", plain(1));
  EXPECT_TRUE(resolve(round_chip(), software).launches_tensorrt_attention);
  EXPECT_FALSE(resolve(round_chip(), Software{}).launches_tensorrt_attention);
}

TEST(Machine, StreamingGemvReachesTheRefreshBound) {
  // 1 x 131072 x 8192 in bf16 is nothing but weights: 2.15 GB at the efficiency that refresh
  // leaves, within a point; launch, fill and tail are 0.3 % of 713 us.
  const GpuParams params = params_of(large_chip());
  Kernel kernel{"gemv", -1, ElementType::Bfloat16, GemmKernel{1, 131072, 8192}, {}};
  const KernelTiming timing = Machine(params).run(plan_kernel(params, kernel), {});
  const double rate = static_cast<double>(timing.hbm_read.count()) / to_seconds(timing.time);
  const double bound = HbmMemory(params.hbm).streaming_efficiency();
  EXPECT_NEAR(rate / params.hbm.bandwidth.count(), bound, 0.01);
  EXPECT_LE(rate / params.hbm.bandwidth.count(), bound);
  EXPECT_STREQ(timing.bound(), "hbm");
}

TEST(Machine, SameKernelSameAnswer) {
  const GpuParams params = params_of(large_chip());
  Kernel kernel{"gemm", -1, ElementType::Bfloat16, GemmKernel{300, 5000, 700}, {}};
  Machine machine(params);
  const KernelPlan plan = plan_kernel(params, kernel);
  const KernelTiming first = machine.run(plan, {});
  (void)machine.run(plan, {true, true, true, true});
  EXPECT_EQ(machine.run(plan, {}).time, first.time);
  EXPECT_EQ(machine.run(plan, {}).events, first.events);
}

TEST(Machine, AFormatWithoutUnitsIsAnError) {
  const GpuParams params = params_of(with(round_chip(), "peak_fp8", 0));
  Kernel kernel{"gemm",
                -1,
                ElementType::Fp8E4m3,
                GemmKernel{16, 16, 64, ElementType::Fp8E4m3, ElementType::Fp8E4m3},
                {}};
  EXPECT_THROW((void)plan_kernel(params, kernel), ModelError);
}

TEST(ChipModel, AStageIsTheSumOfItsKernels) {
  DenseDecoder net;
  net.name = "small";
  net.layers = 3;
  net.hidden = 256;
  net.heads = net.kv_heads = 4;
  net.head_dim = 64;
  net.intermediate = 512;
  net.vocabulary = 1000;
  const Stage stage = whole_model(network_of(net), Precision{});
  const Batch batch{{{0, 10, 1, true}, {1, 0, 20, true}}};
  const auto chip = make_gpu_chip(large_chip(), Software{});
  TimelineRecorder timeline;
  const StageCost cost = chip->simulate(stage, batch, &timeline);
  Picoseconds time(0);
  std::int64_t launches = 0;
  for (const KernelCost& kernel : cost.kernels) {
    time += kernel.time * kernel.repeats;
    launches += kernel.repeats;
  }
  // embedding + 3 x 9 + final norm, head, sample
  EXPECT_EQ(launches, 31);
  EXPECT_EQ(cost.activity.counts.at("kernel_launches"), 31);
  EXPECT_EQ(timeline.size(), 31U);
  EXPECT_EQ(cost.time, time);
  EXPECT_GE(cost.time, cost.floor);
  EXPECT_EQ(cost.floor, chip->floor(stage, batch));
}

TEST(ChipModel, FitCountsWeightsAndKv) {
  DenseDecoder net;
  net.name = "fit";
  net.layers = 2;
  net.hidden = 100;
  net.heads = 4;
  net.kv_heads = 2;
  net.head_dim = 25;
  net.intermediate = 300;
  net.vocabulary = 1000;
  const Chip chip = with(with(round_chip(), "workspace_tokens", 10), "reserved_memory", 1e9);
  const auto model = make_gpu_chip(chip, Software{});
  const Fit fit = model->fit(whole_model(network_of(net), Precision{}), 3, 100);
  EXPECT_EQ(fit.capacity, 79_GB);
  // Per layer 100 x (100 + 100) + 100 x 100 + 3 x 30000 + 200 = 120200; x2 + 100 + 2 x 100000.
  EXPECT_EQ(fit.weights, Bytes((2 * 120200 + 100 + 200000) * 2));
  // 10 rows of 2 x 100 + max(100 + 100 + 100, 900) in bf16, and 3 x 1000 logits in fp32.
  EXPECT_EQ(fit.workspace, Bytes(10 * 1100 * 2 + 12000));
  EXPECT_EQ(fit.kv_per_token, Bytes(2 * 2 * 50 * 2));
}

}  // namespace
}  // namespace tandem::gpu
