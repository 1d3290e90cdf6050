// `tandem validate` on a small folder of measurements made here, with figures worked out by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "sim/config/manifest.hpp"
#include "sim/entry/validation/validation.hpp"
#include "tests/support/test_data.hpp"

namespace tandem::entry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A folder that is gone when the test ends.
class Folder {
 public:
  Folder()
      : path_(std::filesystem::temp_directory_path() /
              ("tandem_validate_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// A GEMM table of microseconds; `more` are further lines of the table's entry.
std::string gemm_manifest(const std::string& more = "") {
  return "format: 1\n"
         "tables:\n"
         "- id: \"small\"\n"
         "  file: \"gemm.csv\"\n"
         "  op: \"gemm\"\n"
         "  chip: \"h100_sxm\"\n"
         "  software: \"Some Framework 1.2\"\n"
         "  target: \"latency\"\n"
         "  measured: \"t\"\n"
         "  unit: \"us\"\n"
         "  columns: {\"m\": \"tokens\", \"n\": \"n\", \"dtype\": \"type\"}\n"
         "  fixed: {\"k\": 4096, \"l2\": \"warm\"}\n" +
         more;
}

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

/// A folder with every case: two types, one of them unknown, a chip that is not described, power,
/// an operator of its own and a system table.
void write_everything(const Folder& folder) {
  folder.write("manifest.yaml",
               gemm_manifest("  rows: 9\n"
                             "- {id: far, file: gemm.csv, op: gemm, chip: h900, software: s, "
                             "target: latency, measured: t, unit: us, columns: {m: tokens}}\n"
                             "- {id: hot, file: gemm.csv, op: gemm, chip: h100_sxm, software: s, "
                             "target: power, measured: w, unit: mW, columns: {m: tokens}, "
                             "fixed: {dtype: fp8}}\n"
                             "- {id: odd, file: gemm.csv, op: telepathy, chip: h100_sxm, "
                             "software: s, target: latency, measured: t, unit: us, columns: {}}\n"
                             "system_tables:\n"
                             "- {file: system.csv, columns: {system: gpu}, "
                             "measured: {ttft: [first, ms], tpot: [next, ms]}, rows: 3}\n"));
  folder.write("gemm.csv",
               "tokens,n,type,t,w\n"
               "64,1024,bfloat16,10,500\n"
               "64,1024,bfloat16,20,500\n"
               "4096,4096,bfloat16,300,500\n"
               "64,1024,fp3,10,500\n");
  folder.write("system.csv", "gpu,first,next\nh100,1,2\nh100,,2\nb200,3,\n");
}

ValidationAnswer answer_of(const Folder& folder, ValidationRequest request = {}) {
  request.folder = folder.path();
  return validate(make_context(), request);
}

TEST(Validate, EveryRowIsPredictedOrNamed) {
  const Folder folder;
  write_everything(folder);
  ValidationRequest request;
  request.with_rows = true;
  const ValidationAnswer answer = answer_of(folder, request);
  ASSERT_EQ(answer.entries.size(), 9U);  // two types; far; hot; odd; two systems with two metrics
  const ValidationEntry& bf16 = answer.entries[0];
  EXPECT_EQ(bf16.dtype, "bfloat16");
  EXPECT_EQ(bf16.layer, "generic");
  EXPECT_EQ(bf16.figures.predicted_rows, 3);
  EXPECT_GE(*bf16.figures.floor_ratio, 1);
  EXPECT_TRUE(bf16.not_predicted.empty());
  const ValidationEntry& unknown = answer.entries[1];
  EXPECT_EQ(unknown.dtype, "fp3");
  EXPECT_EQ(unknown.figures.rows, 1);
  EXPECT_EQ(unknown.figures.predicted_rows, 0);
  EXPECT_THAT(unknown.not_predicted.begin()->first, HasSubstr("'dtype' is 'fp3'"));
  EXPECT_THAT(answer.entries[2].not_predicted.begin()->first, HasSubstr("chip 'h900'"));
  EXPECT_EQ(answer.entries[3].metric, "power");
  EXPECT_THAT(answer.entries[3].not_predicted.begin()->first, HasSubstr("power"));
  EXPECT_THAT(answer.entries[4].not_predicted.begin()->first, HasSubstr("'telepathy'"));
  EXPECT_EQ(answer.entries[5].chip, "b200");
  EXPECT_EQ(answer.entries[5].metric, "ttft");
  EXPECT_EQ(answer.entries[6].figures.rows, 0);  // the cell of tpot is empty
  EXPECT_EQ(answer.entries[7].figures.rows, 1);  // one of h100's two cells of ttft
  ASSERT_EQ(answer.notes.size(), 1U);            // 4 rows, the manifest says 9
  EXPECT_THAT(answer.notes[0].message, HasSubstr("has 4 rows after its filters"));
  // A header and 4 rows of each of the four tables.
  EXPECT_EQ(std::count(answer.rows_csv.begin(), answer.rows_csv.end(), '\n'), 17);
}

TEST(Validate, EqualShapesGetEqualPredictionsAndFiguresFollow) {
  const Folder folder;
  write_everything(folder);
  ValidationRequest request;
  request.only = "h100_sxm";
  request.with_rows = true;
  const ValidationAnswer answer = answer_of(folder, request);
  // The first two rows are one kernel, measured as 10 and 20 us: with p their prediction, the
  // signed errors are p/10 - 1 and p/20 - 1.
  const CsvTable rows("rows.csv", answer.rows_csv);
  const std::size_t predicted = *rows.find("predicted"), error = *rows.find("error_percent");
  EXPECT_EQ(rows.cell(0, predicted), rows.cell(1, predicted));
  const double p = std::stod(rows.cell(0, predicted)) * 1e3;
  EXPECT_NEAR(std::stod(rows.cell(0, error)), 100 * (p / 10 - 1), 1e-5);
  EXPECT_NEAR(std::stod(rows.cell(1, error)), 100 * (p / 20 - 1), 1e-5);
  const double bias = (std::stod(rows.cell(0, error)) + std::stod(rows.cell(1, error)) +
                       std::stod(rows.cell(2, error))) /
                      3;
  EXPECT_NEAR(*answer.entries[0].figures.bias, bias, 1e-5);
}

TEST(Validate, JsonHasNullWhereAFigureDoesNotApply) {
  const Folder folder;
  write_everything(folder);
  const auto json = nlohmann::json::parse(validation_json(answer_of(folder)));
  const auto& tables = json.at("tables");
  for (const auto& entry : tables) {
    for (const char* key : {"file", "op", "chip", "dtype", "software", "metric", "rows",
                            "predicted_rows", "mape_percent", "median_ape_percent",
                            "p90_ape_percent", "bias_percent", "baseline_mape_percent"}) {
      EXPECT_TRUE(entry.contains(key)) << key;
    }
  }
  EXPECT_TRUE(tables[0]["mape_percent"].is_number());
  EXPECT_TRUE(tables[3]["mape_percent"].is_null());
  EXPECT_EQ(tables[3]["metric"], "power");
  EXPECT_EQ(tables[8]["op"], "system");
  EXPECT_EQ(tables[8]["metric"], "tpot");
  EXPECT_EQ(tables[8]["predicted_rows"], 0);
  EXPECT_TRUE(tables[8]["dtype"].is_null());
}

TEST(Validate, OnlyKeepsEntriesByFileOperatorOrChip) {
  const Folder folder;
  write_everything(folder);
  const auto count = [&](const char* text) {
    ValidationRequest request;
    request.only = text;
    return answer_of(folder, request).entries.size();
  };
  EXPECT_EQ(count("system"), 4U);
  EXPECT_EQ(count("b200"), 2U);
  EXPECT_EQ(count("h900"), 1U);
  EXPECT_EQ(count("telepathy"), 1U);
  EXPECT_EQ(count("gemm.csv"), 5U);
  EXPECT_EQ(count("nothing of the kind"), 0U);
}

TEST(Validate, ThreadsChangeNothing) {
  const Folder folder;
  write_everything(folder);
  ValidationRequest request;
  request.with_rows = true;
  const ValidationAnswer alone = answer_of(folder, request);
  request.predictor.workers = 3;
  const ValidationAnswer together = answer_of(folder, request);
  EXPECT_EQ(validation_json(alone), validation_json(together));
  EXPECT_EQ(alone.rows_csv, together.rows_csv);
}

TEST(Validate, SetChangesOneChipAllChipsOrTheSoftware) {
  const Folder folder;
  write_everything(folder);
  const auto bias = [&](const char* path, const char* value) {
    ValidationRequest request;
    request.only = "gemm.csv";
    if (*path != '\0') request.predictor.overrides = {{path, value}};
    return *answer_of(folder, request).entries[0].figures.bias;
  };
  const double usual = bias("", "");
  EXPECT_GT(bias("chips.h100_sxm.launch_overhead", "1 ms"), usual + 100);
  EXPECT_GT(bias("launch_overhead", "1 ms"), usual + 100);
  EXPECT_GT(bias("software.launch_overhead", "1 ms"), usual + 100);
  EXPECT_EQ(bias("chips.b200_sxm.launch_overhead", "1 ms"), usual);
  EXPECT_THROW(bias("chips.h100_sxn.launch_overhead", "1 ms"), ConfigError);
  EXPECT_THROW(bias("launch_overheat", "1 ms"), ConfigError);
}

TEST(Validate, WithoutSoftwareNoLayerIsUsed) {
  const Folder folder;
  write_everything(folder);
  ValidationRequest request;
  request.only = "gemm.csv";
  request.predictor.software = "none";
  EXPECT_EQ(answer_of(folder, request).entries[0].layer, "none");
  request.predictor.software = "no_such_layer";
  EXPECT_THROW((void)answer_of(folder, request), ConfigError);
}

TEST(Validate, AMissingFileIsNamedWhereTheManifestNamesIt) {
  const Folder folder;
  folder.write("manifest.yaml", gemm_manifest());
  try {
    (void)answer_of(folder);
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.diagnostics()[0].place.line, 4);
    EXPECT_THAT(error.diagnostics()[0].message, HasSubstr("cannot read"));
  }
}

TEST(ValidateMeasured, ReadsTheWholeManifestAndPredictsGemm) {
  const auto folder = test::measured_data();
  if (!std::filesystem::exists(folder / "manifest.yaml")) {
    GTEST_SKIP() << "measured tables are not in TANDEM_DATA: nothing to compare to";
  }
  ValidationRequest request;
  request.folder = folder.string();
  request.only = "h100_gemm_vllm";
  request.sample.rows = 20;
  const ValidationAnswer answer = validate(make_context(), request);
  ASSERT_FALSE(answer.entries.empty());
  EXPECT_TRUE(answer.notes.empty());
  const ValidationEntry& bf16 = answer.entries[0];
  EXPECT_EQ(bf16.dtype, "bfloat16");
  EXPECT_EQ(bf16.figures.rows, 20);
  EXPECT_EQ(bf16.figures.predicted_rows, 20);
  EXPECT_LT(*bf16.figures.mape, 100);
}

}  // namespace
}  // namespace tandem::entry
