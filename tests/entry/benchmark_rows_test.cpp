// Which loads do rows of ML.ENERGY and of MLPerf's power runs stand for, and what do meters read?
#include "sim/entry/systems/benchmark_rows.hpp"

#include <gtest/gtest.h>

#include "sim/entry/systems/served_power.hpp"
#include "sim/entry/systems/served_runs.hpp"

namespace tandem::entry::benchmarks {
namespace {

const Context& context() {
  static const Context made = make_context();
  return made;
}

ServedRow row_of(const std::map<std::string, std::string>& cells) {
  ManifestSystemTable table;
  std::string header, values;
  for (const auto& [name, value] : cells) {
    header += (header.empty() ? "" : ",") + name;
    values += (values.empty() ? "" : ",") + value;
  }
  return {table, CsvTable("rows.csv", header + "\n" + values + "\n"), 0};
}

ServedCase case_of(const std::string& file, const std::map<std::string, std::string>& cells) {
  ServedRow row = row_of(cells);
  complete_row(file, row);
  ServedCase served = served_case(row, ServedNames(context()), "vllm");
  adapt_case(file, row, served);
  return served;
}

std::string change_of(const ServedCase& served, const std::string& path) {
  std::string value;
  for (const Override& change : served.changes) {
    if (change.path == path) value = change.value;
  }
  return value;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const std::map<std::string, std::string> arena_row = {{"model", "Qwen/Qwen3-8B"},
                                                      {"system", "H100"},
                                                      {"gpus", "1"},
                                                      {"tp", "1"},
                                                      {"ep", "1"},
                                                      {"concurrency", "16"},
                                                      {"osl", "640"},
                                                      {"precision", "bfloat16"}};

TEST(BenchmarkRows, OfMlEnergyFillAnEngineThatSamples) {
  const ServedCase served = case_of("energy/mlenergy_llm_energy.csv", arena_row);
  ASSERT_EQ(served.reason, "");
  EXPECT_EQ(served.statistic, ServedStatistic::Steady);
  EXPECT_EQ(change_of(served, "software"), "vllm_sampled");
  EXPECT_TRUE(contains(change_of(served, "serving"), "max_sequences: 16,"));
  EXPECT_TRUE(contains(change_of(served, "traffic"), "concurrency: 16, requests: 32"));
  EXPECT_TRUE(contains(change_of(served, "traffic"), "prompt_tokens: 350, output_tokens: 640"));
  EXPECT_FALSE(served.reads_wall);
}

TEST(BenchmarkRows, OfMlPerfAreEightLimitedEnginesAtThePlug) {
  const ServedCase served = case_of("energy/mlperf_v4.1_h200_maxq_wall_power.csv",
                                    {{"model", "llama2-70b-99.9"},
                                     {"system", "H200-SXM-141GBx8_TRT_MaxQ"},
                                     {"tokens_per_s", "25262.1"},
                                     {"samples_per_s", "86.7369"}});
  ASSERT_EQ(served.reason, "");
  EXPECT_TRUE(contains(change_of(served, "model"), "llama-2-70b"));
  EXPECT_EQ(change_of(served, "system"), "h200_single");
  EXPECT_EQ(change_of(served, "system.chips.h200_sxm.tdp"), "500 W");
  // 25262.1 / 86.7369 tokens per answer.
  EXPECT_TRUE(contains(change_of(served, "traffic"), "output_tokens: 291"));
  EXPECT_EQ(served.copies, 8);
  EXPECT_TRUE(served.reads_wall);
}

TEST(BenchmarkRows, OfOtherTablesStayAsTheyAre) {
  auto cells = arena_row;
  cells["isl"] = "100";
  cells["software"] = "vllm";
  const ServedCase served = case_of("e2e/other.csv", cells);
  EXPECT_EQ(served.statistic, ServedStatistic::Loop);
  EXPECT_EQ(change_of(served, "software"), "vllm");
}

TEST(ServedPower, IsWhatTheLongerRunHasMore) {
  // 4 s, 80 tokens and 400 J more on chips, 480 J at the plug, for one of two engines.
  const MeteredRun run = behind({10, 200, 1000, 1200, 150}, {6, 120, 600, 720, 150});
  ServedCase served;
  served.copies = 2;
  auto figures = power_figures(run, served);
  EXPECT_DOUBLE_EQ(figures.at("mean_power"), 200);
  EXPECT_DOUBLE_EQ(figures.at("wall_power"), 240);
  EXPECT_DOUBLE_EQ(figures.at("mean_power_of_limit"), 100.0 / 150);
  EXPECT_DOUBLE_EQ(figures.at("energy_per_token"), 5);
  served.reads_wall = true;
  EXPECT_DOUBLE_EQ(power_figures(run, served).at("energy_per_token"), 6);
  EXPECT_TRUE(power_figures({}, served).empty());
}

TEST(ServedPower, CountsChipsThatSampleAsActive) {
  ServedCase served = case_of("energy/mlenergy_llm_energy.csv", arena_row);
  for (Override& change : served.changes) {
    if (change.path != "traffic") continue;
    change.value =
        "{arrivals: closed, start: together, concurrency: 1, requests: 1, "
        "prompt_tokens: 16, output_tokens: 4}";
  }
  served.statistic = ServedStatistic::Batch;
  const auto joules = [&](const std::string& on_chips) {
    ServedOptions options;
    options.overrides = {{"software.sequences_on_chips", on_chips},
                         {"software.sequence_overhead", "1 ms"}};
    ServedRuns runs(context(), options);
    const ServedAnswer& answer = runs.answer(served);
    EXPECT_EQ(answer.reason, "");
    return answer.figures.at("energy_per_token");
  };
  // 1 ms per token at the H100's 160 W of active power.
  EXPECT_NEAR(joules("1") - joules("0"), 0.16, 1e-9);
}

}  // namespace
}  // namespace tandem::entry::benchmarks
