// How are rows of measured services run, and what is read from their requests?
#include "sim/entry/systems/served_runs.hpp"

#include <gtest/gtest.h>

#include "sim/entry/systems/offline_benchmark.hpp"
#include "tests/entry/served_rows.hpp"

namespace tandem::entry {
namespace {

TEST(ServedRuns, TakeChangesOfSoftwareAndChips) {
  auto cells = loop_row;
  cells["model"] = "llama-3.1-8b";
  cells["system"] = "h100_sxm";
  cells["precision"] = "bf16";
  cells["tp"] = "1";
  cells["concurrency"] = "2";
  cells["isl"] = cells["osl"] = "16";
  const ServedCase served = served_case(served_row(cells), names(), "vllm");
  const auto tpot = [&](const std::vector<Override>& overrides) {
    ServedOptions options;
    options.is_cycle = false;
    options.overrides = overrides;
    ServedRuns runs(context(), options);
    const ServedAnswer& answer = runs.answer(served);
    EXPECT_EQ(answer.reason, "");
    return answer.figures.at("tpot");
  };
  const double plain = tpot({{"software.step_overhead", "0 s"}});
  EXPECT_NEAR(tpot({{"software.step_overhead", "10 ms"}}) - plain, 10, 1e-6);
  // Half the bandwidth, twice the floor of a pass that reads weights.
  const Override slow{"chips.h100_sxm.hbm_bandwidth", "1.675 TB/s"};
  EXPECT_GT(tpot({{"software.step_overhead", "0 s"}, slow}), 1.8 * plain);
  EXPECT_EQ(tpot({{"software.step_overhead", "0 s"}, {"chips.b200_sxm.clock", "1 GHz"}}), plain);
}

RequestRecord record(double arrival_s, double ttft_ms, double e2e_ms, std::int64_t output) {
  RequestRecord request;
  request.arrival_s = arrival_s;
  request.prompt = 10;
  request.output = output;
  request.ttft_ms = ttft_ms;
  request.e2e_ms = e2e_ms;
  request.tpot_ms = output > 1 ? (e2e_ms - ttft_ms) / static_cast<double>(output - 1) : 0;
  return request;
}

TEST(ServedFigures, GiveTheFirstRoundATenthOfTheWeight) {
  // Two users: first requests after 100 and 300 ms, later ones after 20 each.
  RunResult result;
  result.traffic.concurrency = 2;
  result.requests = {record(0, 100, 200, 11), record(0, 300, 400, 11), record(0.2, 20, 120, 11),
                     record(0.4, 20, 120, 11)};
  const auto figures = served_figures(result, ServedCase{});
  EXPECT_DOUBLE_EQ(figures.at("ttft"), 0.1 * 200 + 0.9 * 20);
  EXPECT_DOUBLE_EQ(figures.at("tpot"), 10);
  // 44 tokens until the last one is done, 0.52 s.
  EXPECT_DOUBLE_EQ(figures.at("throughput"), 44 / 0.52);
}

TEST(ServedFigures, OfABatchEndWithItsLastRequest) {
  RunResult result;
  result.traffic.concurrency = 2;
  result.requests = {record(0, 100, 200, 11), record(0, 100, 300, 21)};
  ServedCase served;
  served.statistic = ServedStatistic::Batch;
  const auto figures = served_figures(result, served);
  EXPECT_DOUBLE_EQ(figures.at("ttft"), 100);
  EXPECT_DOUBLE_EQ(figures.at("e2e"), 300);
  EXPECT_DOUBLE_EQ(figures.at("throughput_total"), (20 + 32) / 0.3);
}

OfflineSizes sizes_of(const char* model, const char* precision, const char* prompt,
                      const char* output) {
  const ServedRow row = served_row({{"model", model},
                                    {"system", "H200"},
                                    {"precision", precision},
                                    {"parallelism", "TP1"},
                                    {"gpus", "1"},
                                    {"isl", prompt},
                                    {"osl", output}},
                                   "e2e/trtllm_perf_overview.csv");
  const ServedCase served = served_case(row, names(), "tensorrt_llm");
  EXPECT_EQ(served.reason, "");
  EXPECT_EQ(served.statistic, ServedStatistic::Offline);
  return offline_sizes(runnable_scenario(context(), "llama8b_gpu", served.changes));
}

TEST(OfflineBenchmark, SizesEnginesAsItsHeuristicsDo) {
  // 95 % of 141 GB less 70.6 GB of weights hold 187.7 requests of 2,176 tokens of 163,840 bytes.
  const OfflineSizes answers = sizes_of("Llama-3.3-70B", "FP8", "128", "2048");
  EXPECT_EQ(answers.max_sequences, 192);
  EXPECT_EQ(answers.max_batch_tokens, 2048);
  // 18.6 requests of 22,000 tokens; a step holds one prompt beside them.
  const OfflineSizes prompts = sizes_of("Llama-3.3-70B", "FP8", "20000", "2000");
  EXPECT_EQ(prompts.max_sequences, 64);
  EXPECT_EQ(prompts.max_batch_tokens, 20064);
  // 187.7 requests, 17 tokens of each per token of an answer: 3,191 in steps of 256.
  EXPECT_EQ(sizes_of("Llama-3.3-70B", "FP8", "2048", "128").max_batch_tokens, 3328);
  // Heuristics know no experts in four bits.
  EXPECT_EQ(sizes_of("gpt-oss-120b", "FP8", "1024", "1024").max_sequences, 2048);
  EXPECT_EQ(sizes_of("gpt-oss-120b", "FP8", "8192", "1024").max_batch_tokens, 10240);
}

TEST(OfflineBenchmark, SendsMoreOfShortRequests) {
  EXPECT_EQ(offline_requests(128, 128), 30000);
  EXPECT_EQ(offline_requests(500, 2000), 3000);
  EXPECT_EQ(offline_requests(1024, 8192), 1500);
  EXPECT_EQ(offline_requests(20000, 2000), 1000);
}

TEST(ServedFigures, OfflineRatesAreOfTheWholeRun) {
  RunResult result;
  result.traffic.concurrency = 2;
  result.requests = {record(0, 100, 200, 10), record(0, 100, 300, 20), record(0.2, 100, 200, 10)};
  ServedCase served;
  served.statistic = ServedStatistic::Offline;
  EXPECT_DOUBLE_EQ(served_figures(result, served).at("throughput"), 40 / 0.4);
}

}  // namespace
}  // namespace tandem::entry
