#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sim/config/plan.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/plans/plan_search.hpp"
#include "sim/entry/sweep_reader.hpp"
#include "sim/entry/sweeps/sweep_database.hpp"
#include "sim/entry/sweeps/sweep_figures.hpp"
#include "sim/entry/sweeps/sweep_summary.hpp"

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

SweepTask task_of(std::int64_t point, const std::string& question, std::int64_t audit_steps = 10) {
  SweepTask task;
  task.point = point;
  task.status = "due";
  task.overrides = "x=" + std::to_string(point);
  task.question = question;
  task.audit_steps = audit_steps;
  return task;
}

/// A row as a task leaves it.
PointResult row_of(const SweepTask& task, const std::string& status) {
  PointResult row = result_of(task);
  row.status = status;
  return row;
}

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
  EXPECT_EQ(points_of(again.take_over(tasks)), (std::vector<std::int64_t>{1}));
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
  EXPECT_EQ(points_of(due), (std::vector<std::int64_t>{0, 3}));
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
  EXPECT_EQ(points_of(due), (std::vector<std::int64_t>{0}));
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
  EXPECT_TRUE(SweepDatabase(path_, ExistingPoints::Keep).take_over({task}).empty());
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

TEST(SweepPage, HasTheBandsOfObjectives) {
  Sweep sweep;
  sweep.points = {{"s", {}}};
  sweep.objectives = {{true, "a", {}}, {false, "b", {}}};
  PointResult row = row_of(task_of(0, "q"), "ok");
  row.result = R"({"summary":{"a":2,"b":3},"bands":{"a":[1,4],"b":null},"steps":{"audit":null}})";
  EXPECT_NE(sweep_page(sweep, {row}).find("a 2 [1, 4], b 3\n"), std::string::npos)
      << sweep_page(sweep, {row});
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

TEST(SweepFigures, AreThoseOfASummary) {
  RunRequest request;
  request.scenario = "llama8b_gpu";
  request.fidelity = "analytical";
  request.overrides = {{"traffic.requests", "2"}};
  const auto json = nlohmann::ordered_json::parse(run_scenario(make_context(), request).json);
  std::vector<std::string> names;
  for (const auto& [key, value] : json["summary"].items()) {
    if (!value.is_object()) names.push_back(key);
    for (const auto& [inner, number] : value.items()) {
      if (value.is_object()) names.push_back(key + "." + inner);
    }
  }
  EXPECT_EQ(names, summary_figures());
}

TEST(SweepFigures, LeaveNullsOut) {
  const auto figures =
      figures_of_result(R"({"summary":{"a":1,"t":{"p50":2,"p99":null}},"other":{"b":3}})");
  EXPECT_EQ(figures, (std::map<std::string, double>{{"a", 1}, {"t.p50", 2}}));
}

TEST(SweepFigures, CompareInTheUnitsOfTheirNames) {
  const auto holds = [](const char* text) {
    return Expression(text, {}).holds(
        [](const std::string& name) { return std::optional(value_of_figure(name, 400)); });
  };
  EXPECT_EQ(holds("economics.carbon_g_per_m_output_tokens < 0.5 kg"), true);
  EXPECT_EQ(holds("average_power_w < 0.3 kW"), false);
  EXPECT_EQ(holds("tpot_ms.p99 < 0.5 s and usd_per_hour > 300 USD/h"), true);
}

TEST(ParetoFront, KeepsWhatNothingBeats) {
  // Up and down: (3, 1) beats (2, 1) and (3, 2); (1, 0) is lowest in the second; equals stay.
  const std::vector<std::vector<double>> rows = {{2, 1}, {3, 1}, {3, 2}, {1, 0}, {3, 1}};
  EXPECT_EQ(pareto_front(rows, {true, false}), (std::vector<std::size_t>{1, 3, 4}));
}

TEST(PlacedChips, CountEveryPoolOnceWithItsCopies) {
  Scenario scenario;
  scenario.placement.decode.tensor = 4;
  scenario.placement.decode.pipeline = 2;
  scenario.placement.decode.replicas = 3;
  scenario.placement.decode.spares = 1;
  EXPECT_EQ(placed_chips(scenario), 25);
  scenario.placement.mode = PlacementMode::Disaggregated;
  scenario.placement.prefill.tensor = 8;
  EXPECT_EQ(placed_chips(scenario), 33);
}

// 40 H100 of 32 a rack; 8 H100 and 256 LP30 of 256 a rack.
TEST(PlacedRacks, AreWholeOnesOfEachPool) {
  const Context context = make_context();
  const std::vector<Override> five = {{"placement.replicas", "5"},
                                      {"system.groups.gpu.count", "40"}};
  EXPECT_EQ(placed_racks(context.loader.scenario("llama70b_gpu", five)), 2);
  EXPECT_EQ(placed_racks(context.loader.scenario("llama70b_hybrid", {})), 2);
  const std::vector<Override> unknown = {{"system.chips_per_rack.gpu", "0"}};
  EXPECT_EQ(placed_racks(context.loader.scenario("llama70b_gpu", unknown)), std::nullopt);
}

class RacksOfPlansTest : public SweepDatabaseTest {
 protected:
  static std::string plan_with(const std::string& set) {
    const std::string file = testing::TempDir() + "racks_test.yaml";
    std::ofstream(file) << "kind: plan\ngoal: cheapest\nset: {" << set << "}\n"
                        << "candidates: [{scenario: llama70b_gpu}, {scenario: llama70b_hybrid}]\n"
                        << "loads: {traffic.concurrency: [1]}\nlimits: {racks: 1}\n";
    return file;
  }
  static std::vector<SweepTask> tasks_with(const std::string& set) {
    const Context context = make_context();
    const Plan plan = load_plan(context.loader.roots(), plan_with(set));
    return prepare_sweep(context, plan.candidates, {});
  }
};

TEST_F(RacksOfPlansTest, KeepCandidatesFromRunning) {
  const auto tasks = tasks_with("traffic.requests: 4");
  EXPECT_EQ(tasks[0].status, "due");
  EXPECT_EQ(tasks[1].status, "excluded");
  EXPECT_EQ(tasks[1].error, "racks <= 1");
}

TEST_F(RacksOfPlansTest, AreAMistakeWhereTheyAreNotKnown) {
  try {
    (void)tasks_with("system.chips_per_rack.gpu: 0");
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("does not say how many chips fill a rack"),
              std::string::npos)
        << error.what();
  }
}

