// Speed of the burst-accurate channel: bursts per second of one core, streaming and random.
#include <benchmark/benchmark.h>

#include "models/hbm/controller.hpp"
#include "sim/core/random.hpp"
#include "tests/hbm/presets.hpp"

namespace tandem {
namespace {

void streaming(benchmark::State& state) {
  const DramTiming timing = timing_of(dram_parts[state.range(0)]);
  const ReadStream stream{Bytes(4 << 20), timing.page};
  std::int64_t bursts = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(simulate_channel(timing, stream, true));
    bursts += stream.bytes.count() / timing.burst.count();
  }
  state.SetItemsProcessed(bursts);
  state.SetLabel(std::string(name_of(dram_parts[state.range(0)].kind)));
}

void random_reads(benchmark::State& state) {
  const DramTiming timing = timing_of(dram_parts[state.range(0)]);
  RandomStream random(1, "random reads");
  ChannelController controller(timing);
  BurstRequest request;
  std::int64_t bursts = 0;
  for (auto _ : state) {
    while (!controller.full()) {
      request.bank = random.integer(0, timing.banks - 1);
      request.row = random.integer(0, 16383);
      controller.push(request);
    }
    benchmark::DoNotOptimize(controller.step());
    ++bursts;
  }
  state.SetItemsProcessed(bursts);
  state.SetLabel(std::string(name_of(dram_parts[state.range(0)].kind)));
}

BENCHMARK(streaming)->DenseRange(0, 8);
BENCHMARK(random_reads)->DenseRange(0, 8);

}  // namespace
}  // namespace tandem
