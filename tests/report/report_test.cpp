// Books and reports of runs on fake chips: arithmetic by hand, keys, equal bytes.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "sim/report/page.hpp"
#include "sim/report/result_json.hpp"
#include "sim/report/summary.hpp"
#include "tests/report/priced_scenario.hpp"
#include "tests/service/drafter_scenario.hpp"

namespace tandem {
namespace {

Scenario priced_scenario() {
  return fakes::priced(fakes::scenario());
}

struct Accounted {
  Scenario scenario;
  RunResult result;
  Accounting books;
  Sensitivity sensitivity;
  [[nodiscard]] ReportInput input() const { return {scenario, result, books, sensitivity}; }
};

Accounted run_it(const Scenario& s, std::optional<std::string> store = std::nullopt) {
  Accounted a{s, {}, {}, {}};
  RunOptions options;
  options.store = store;
  ServiceModel model(a.scenario, fakes::catalogue(), fakes::network(), store);
  a.result = model.run(s.traffic, options);
  a.books = account(a.scenario, a.result);
  a.sensitivity = sensitivity_of(a.scenario, model, a.result, fakes::catalogue(), fakes::network());
  return a;
}

TEST(Accounting, EnergyIsActivityPlusStaticPlusHost) {
  const Accounted a = run_it(priced_scenario());
  // 32 + 3 tokens x 4 layers x 1 nJ = 140 nJ; 100 W and the host's 1600 W / 16 chips = 100 W over
  // 17400 ns: 1.74 mJ each.
  ASSERT_TRUE(a.books.energy_j);
  EXPECT_NEAR(a.books.energy_j->chips_dynamic, 140e-9, 1e-15);
  EXPECT_NEAR(a.books.energy_j->chips_static, 1.74e-3, 1e-9);
  EXPECT_NEAR(a.books.energy_j->host, 1.74e-3, 1e-9);
  EXPECT_NEAR(*a.books.energy_j_per_output_token, (2 * 1.74e-3 + 140e-9) / 4, 1e-9);
}

TEST(Accounting, CostIsCapitalPowerAndHostingSplitByAnalyticalTime) {
  const Accounted a = run_it(priced_scenario());
  // Capital 20000 / 10000 h = 2 USD/h. Power 200.008 W: x 1.2 x 0.09 USD/kWh = 0.0216 USD/h and
  // hosting 0.2 kW x 0.1 = 0.02 USD/h.
  EXPECT_NEAR(*a.books.usd_per_hour_used, 2.0416, 1e-4);
  // Floors: prefill 2640 ns, decode 3 x 2020 = 6060 ns of 8700.
  const double cost = *a.books.usd_per_hour_used / 3600 * 17400e-9;
  EXPECT_NEAR(*a.books.usd_per_m_input_tokens, cost * 2640 / 8700 / 32 * 1e6, 1e-9);
  EXPECT_NEAR(*a.books.usd_per_m_output_tokens, cost * 6060 / 8700 / 4 * 1e6, 1e-9);
  EXPECT_NEAR(*a.books.usd_per_m_total_tokens, cost / 36 * 1e6, 1e-9);
  // Whole system: 8 big at 2.0416, 8 small that draw only their share of the host (100 W):
  // 1 + 0.0108 + 0.01.
  EXPECT_NEAR(*a.books.usd_per_hour, 8 * 2.0416 + 8 * 1.0208, 1e-3);
}

TEST(Accounting, ComponentsAddUpToTheWhole) {
  const Accounted a = run_it(priced_scenario());
  double joules = 0, usd = 0;
  for (const auto& [name, part] : a.books.energy_j->by_component) joules += part;
  for (const auto& [name, part] : a.books.usd_per_hour_by_component) usd += part;
  EXPECT_NEAR(joules, a.books.energy_j->total(), 1e-15);
  EXPECT_NEAR(usd, *a.books.usd_per_hour_used, 1e-12);
  const auto& costs = a.books.usd_per_hour_by_component;
  EXPECT_NEAR(costs.at("capital"), 2, 1e-9);
  EXPECT_NEAR(costs.at("hosting"), 0.02, 1e-5);
  // 200 W without and 40 W with the site's share.
  EXPECT_NEAR(costs.at("electricity_idle"), 0.1 * 0.09, 1e-6);
  EXPECT_NEAR(costs.at("electricity_cooling"), 0.04 * 0.09, 1e-6);
  const auto json = nlohmann::json::parse(result_json(a.input()));
  EXPECT_NEAR(json["energy_j_by_component"]["cooling"], 0.2 * joules, 1e-12);
}

TEST(Accounting, RangesMakeBandsAndTheStrongestInputComesFirst) {
  Scenario s = priced_scenario();
  Parameter capital = s.prices.parameters.at("chips.big.capital");
  capital.low = 10000;
  capital.high = 40000;
  s.prices.parameters.set("chips.big.capital", capital);
  const Accounted a = run_it(s);
  // Hourly cost 1.0416 or 4.0416 instead of 2.0416.
  const BandFactor band = a.sensitivity.bands.all.at("usd_per_hour_used");
  EXPECT_NEAR(band.low, 1.0416 / 2.0416, 1e-3);
  EXPECT_NEAR(band.high, 4.0416 / 2.0416, 1e-3);
  EXPECT_FALSE(a.sensitivity.bands.all.contains("tpot_ms"));
  // Time of a step is 4 x (base + token x tokens): base dominates.
  ASSERT_FALSE(a.sensitivity.provenance.empty());
  EXPECT_EQ(a.sensitivity.provenance[0].parameter, "chips.big.base");
  EXPECT_GT(a.sensitivity.provenance[0].elasticity, 0.8);
}

TEST(Report, GroupsHaveTheirCostTheirTokensAndWhatTheyWaitedFor) {
  Scenario s = priced_scenario();
  s.traffic.branches = 3;
  const Accounted a = run_it(s);
  const nlohmann::json groups = nlohmann::json::parse(result_json(a.input()))["groups"];
  // One group is the whole run.
  EXPECT_NEAR(groups["usd_per_group"], *a.books.usd_per_hour_used * a.result.simulated_s / 3600,
              1e-15);
  EXPECT_NEAR(groups["energy_j_per_group"], a.books.energy_j->total(), 1e-15);
  EXPECT_EQ(groups["prompt_tokens"]["computed"], 32);
  EXPECT_EQ(groups["prompt_tokens"]["unshared"], 96);
  EXPECT_NE(run_page(a.input()).find("Groups: 1 of 3 requests"), std::string::npos);
}

TEST(Report, SaysWhichObjectivesRequestsAreWithin) {
  Scenario s = priced_scenario();
  s.slo = {from_seconds(1), std::nullopt};
  EXPECT_NE(run_page(run_it(s).input()).find("  TTFT 1000 ms\n"), std::string::npos);
  s.slo.tpot_p99 = from_seconds(0.0125);
  const Accounted a = run_it(s);
  EXPECT_NE(run_page(a.input()).find("  TTFT 1000 ms, TPOT 12.5 ms\n"), std::string::npos);
  const nlohmann::json slo = nlohmann::json::parse(result_json(a.input()))["slo"];
  EXPECT_EQ(slo, (nlohmann::json{{"ttft_p99_ms", 1000.0}, {"tpot_p99_ms", 12.5}}));
  EXPECT_EQ(slo_text({}), "none");
}

TEST(Report, NamesTheChipsThatHaveNoPrice) {
  const Accounted priced = run_it(priced_scenario());
  EXPECT_EQ(run_page(priced.input()).find("no price"), std::string::npos);
  Accounted unpriced = priced;
  ParameterSet& prices = unpriced.scenario.prices.parameters;
  const ParameterSet all = prices;
  prices = {};
  for (const auto& [key, parameter] : all.all()) {
    if (key != "chips.big.capital") prices.set(key, parameter);
  }
  EXPECT_NE(run_page(unpriced.input()).find("have no price of big: USD are not known"),
            std::string::npos);
}

TEST(Report, JsonHasEveryKeyAndTheRunObjectLast) {
  const nlohmann::ordered_json json =
      nlohmann::ordered_json::parse(result_json(run_it(priced_scenario()).input()));
  const std::vector<std::string> keys = {"scenario",
                                         "version",
                                         "config_hash",
                                         "seed",
                                         "fidelity",
                                         "simulated_s",
                                         "slo",
                                         "summary",
                                         "bands",
                                         "intervals",
                                         "warm_up",
                                         "backlog",
                                         "warnings",
                                         "requests_left_out",
                                         "economics",
                                         "energy_j_by_component",
                                         "usd_per_hour_by_component",
                                         "bounds",
                                         "steps",
                                         "speculation",
                                         "groups",
                                         "sessions",
                                         "kv_tiers",
                                         "prompts",
                                         "planner",
                                         "routing",
                                         "deployments",
                                         "pools",
                                         "links",
                                         "timelines",
                                         "provenance",
                                         "run"};
  std::vector<std::string> found;
  for (const auto& [key, value] : json.items()) found.push_back(key);
  EXPECT_EQ(found, keys);
  for (const char* key : {"output_tokens_per_s",
                          "total_tokens_per_s",
                          "requests_per_s",
                          "offered_requests_per_s",
                          "utilisation",
                          "output_tokens_per_s_per_user",
                          "ttft_ms",
                          "tpot_ms",
                          "itl_ms",
                          "e2e_ms",
                          "slo_attainment",
                          "goodput_requests_per_s",
                          "energy_j_per_output_token",
                          "average_power_w",
                          "tokens_per_s_per_mw",
                          "usd_per_hour",
                          "usd_per_hour_used",
                          "usd_per_m_input_tokens",
                          "usd_per_m_output_tokens",
                          "usd_per_m_total_tokens"}) {
    EXPECT_TRUE(json["summary"].contains(key)) << key;
    EXPECT_TRUE(json["bands"].contains(key)) << key;
  }
  EXPECT_TRUE(json["summary"]["slo_attainment"].is_null());  // no objectives
  // 4 tokens in 17400 ns.
  EXPECT_DOUBLE_EQ(json["summary"]["output_tokens_per_s"].get<double>(), 4 / 17400e-9);
  EXPECT_DOUBLE_EQ(json["bounds"]["output_tokens_per_s"].get<double>(), 4 / 8700e-9);
  EXPECT_EQ(json["steps"]["kernels"]["fake"], 16);  // four steps of four layers
}

TEST(Report, RoundsOfADrafterPlacementHaveTheirPartsEnergyAndCost) {
  // Three rounds of one token: 216 ns of hand-overs, 3030 of drafts, 4160 of verification; the
  // prompt takes 5280 ns (tests/service/speculation_test.cpp).
  Scenario s = fakes::drafter_scenario({0}, 4);
  const ParameterSet prices = priced_scenario().prices.parameters;
  s.prices.parameters = prices;
  const Accounted a = run_it(s);
  const nlohmann::json json = nlohmann::json::parse(result_json(a.input()));
  const nlohmann::json& rounds = json["speculation"];
  EXPECT_EQ(rounds["draft_model"], "tinier");
  EXPECT_EQ(rounds["drafts"], 3);
  EXPECT_EQ(rounds["rounds"], 3);
  EXPECT_DOUBLE_EQ(rounds["tokens_per_round"].get<double>(), 1);
  EXPECT_NEAR(rounds["round_ms"].get<double>(), 7406e-6, 1e-12);
  EXPECT_NEAR(rounds["shares"]["draft"].get<double>(), 3030.0 / 7406, 1e-12);
  EXPECT_NEAR(rounds["shares"]["transfer"].get<double>(), 216.0 / 7406, 1e-12);
  EXPECT_NEAR(rounds["shares"]["verify"].get<double>(), 4160.0 / 7406, 1e-12);
  EXPECT_EQ(rounds["draft_prompt_ms"], 0);
  // Tokens x layers: 32 + 3 x 4 by four layers, 32 + 9 by one; two chips of 100 W.
  EXPECT_NEAR(a.books.energy_j->chips_dynamic, (44 * 4 + 41) * 1e-9, 1e-15);
  EXPECT_NEAR(a.books.energy_j->chips_static, 2 * 100 * (5280 + 3 * 7406) * 1e-9, 1e-12);
  EXPECT_TRUE(a.books.usd_per_hour_used.has_value());
  EXPECT_FALSE(a.sensitivity.provenance.empty());
  EXPECT_NE(run_page(a.input()).find("3 drafts of tinier per round"), std::string::npos);
  const nlohmann::json plain =
      nlohmann::json::parse(result_json(run_it(priced_scenario()).input()));
  EXPECT_TRUE(plain["speculation"].is_null());
}

TEST(Report, RunsAndStoresChangeNoByte) {
  Scenario s = fakes::split_scenario();
  fakes::set(s.system.chips["big"].parameters, "context", 1);
  s.traffic.arrivals = ArrivalKind::Poisson;
  s.traffic.rate = 3e4;
  s.traffic.requests = 60;
  s.traffic.length_spread = 0.4;
  const auto folder = std::filesystem::temp_directory_path() / "tandem_report_test_store";
  std::filesystem::remove_all(folder);
  const Accounted without = run_it(s);
  const Accounted empty = run_it(s, folder.string());
  const Accounted full = run_it(s, folder.string());
  EXPECT_GT(empty.result.store_misses, 0);
  EXPECT_EQ(full.result.store_misses, 0);
  EXPECT_GT(full.result.store_hits, 0);
  EXPECT_GT(full.result.steps_interpolated, 0);
  EXPECT_GT(full.result.audit.steps, 0);
  EXPECT_EQ(comparable_json(empty.input()), comparable_json(without.input()));
  EXPECT_EQ(comparable_json(full.input()), comparable_json(without.input()));
  EXPECT_EQ(requests_csv(full.result), requests_csv(without.result));
  // Corrupt files are as good as none.
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder)) {
    if (file.is_regular_file()) std::filesystem::resize_file(file.path(), 30);
  }
  const Accounted corrupt = run_it(s, folder.string());
  EXPECT_EQ(corrupt.result.store_hits, 0);
  EXPECT_EQ(comparable_json(corrupt.input()), comparable_json(without.input()));
  std::filesystem::remove_all(folder);
}

TEST(Report, CsvHasOneRowPerRequest) {
  const std::string csv = requests_csv(run_it(priced_scenario()).result);
  EXPECT_EQ(csv,
            "id,arrival_s,prompt,output,ttft_ms,tpot_ms,e2e_ms,cached_tokens,preemptions\n"
            "0,0.000000000,32,4,0.005280,0.004040,0.017400,0,0\n");
  RunResult of_user = run_it(priced_scenario()).result;
  of_user.requests[0].session = 7;
  of_user.requests[0].turn = 2;
  EXPECT_NE(requests_csv(of_user).find(",preemptions,priority,session,turn\n"), std::string::npos);
  EXPECT_NE(requests_csv(of_user).find(",0,0,0,7,2\n"), std::string::npos);
}

}  // namespace
}  // namespace tandem
