#include "sim/entry/sweeps/sweep_database.hpp"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/sweep_reader.hpp"
#include "tests/entry/sweep_rows.hpp"

namespace tandem::entry {
namespace {

class SweepDatabaseTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "sweep_database_test.db";
    std::filesystem::remove(path_);
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::string path_;
};

std::vector<std::int64_t> points_of(const std::vector<SweepTask>& tasks) {
  std::vector<std::int64_t> points;
  for (const SweepTask& task : tasks) points.push_back(task.point);
  return points;
}

TEST_F(SweepDatabaseTest, RunsAgainWhatFailed) {
  const std::vector<SweepTask> tasks = {task_of(0, "a"), task_of(1, "b"), task_of(2, "c")};
  {
    SweepDatabase database(path_, ExistingPoints::Refuse);
    database.store(row_of(tasks[0], "ok"));
    database.store(row_of(tasks[1], "error"));
    database.store(row_of(tasks[2], "refused"));
  }
  SweepDatabase again(path_, ExistingPoints::Keep);
  EXPECT_EQ(points_of(again.take_over(tasks).due), (std::vector<std::int64_t>{1}));
  EXPECT_EQ(again.results().size(), 2U);
}

// A sweep grows by a point before and one behind the old ones, and loses one of them.
TEST_F(SweepDatabaseTest, KeepsTheRowsOfTheSameQuestionsUnderTheirNewNumbers) {
  SweepDatabase database(path_, ExistingPoints::Refuse);
  for (const SweepTask& task : {task_of(0, "a"), task_of(1, "b"), task_of(2, "c")}) {
    database.store(row_of(task, "ok"));
  }
  const auto due = database.take_over(
      {task_of(0, "new"), task_of(1, "a"), task_of(2, "c"), task_of(3, "newer")});
  EXPECT_EQ(points_of(due.due), (std::vector<std::int64_t>{0, 3}));
  const std::vector<PointResult> rows = database.results();
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].point, 1);
  EXPECT_EQ(rows[0].question, "a");
  EXPECT_EQ(rows[0].overrides, "x=1");
  EXPECT_EQ(rows[1].question, "c");
}

TEST_F(SweepDatabaseTest, RunsAgainWhatWasAuditedLess) {
  SweepDatabase database(path_, ExistingPoints::Refuse);
  for (const SweepTask& task : {task_of(0, "a", 10), task_of(1, "b", 30)}) {
    database.store(row_of(task, "ok"));
  }
  const auto due = database.take_over({task_of(0, "a", 20), task_of(1, "b", 20)});
  EXPECT_EQ(points_of(due.due), (std::vector<std::int64_t>{0}));
}

/// A task of a scenario and a clock, as prepare_sweep() makes them.
SweepTask task_at(std::int64_t point, const std::string& question, const std::string& scenario,
                  const std::string& fidelity) {
  SweepTask task = task_of(point, question);
  task.scenario = scenario;
  task.fidelity = fidelity;
  task.scenario_hash = "hash of " + question;
  task.task = R"({"set":[],"placed":{},"constraints":["a < 2","b < 2"]})";
  return task;
}

/// As it ran.
PointResult ok_row_of(const SweepTask& task) {
  PointResult row = row_of(task, "ok");
  row.result = nlohmann::json{{"scenario", task.scenario},
                              {"fidelity", task.fidelity},
                              {"config_hash", task.scenario_hash},
                              {"summary", {{"a", 1}, {"b", 2}}}}
                   .dump();
  return row;
}

TEST_F(SweepDatabaseTest, LosesNoFinishedPointUnasked) {
  SweepDatabase database(path_, ExistingPoints::Refuse);
  const std::vector<SweepTask> tasks = {task_at(0, "a", "s", "cycle"),
                                        task_at(1, "b", "s", "cycle")};
  for (const SweepTask& task : tasks) database.store(ok_row_of(task));
  const auto expect_refusal = [&](const std::vector<SweepTask>& other) {
    try {
      (void)database.take_over(other);
      FAIL() << "dropped";
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find("finished points that this sweep does not run"),
                std::string::npos);
    }
    EXPECT_EQ(database.results().size(), 2U);
  };
  expect_refusal({task_at(0, "c", "other", "cycle"), tasks[1]});
  expect_refusal({task_at(0, "c", "s", "analytical"), tasks[1]});
  expect_refusal({tasks[0]});
  SweepTask excluded = tasks[0];
  excluded.status = "excluded";
  expect_refusal({excluded, tasks[1]});
  const DroppedRows dropped = database.take_over({tasks[0]}, true).dropped;
  EXPECT_EQ(dropped.others, 1);
  EXPECT_EQ(dropped.lost, 1);
  EXPECT_EQ(database.results().size(), 1U);
}

TEST_F(SweepDatabaseTest, RunsAgainItsOwnPointsThatHaveChanged) {
  SweepDatabase database(path_, ExistingPoints::Refuse);
  database.store(ok_row_of(task_at(0, "a", "s", "cycle")));
  const Resumption resumption = database.take_over({task_at(0, "edited", "s", "cycle")});
  EXPECT_EQ(points_of(resumption.due), (std::vector<std::int64_t>{0}));
  EXPECT_EQ(resumption.dropped.changed, 1);
  EXPECT_EQ(resumption.dropped.others + resumption.dropped.lost, 0);
}

