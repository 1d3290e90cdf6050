#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "sim/config/plan.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/plans/plan_search.hpp"
#include "sim/entry/sweeps/sweep_figures.hpp"
#include "sim/entry/sweeps/sweep_summary.hpp"
#include "tests/entry/sweep_rows.hpp"

namespace tandem::entry {
namespace {

TEST(SweepPage, HasTheBandsOfObjectives) {
  Sweep sweep;
  sweep.points = {{"s", {}}};
  sweep.objectives = {{true, "a", {}}, {false, "b", {}}};
  PointResult row = row_of(task_of(0, "q"), "ok");
  row.result = R"({"summary":{"a":2,"b":3},"bands":{"a":[1,4],"b":null},"steps":{"audit":null}})";
  EXPECT_NE(sweep_page(sweep, {row}).find("a 2 [1, 4], b 3\n"), std::string::npos)
      << sweep_page(sweep, {row});
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

class RacksOfPlansTest : public testing::Test {
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

}  // namespace
}  // namespace tandem::entry
