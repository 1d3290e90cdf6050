// Carbon, tiers and break-even of a run on fake chips, by hand.
#include "sim/account/economics.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sim/report/page.hpp"
#include "sim/report/result_json.hpp"
#include "tests/report/priced_scenario.hpp"

namespace tandem::economics {
namespace {

/// One chip; 32 prompt and 4 answer tokens in 17400 ns; books of report_test.cpp.
struct Books {
  explicit Books(const Scenario& s) : scenario(s) {
    ServiceModel model(scenario, fakes::catalogue(), fakes::network(), std::nullopt);
    result = model.run(scenario.traffic, {});
    accounting = account(scenario, result);
  }
  [[nodiscard]] Economics economics() const { return economics_of(scenario, result, accounting); }
  Scenario scenario;
  RunResult result;
  Accounting accounting;
  Sensitivity sensitivity = {};
};

Scenario priced_with(const std::map<std::string, double>& more) {
  Scenario s = fakes::priced(fakes::scenario());
  for (const auto& [name, value] : more) fakes::set(s.prices.parameters, name, value);
  return s;
}

constexpr double hours = 17400e-9 / 3600;

TEST(Economics, CarbonIsThatOfThePowerAtTheMeter) {
  const Economics e = Books(priced_with({{"carbon", 400 / 3.6e6}})).economics();
  // 200.008 W x 1.2 = 0.24001 kW, 400 g of each kWh.
  EXPECT_NEAR(*e.carbon_kg_per_hour, 0.24001 * 0.4, 1e-6);
  EXPECT_NEAR(*e.carbon_g_per_m_output_tokens, 0.24001 * 400 * hours / 4e-6, 1e-5);
  EXPECT_FALSE(Books(priced_with({})).economics().carbon_kg_per_hour);
}

TEST(Economics, TiersSellAllTokensAndMarginIsWhatIsLeft) {
  // 32 and 4 millionths of a million tokens at 1000 and 5000 USD: 0.052 USD in 17400 ns.
  const Economics e =
      Books(priced_with({{"tiers.best.input", 1000}, {"tiers.best.output", 5000}})).economics();
  const TierBooks& tier = e.tiers.at("best");
  const double revenue = 0.052 / hours;
  EXPECT_NEAR(tier.revenue_usd_per_hour, revenue, revenue * 1e-9);
  EXPECT_NEAR(tier.margin, 1 - 2.0416 / revenue, 1e-9);
  EXPECT_NEAR(tier.break_even_share, 2.0416 / revenue, 1e-9);
}

TEST(Economics, OwningPaysFromTheUseThatItsCapitalTakesOfTheRentItSaves) {
  const Economics e = Books(priced_with({{"chips.big.rent", 3}})).economics();
  // Capital 2 USD/h whether used or not; an hour of use 0.0416 instead of 3.
  EXPECT_NEAR(*e.usd_per_hour.owned, 2.0416, 1e-4);
  EXPECT_NEAR(*e.usd_per_hour.rented, 3, 1e-12);
  EXPECT_NEAR(*e.usd_per_hour.owning_pays_above, 2 / (3 - 0.0416), 1e-4);
}

TEST(Economics, OwningCostsAsMuchAsRentingAtTheUseFromWhichItPays) {
  // Half of the hours in use: 4 USD of capital for each, from the same share on.
  const HourlyCosts half =
      Books(priced_with({{"chips.big.rent", 3}, {"utilisation", 0.5}})).economics().usd_per_hour;
  EXPECT_NEAR(*half.owned, 4.0416, 1e-4);
  EXPECT_NEAR(*half.owning_pays_above, 2 / (3 - 0.0416), 1e-4);
  const HourlyCosts there =
      Books(priced_with({{"chips.big.rent", 3}, {"utilisation", *half.owning_pays_above}}))
          .economics()
          .usd_per_hour;
  EXPECT_NEAR(*there.owned, *there.rented, 1e-9);
  EXPECT_NEAR(*there.owning_pays_above, *half.owning_pays_above, 1e-9);
}

TEST(Economics, RunningPaysFromTheLoadAtWhichBoughtTokensCostAsMuch) {
  const Economics e =
      Books(priced_with({{"purchase.input", 1000}, {"purchase.output", 5000}})).economics();
  EXPECT_NEAR(*e.usd_per_hour.purchase, 0.052 / hours, 1);
  EXPECT_NEAR(*e.usd_per_hour.running_pays_above, 2.0416 * hours / 0.052, 1e-9);
}

TEST(Economics, HoursOfLoadingCostLikeHoursOfService) {
  const Books plain(priced_with({}));
  const Books loading(priced_with({{"load_time", 7200}, {"loads_per_day", 3}}));
  // A quarter of the day.
  EXPECT_NEAR(*loading.accounting.usd_per_hour_used, *plain.accounting.usd_per_hour_used / 0.75,
              1e-12);
  EXPECT_NEAR(*loading.accounting.usd_per_hour, *plain.accounting.usd_per_hour / 0.75, 1e-12);
}

TEST(Economics, ChipsInUseCostNoMoreThanTheirSystem) {
  // A system of one chip, which is placed.
  Scenario s = priced_with({{"load_time", 7200}, {"loads_per_day", 3}});
  s.system.groups.resize(1);
  s.system.groups.front().count = 1;
  const Books books(s);
  double parts = 0;
  for (const auto& [part, usd] : books.accounting.usd_per_hour_by_component) parts += usd;
  EXPECT_NEAR(parts, *books.accounting.usd_per_hour_used, 1e-12);
  EXPECT_NEAR(*books.accounting.usd_per_hour_used, *books.accounting.usd_per_hour, 1e-12);
}

TEST(Economics, StandBesideTheSummary) {
  const Books books(priced_with({{"carbon", 400 / 3.6e6},
                                 {"chips.big.rent", 3},
                                 {"tiers.best.input", 1000},
                                 {"tiers.best.output", 5000}}));
  const ReportInput input{books.scenario, books.result, books.accounting, books.sensitivity};
  const auto json = nlohmann::json::parse(comparable_json(input)).at("economics");
  EXPECT_NEAR(json.at("carbon_kg_per_hour").get<double>(), 0.096, 1e-4);
  EXPECT_NEAR(json.at("rented_usd_per_hour").get<double>(), 3, 1e-12);
  EXPECT_TRUE(json.at("tiers").contains("best"));
  EXPECT_TRUE(json.at("purchase_usd_per_hour").is_null());
  const std::string page = run_page(input);
  EXPECT_NE(page.find("g CO2 per M output tokens"), std::string::npos);
  EXPECT_NE(page.find("owning pays above"), std::string::npos);
}

/// What the result and the page say of such prices or limits, the page without its line end.
std::vector<std::string> warned(const Books& books) {
  const ReportInput input{books.scenario, books.result, books.accounting, books.sensitivity};
  const auto warnings =
      nlohmann::json::parse(result_json(input))["warnings"].get<std::vector<std::string>>();
  for (const std::string& warning : warnings) {
    EXPECT_NE(run_page(input).find("\n  " + warning + "\n"), std::string::npos) << warning;
  }
  return warnings;
}

TEST(Warnings, RentAndOwningAreNotMixedWithoutAWord) {
  EXPECT_EQ(warned(Books(priced_with({}))).size(), 0U);
  EXPECT_EQ(warned(Books(priced_with({{"chips.big.rent", 3}, {"chips.small.rent", 1}}))).size(),
            0U);
  const auto chips = warned(Books(priced_with({{"chips.big.rent", 3}})));
  ASSERT_EQ(chips.size(), 1U);
  EXPECT_NE(chips.front().find("have a rent of big and none of small"), std::string::npos);
  const Scenario whole = priced_with({});
  const auto system = warned(Books(priced_with({{"systems." + whole.system.name + ".rent", 9}})));
  ASSERT_EQ(system.size(), 1U);
  EXPECT_NE(system.front().find("as rented and its chips as owned"), std::string::npos);
}

TEST(Warnings, NameThePowerThatTheLowestClockDraws) {
  // 100 W at rest and 140 nJ over some 9 us of work: little more than 100 W, whatever its limit.
  Scenario s = priced_with({});
  fakes::set(s.system.parameters, "power_cap", 3000);
  fakes::set(s.system.chips.at("big").parameters, "tdp", 200);
  EXPECT_EQ(warned(Books(s)).size(), 0U);
  fakes::set(s.system.chips.at("big").parameters, "tdp", 90);
  const auto warnings = warned(Books(s));
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings.front().find("does not keep a chip's share of power_cap 3000 W: big of pool"),
            std::string::npos);
  // With the host's 1600 W / 16 chips.
  EXPECT_NE(warnings.front().find("100 W at work with a share of 90 W; 1 chips placed with their "
                                  "hosts draw 200 W at work"),
            std::string::npos)
      << warnings.front();
}

TEST(Warnings, OfOnePoolDoNotHangOnTheLimitsOfAnother) {
  Scenario s = fakes::priced(fakes::split_scenario());
  fakes::set(s.system.parameters, "power_cap", 3000);
  ASSERT_FALSE(s.system.chips.at("big").parameters.has("tdp"));
  fakes::set(s.system.chips.at("small").parameters, "tdp", 90);
  const auto warnings = warned(Books(s));
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings.front().find("power_cap 3000 W: small of pool"), std::string::npos)
      << warnings.front();
}

TEST(Warnings, AreAllToldInTheirOrder) {
  Scenario s = priced_with({{"chips.big.rent", 3}});
  fakes::set(s.prices.parameters, "systems." + s.system.name + ".rent", 9);
  fakes::set(s.system.parameters, "power_cap", 3000);
  fakes::set(s.system.chips.at("big").parameters, "tdp", 90);
  const auto warnings = warned(Books(s));
  ASSERT_EQ(warnings.size(), 3U);
  EXPECT_NE(warnings[0].find("have a rent of big and none of small"), std::string::npos);
  EXPECT_NE(warnings[1].find("as rented and its chips as owned"), std::string::npos);
  EXPECT_NE(warnings[2].find("does not keep a chip's share of power_cap"), std::string::npos);
}

}  // namespace
}  // namespace tandem::economics