TEST_F(SweepDatabaseTest, HoldsResultsToConstraintsThatChanged) {
  SweepDatabase database(path_, ExistingPoints::Refuse);
  SweepTask task = task_at(0, "a", "s", "cycle");
  database.store(ok_row_of(task));
  task.question = "a under other constraints";
  EXPECT_TRUE(database.take_over({task}).due.empty());
  ASSERT_EQ(database.results().size(), 1U);
  EXPECT_EQ(database.results()[0].violated, "b < 2");
  EXPECT_EQ(database.results()[0].question, task.question);
}

/// What a query gives, values behind each other.
std::string asked(const std::string& path, const char* query) {
  sqlite3* raw = nullptr;
  EXPECT_EQ(sqlite3_open(path.c_str(), &raw), SQLITE_OK);
  std::string rows;
  const auto note = [](void* out, int columns, char** values, char**) {
    for (int i = 0; i < columns; ++i)
      *static_cast<std::string*>(out) += std::string(values[i] == nullptr ? "-" : values[i]) + " ";
    return 0;
  };
  EXPECT_EQ(sqlite3_exec(raw, query, note, &rows, nullptr), SQLITE_OK);
  sqlite3_close(raw);
  return rows;
}

// Printed, the changes cannot be told apart: "text=a; b=c; limit=4 ms".
TEST_F(SweepDatabaseTest, KeepsValuesThatLookLikeSeveralChanges) {
  SweepTask task = task_of(0, "a");
  task.changes = {{"text", "a; b=c"}, {"limit", "4 ms"}};
  task.overrides = "text=a; b=c; limit=4 ms";
  { SweepDatabase(path_, ExistingPoints::Refuse).store(row_of(task, "ok")); }
  constexpr const char* query = "SELECT path, value, number FROM changes ORDER BY rowid";
  EXPECT_EQ(asked(path_, query), "text a; b=c - limit 4 ms 0.004 ");
  // A row that stays takes them from the sweep again.
  task.point = 3;
  EXPECT_TRUE(SweepDatabase(path_, ExistingPoints::Keep).take_over({task}).due.empty());
  EXPECT_EQ(asked(path_, query), "text a; b=c - limit 4 ms 0.004 ");
  EXPECT_EQ(read_points(path_).at(0).changes, task.changes);
}

TEST_F(SweepDatabaseTest, HasTheEndsOfBandsBesideFigures) {
  PointResult row = row_of(task_of(0, "a"), "ok");
  row.result = R"({"summary":{"tpot_ms":{"p99":4},"slo_attainment":0.5,"utilisation":1},)"
               R"("bands":{"tpot_ms":{"p99":[3,6]},"slo_attainment":null}})";
  { SweepDatabase(path_, ExistingPoints::Refuse).store(row); }
  EXPECT_EQ(asked(path_,
                  "SELECT tpot_ms_p99, tpot_ms_p99_low, tpot_ms_p99_high, slo_attainment, "
                  "slo_attainment_low, utilisation FROM points"),
            "4.0 3.0 6.0 0.5 - 1.0 ");
}

TEST_F(SweepDatabaseTest, HasCarbonBesideTheSummary) {
  PointResult row = row_of(task_of(0, "a"), "ok");
  row.result = R"({"summary":{},"economics":{"carbon_g_per_m_output_tokens":300},)"
               R"("bands":{"economics":{"carbon_g_per_m_output_tokens":[200,400]}}})";
  { SweepDatabase(path_, ExistingPoints::Refuse).store(row); }
  EXPECT_EQ(asked(path_,
                  "SELECT economics_carbon_g_per_m_output_tokens, "
                  "economics_carbon_g_per_m_output_tokens_low, "
                  "economics_carbon_g_per_m_output_tokens_high FROM points"),
            "300.0 200.0 400.0 ");
}

TEST_F(SweepDatabaseTest, RefusesPointsOfAnEarlierRunAndNothingElse) {
  std::ofstream{path_};  // an empty file, as mktemp leaves it
  { SweepDatabase(path_, ExistingPoints::Refuse).store(row_of(task_of(0, "a"), "ok")); }
  try {
    SweepDatabase(path_, ExistingPoints::Refuse);
    FAIL() << "overwritten";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("has 1 points of an earlier run; keep"),
              std::string::npos)
        << error.what();
  }
  EXPECT_EQ(SweepDatabase(path_, ExistingPoints::Keep).results().size(), 1U);
  EXPECT_EQ(SweepDatabase(path_, ExistingPoints::Replace).results().size(), 0U);
}

TEST_F(SweepDatabaseTest, IsLockedWhileOneSweepHoldsIt) {
  const SweepDatabase database(path_, ExistingPoints::Refuse);
  EXPECT_THROW(SweepDatabase(path_, ExistingPoints::Keep), ConfigError);
}

TEST_F(SweepDatabaseTest, KeepsTheTornadoOfOnePlan) {
  const TornadoBar bar{"usd_per_hour", "prices.h100", 1, 2, "list", "assumed", 0.9, 1.2};
  for (int plan = 0; plan < 2; ++plan)
    SweepDatabase(path_, ExistingPoints::Replace).store_tornado({bar, bar});
  EXPECT_EQ(asked(path_, "SELECT rank, parameter, largest FROM tornado"),
            "1 prices.h100 1.2 2 prices.h100 1.2 ");
}

}  // namespace
}  // namespace tandem::entry