// Candidates run for an answer that they cannot have: not before all of them are known to lack it.
TEST_F(RacksOfPlansTest, NeedAPriceForCosts) {
  const Context context = make_context();
  const auto search = [&](const std::string& set) {
    PlanSearch(context, load_plan(context.loader.roots(), plan_with(set)), {});
  };
  const std::string unpriced_gpu = "prices.chips.h100_sxm.capital: 0 USD";
  EXPECT_NO_THROW(search("traffic.requests: 4"));
  try {
    search(unpriced_gpu);
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    ASSERT_EQ(error.diagnostics().size(), 1U) << error.what();
    EXPECT_EQ(error.diagnostics()[0].place.line, 2);
    EXPECT_NE(error.diagnostics()[0].message.find(
                  "'default_2026' lacks prices.chips.h100_sxm; write e.g. 'set: "
                  "{prices.chips.h100_sxm.rent: 3 USD/h}'"),
              std::string::npos)
        << error.what();
  }
  EXPECT_NO_THROW(search(unpriced_gpu + ", prices.chips.h100_sxm.rent: 3 USD/h"));
}

TEST(SweepPage, TellsPointsWithoutFiguresFromThoseThatBreakConstraints) {
  Sweep sweep;
  sweep.points = {{"s", {}}};
  sweep.objectives = {{false, "usd_per_hour", {}}};
  PointResult row = row_of(task_of(0, "q"), "ok");
  row.result = R"({"summary":{"usd_per_hour":null},"steps":{"audit":null}})";
  EXPECT_NE(sweep_page(sweep, {row}).find("of 1 points that meet the constraints none has"),
            std::string::npos);
  row.violated = "x < 1";
  EXPECT_NE(sweep_page(sweep, {row}).find("no point meets the constraints"), std::string::npos);
}

// The analytical clock counts none: without this all points would run for nothing.
TEST(FiguresOfEnergy, AreAMistakeOfAnalyticalSweeps) {
  const Context context = make_context();
  Sweep sweep;
  sweep.constraints.emplace_back("average_power_w < 1 kW", SourcePlace{"s.yaml", 3, 1});
  sweep.constraints.emplace_back("tpot_ms.p99 < 50", SourcePlace{"s.yaml", 4, 1});
  sweep.objectives = {{false, "economics.carbon_g_per_m_output_tokens", {"s.yaml", 5, 1}}};
  EXPECT_NO_THROW((void)prepare_sweep(context, sweep, {}));
  try {
    (void)prepare_sweep(context, sweep, {"analytical", "none"});
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    ASSERT_EQ(error.diagnostics().size(), 2U) << error.what();
    EXPECT_EQ(error.diagnostics()[0].place.line, 3);
    EXPECT_EQ(error.diagnostics()[1].place.line, 5);
  }
}

// So that a database that is refused costs no time.
TEST_F(RacksOfPlansTest, AreBoundedWhenTheSearchBegins) {
  const std::string file = plan_with("traffic.requests: 4");
  const Context context = make_context();
  PlanSearch search(context, load_plan(context.loader.roots(), file), {});
  EXPECT_EQ(search.tasks().size(), 2U);
  EXPECT_FALSE(search.slo_of(0));
  EXPECT_EQ(search.next_round().size(), 1U);
  EXPECT_TRUE(search.slo_of(0));
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
