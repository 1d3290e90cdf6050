// Error figures, the naive roofline, the manifest and the rows that take part, with figures worked
// out by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "sim/config/manifest.hpp"
#include "sim/entry/validation/validation.hpp"
#include "tests/entry/validation_folder.hpp"

namespace tandem::entry {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> messages_of(const std::string& manifest) {
  const Folder folder;
  folder.write("manifest.yaml", manifest);
  std::vector<std::string> messages;
  try {
    (void)load_manifest(folder.path());
  } catch (const ConfigError& error) {
    for (const Diagnostic& d : error.diagnostics()) {
      messages.push_back(std::to_string(d.place.line) + ":" + std::to_string(d.place.column) + " " +
                         d.message);
    }
  }
  return messages;
}

ScoredRow scored(double measured, std::optional<double> predicted,
                 std::optional<double> baseline = {}, std::optional<double> floor = {}) {
  ScoredRow row;
  row.measured = measured;
  row.predicted = predicted;
  row.baseline = baseline;
  row.floor = floor;
  return row;
}

ErrorFigures figures(const std::vector<ScoredRow>& rows) {
  std::vector<const ScoredRow*> pointers;
  for (const ScoredRow& row : rows) pointers.push_back(&row);
  return figures_of(pointers);
}

TEST(ErrorFigures, FollowTheirDefinitions) {
  // Signed errors: (11-10)/10 = +10 %, (3-4)/4 = -25 %, (8-8)/8 = 0, (6-5)/5 = +20 %; one row has
  // no prediction. Absolute, sorted: 0, 10, 20, 25. Mean 55/4 = 13.75; median (10+20)/2 = 15; 90th
  // percentile at rank 0.9 * 3 = 2.7: 20 + 0.7 * 5 = 23.5; bias (10-25+0+20)/4 = 1.25.
  // Baselines only of predicted rows: |12-10|/10 = 20 %, |4-4|/4 = 0: mean 10.
  // Predicted / floor: 11/10 = 1.1, 3/2 = 1.5, 8/4 = 2: median 1.5.
  const ErrorFigures f = figures({scored(10, 11, 12, 10), scored(4, 3, 4, 2), scored(8, 8, {}, 4),
                                  scored(5, 6), scored(7, {}, 70, 1)});
  EXPECT_EQ(f.rows, 5);
  EXPECT_EQ(f.predicted_rows, 4);
  EXPECT_NEAR(*f.mape, 13.75, 1e-9);
  EXPECT_NEAR(*f.median, 15, 1e-9);
  EXPECT_NEAR(*f.p90, 23.5, 1e-9);
  EXPECT_NEAR(*f.bias, 1.25, 1e-9);
  EXPECT_NEAR(*f.baseline_mape, 10, 1e-9);
  EXPECT_NEAR(*f.floor_ratio, 1.5, 1e-9);
}

TEST(ErrorFigures, AverageTheSkippedShareOfPredictedRows) {
  std::vector<ScoredRow> rows = {scored(10, 11), scored(4, 3), scored(7, {})};
  rows[0].skipped = 0.5;
  rows[1].skipped = 0.25;
  rows[2].skipped = 1;  // no prediction: does not count
  EXPECT_DOUBLE_EQ(*figures(rows).skipped, 0.375);
}

TEST(ErrorFigures, AreNoneWithoutPredictions) {
  const ErrorFigures f = figures({scored(10, {}, 12)});
  EXPECT_EQ(f.rows, 1);
  EXPECT_EQ(f.predicted_rows, 0);
  EXPECT_FALSE(f.mape || f.median || f.p90 || f.bias || f.baseline_mape || f.floor_ratio);
}

Chip chip_of(std::initializer_list<std::pair<const char*, double>> values) {
  Chip chip{"c", "gpu", {}, {}};
  for (const auto& [name, value] : values) {
    Parameter parameter;
    parameter.value = value;
    chip.parameters.set(name, parameter);
  }
  return chip;
}

Kernel gemm(std::int64_t m, std::int64_t n, std::int64_t k, ElementType type) {
  GemmKernel shape;
  shape.m = m;
  shape.n = n;
  shape.k = k;
  shape.weights = shape.activations = type;
  Kernel kernel;
  kernel.activations = type;
  kernel.shape = shape;
  return kernel;
}

KernelRun run_of(const Kernel& kernel) {
  return {{kernel}, false, false};
}

TEST(NaiveRoofline, IsEightyPercentOfPeakOrEightyFiveOfBandwidthPlusThreeMicroseconds) {
  const Chip chip = chip_of({{"peak_bfloat16", 1e15}, {"peak_fp8", 2e15}, {"hbm_bandwidth", 2e12}});
  // 2 * 4096^3 = 137.438953472e9 operations / 0.8e15 = 171.79869184 us; bytes: 3 * 4096^2 * 2 =
  // 100.66e6 / 1.7e12 = 59.2 us, shorter. Plus 3 us.
  EXPECT_NEAR(*naive_roofline_ms(run_of(gemm(4096, 4096, 4096, ElementType::Bfloat16)), chip),
              0.17479869184, 1e-12);
  // One byte per element: half the time at twice the peak.
  EXPECT_NEAR(*naive_roofline_ms(run_of(gemm(4096, 4096, 4096, ElementType::Fp8E4m3)), chip),
              0.08589934592 + 0.003, 1e-12);
  // m = 1: bytes 2 * (4096 * 4096 + 2 * 4096) = 33,570,816 / 1.7e12 = 19.747538823529 us.
  EXPECT_NEAR(*naive_roofline_ms(run_of(gemm(1, 4096, 4096, ElementType::Bfloat16)), chip),
              0.019747538823529 + 0.003, 1e-12);
  EXPECT_FALSE(naive_roofline_ms(run_of(gemm(1, 8, 8, ElementType::Int8)), chip));
  EXPECT_FALSE(naive_roofline_ms(run_of(gemm(1, 8, 8, ElementType::Bfloat16)), chip_of({})));
  // Element-wise work has no products: 2 rows in, 1 out of 1000 * 850 bf16 = 5.1e6 B / 1.7e12.
  Kernel kernel;
  kernel.shape = ActivationKernel{1000, 850};
  EXPECT_NEAR(*naive_roofline_ms(run_of(kernel), chip), 0.003 + 0.003, 1e-12);
}

TEST(MeasuredRows, FiltersApplyInOrderAndUnitsBecomeMilliseconds) {
  const Folder folder;
  folder.write("manifest.yaml",
               gemm_manifest("  filters: [{\"keep\": {\"type\": [\"bfloat16\", \"fp8\"]}}, "
                             "{\"drop\": {\"tokens\": [\"3\"]}, \"reason\": \"odd\"}, "
                             "{\"min\": {\"t\": 20}}]\n"));
  const Manifest manifest = load_manifest(folder.path());
  const CsvTable csv("gemm.csv",
                     "tokens,n,type,t\n"
                     "1,128,bfloat16,20\n"    // stays: 20 is not below the bound
                     "2,128,bfloat16,19.9\n"  // below it
                     "3,128,fp8,50\n"         // dropped
                     "4,128,int8,50\n"        // not kept
                     "5,128,fp8,30\n"         // stays
                     "6,128,bfloat16,\n");    // no number
  EXPECT_THAT(filtered_rows(manifest.tables[0], csv), ElementsAre(0U, 4U));
  const auto groups = measured_groups(manifest.tables[0], csv, {});
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].dtype, "bfloat16");
  EXPECT_NEAR(groups[0].rows[0].measured, 0.020, 1e-12);
  EXPECT_EQ(groups[1].dtype, "fp8");
  const NamedRow& inputs = groups[1].rows[0].inputs;
  EXPECT_EQ(inputs.at("m").text, "5");
  EXPECT_EQ(inputs.at("m").place.line, 6);
  EXPECT_EQ(inputs.at("k").text, "4096");
  EXPECT_EQ(inputs.at("l2").text, "warm");
}

