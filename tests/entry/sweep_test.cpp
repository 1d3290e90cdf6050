#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sim/config/plan.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
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

using Points = std::set<std::pair<std::int64_t, std::string>>;

TEST_F(SweepDatabaseTest, RemembersFinishedPointsAndForgetsFailedOnes) {
  {
    SweepDatabase database(path_, false);
    database.store({0, "aa", "x=1", "ok", "", R"({"summary":{"ttft_ms":{"p99":7}}})"});
    database.store({1, "bb", "x=2", "error", "two workers died", ""});
    database.store({2, "cc", "x=3", "refused", "no room", ""});
  }
  const SweepDatabase again(path_, true);
  EXPECT_EQ(again.finished(), (Points{{0, "aa"}, {2, "cc"}}));
}

TEST_F(SweepDatabaseTest, DropsWhatAnotherSweepLeft) {
  SweepDatabase database(path_, false);
  database.store({0, "aa", "x=1", "ok", "", ""});
  database.store({1, "old", "x=2", "ok", "", ""});
  database.keep_only({{0, "aa"}, {1, "new"}});
  EXPECT_EQ(database.finished(), (Points{{0, "aa"}}));
}

TEST_F(SweepDatabaseTest, IsLockedWhileOneSweepHoldsIt) {
  const SweepDatabase database(path_, false);
  EXPECT_THROW(SweepDatabase(path_, true), ConfigError);
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
  std::vector<SweepTask> tasks_with(const std::string& set) {
    const std::string file = testing::TempDir() + "racks_test.yaml";
    std::ofstream(file) << "kind: plan\ngoal: cheapest\nset: {" << set << "}\n"
                        << "candidates: [{scenario: llama70b_gpu}, {scenario: llama70b_hybrid}]\n"
                        << "loads: {traffic.concurrency: [1]}\nlimits: {racks: 1}\n";
    const Context context = make_context();
    const Plan plan = load_plan(context.loader.roots(), file);
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

TEST_F(SweepDatabaseTest, KeepsTheTornadoOfOnePlan) {
  const TornadoBar bar{"usd_per_hour", "prices.h100", 1, 2, "list", "assumed", 0.9, 1.2};
  for (int plan = 0; plan < 2; ++plan) SweepDatabase(path_, false).store_tornado({bar, bar});
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &raw), SQLITE_OK);
  std::string rows;
  const auto note = [](void* out, int columns, char** values, char**) {
    for (int i = 0; i < columns; ++i)
      *static_cast<std::string*>(out) += std::string(values[i]) + " ";
    return 0;
  };
  sqlite3_exec(raw, "SELECT rank, parameter, largest FROM tornado", note, &rows, nullptr);
  sqlite3_close(raw);
  EXPECT_EQ(rows, "1 prices.h100 1.2 2 prices.h100 1.2 ");
}

}  // namespace
}  // namespace tandem::entry
