// `tandem validate` on a small folder of measurements made here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim/entry/validation/validation.hpp"
#include "tests/entry/validation_folder.hpp"
#include "tests/support/test_data.hpp"

namespace tandem::entry {
namespace {

using ::testing::HasSubstr;

/// A folder with every case: two types, one of them unknown, a chip that is not described, power,
/// an operator of its own and a system table.
void write_everything(const Folder& folder) {
  folder.write("manifest.yaml",
               gemm_manifest("  rows: 9\n"
                             "- {id: far, file: gemm.csv, op: gemm, chip: h900, software: s, "
                             "target: latency, measured: t, unit: us, columns: {m: tokens}}\n"
                             "- {id: hot, file: gemm.csv, op: gemm, chip: h100_sxm, software: s, "
                             "target: power, measured: w, unit: mW, columns: {m: tokens}, "
                             "fixed: {dtype: fp8, n: 128, k: 128}}\n"
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
  EXPECT_EQ(answer.entries[3].figures.rows, 4);
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

TEST(Validate, WritesTheRowsOfServicesOnTheLinesAskedFor) {
  const Folder folder;
  write_everything(folder);
  ValidationRequest request;
  request.only = "system";
  request.with_rows = true;
  request.lines = {2, 4};  // h100 with both times, b200 with the first; line 3 has no first one
  const ValidationAnswer answer = answer_of(folder, request);
  const CsvTable rows("rows.csv", answer.rows_csv);
  ASSERT_EQ(rows.rows(), 3U);
  const auto cell = [&](std::size_t row, const char* name) {
    return rows.cell(row, *rows.find(name));
  };
  EXPECT_EQ(cell(0, "table"), "system.csv");
  EXPECT_EQ(cell(0, "line"), "4");  // systems in alphabetical order
  EXPECT_EQ(cell(0, "metric"), "ttft");
  EXPECT_EQ(cell(0, "system"), "b200");
  EXPECT_EQ(cell(0, "run_layer"), "generic");
  EXPECT_EQ(cell(0, "reason"), "the row names no model");
  EXPECT_EQ(cell(1, "line"), "2");
  EXPECT_EQ(cell(2, "metric"), "tpot");
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
  EXPECT_TRUE(tables[2]["mape_percent"].is_null());  // an unknown chip
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