TEST(MeasuredRows, AMissingColumnIsNamedAtItsPlaceInTheManifest) {
  const Folder folder;
  folder.write("manifest.yaml", gemm_manifest("  filters: [{\"keep\": {\"typ\": [\"fp8\"]}}]\n"));
  const Manifest manifest = load_manifest(folder.path());
  try {
    (void)filtered_rows(manifest.tables[0], CsvTable("g.csv", "tokens,n,type,t\n"));
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.diagnostics()[0].place.line, 13);
    EXPECT_EQ(error.diagnostics()[0].message, "'g.csv' has no column 'typ'; is it 'type'?");
  }
}

TEST(MeasuredRows, ASampleDependsOnSeedAndNameAloneAndKeepsTheOrder) {
  std::vector<std::size_t> rows(1000);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = 2 * i;
  const auto sample = sampled_rows(rows, 100, 7, "a");
  EXPECT_EQ(sample.size(), 100U);
  EXPECT_TRUE(std::is_sorted(sample.begin(), sample.end()));
  EXPECT_EQ(std::set<std::size_t>(sample.begin(), sample.end()).size(), 100U);
  EXPECT_EQ(sample, sampled_rows(rows, 100, 7, "a"));
  EXPECT_NE(sample, sampled_rows(rows, 100, 8, "a"));
  EXPECT_NE(sample, sampled_rows(rows, 100, 7, "b"));
  EXPECT_EQ(sampled_rows(rows, 1000, 7, "a"), rows);
  // Every row has the same chance: over 400 samples of 10 of 20 each is drawn 200 times, standard
  // deviation sqrt(400 / 4) = 10; 6 of those are allowed.
  std::vector<int> drawn(20);
  rows.resize(20);
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    for (const std::size_t row : sampled_rows(rows, 10, seed, "a")) ++drawn[row / 2];
  }
  for (const int count : drawn) EXPECT_NEAR(count, 200, 60);
}

TEST(FittingSoftware, IsTheLongestBeginningOfTheName) {
  const std::vector<std::string> known = {"generic", "tensorrt_llm", "tensorrt_llm_1_2", "vllm"};
  EXPECT_EQ(fitting_software("TensorRT-LLM 1.2.0rc5", known), "tensorrt_llm_1_2");
  EXPECT_EQ(fitting_software("TensorRT-LLM 1.3.0rc15", known), "tensorrt_llm");
  EXPECT_EQ(fitting_software("vLLM 0.19.0 eager, kernel time", known), "vllm");
  EXPECT_EQ(fitting_software("FlashInfer (InferSim)", known), "generic");
}

TEST(Manifest, NamesEveryMistakeWithItsPlace) {
  EXPECT_THAT(messages_of("format: 2\ntables:\n- id: x\n"),
              ::testing::Contains("1:9 a manifest starts with 'format: 1', the only format known"));
  EXPECT_THAT(messages_of("format: 1\n"), ElementsAre("1:1 a manifest needs 'tables', a list"));
  EXPECT_THAT(messages_of("format: 1\ntables: 3\n"), ElementsAre("2:9 'tables' must be a list"));
  EXPECT_THAT(
      messages_of(gemm_manifest("  filters: [{\"kep\": {\"t\": [1]}}, {\"min\": {\"t\": \"x\"}}, "
                                "{\"keep\": {\"t\": 1}}, {\"reason\": \"r\"}]\n"
                                "  rows: many\n")),
      ElementsAre("13:14 unknown filter 'kep'; write keep, drop or min",
                  "13:48 'min' of 't' needs a number", "13:70 'keep' of 't' needs a list of values",
                  "13:75 a filter needs keep, drop or min",
                  "14:9 'rows' is 'many'; write a whole number"));
}

TEST(Manifest, ChecksUnitTargetAndInputs) {
  std::string text = gemm_manifest();
  text.replace(text.find("\"us\""), 4, "\"W\"");
  EXPECT_THAT(messages_of(text),
              ElementsAre("10:9 unit of latency is 'W'; write one of s, ms, us, ns"));
  text = gemm_manifest();
  text.replace(text.find("\"latency\""), 9, "\"speed\"");
  EXPECT_THAT(messages_of(text), ElementsAre("8:11 'target' is 'speed'; write latency or power"));
  text = gemm_manifest();
  text.replace(text.find("\"k\": 4096"), 9, "\"m\": 4096");
  EXPECT_THAT(messages_of(text), ElementsAre("12:10 'm' is in 'columns' and in 'fixed'; keep one"));
  text = gemm_manifest();
  text.replace(text.find("  op: \"gemm\"\n"), 13, "");
  EXPECT_THAT(messages_of(text), ElementsAre("3:3 a table needs 'op', a single value"));
}

}  // namespace
}  // namespace tandem::entry
