// Bands of attainment, goodput and margins, by hand.
#include "sim/report/headline_bands.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sim/report/page.hpp"
#include "sim/report/result_json.hpp"
#include "tests/report/priced_scenario.hpp"

namespace tandem {
namespace {

using Factors = std::map<std::string, BandFactor>;

/// Five requests in ten seconds: first tokens after 100 to 500 ms, gaps of 50 down to 10 ms.
RunResult five_requests() {
  RunResult result;
  result.simulated_s = 10;
  for (int i = 1; i <= 5; ++i) {
    RequestRecord request;
    request.output = 2;
    request.ttft_ms = 100 * i;
    request.tpot_ms = 60 - 10 * i;
    result.requests.push_back(request);
  }
  return result;
}

Scenario held_to(std::optional<double> ttft_ms, std::optional<double> tpot_ms) {
  Scenario scenario;
  if (ttft_ms) scenario.slo.ttft_p99 = from_seconds(*ttft_ms / 1e3);
  if (tpot_ms) scenario.slo.tpot_p99 = from_seconds(*tpot_ms / 1e3);
  return scenario;
}

TEST(SloBands, CountRequestsAtTheEndsOfTheirLatencies) {
  // 350 ms: 1 to 3 keep it; half as long all five; half as long again 100 and 200.
  const Factors factors = {{"ttft_ms", {0.5, 1.5}}};
  const auto bands = slo_bands_of(held_to(350, {}), five_requests(), factors);
  EXPECT_DOUBLE_EQ(bands.at("slo_attainment").low, 0.4);
  EXPECT_DOUBLE_EQ(bands.at("slo_attainment").high, 1);
  EXPECT_DOUBLE_EQ(bands.at("goodput_requests_per_s").low, 0.2);
  EXPECT_DOUBLE_EQ(bands.at("goodput_requests_per_s").high, 0.5);
}

TEST(SloBands, TakeBothObjectivesAtOneEnd) {
  // 350 and 35 ms: only the third keeps both. At the low ends (0.75: 75 to 375 ms; 0.8: 40 to 8 ms)
  // 2 to 4; at the high ends the first two keep the one and the last two the other.
  const Factors factors = {{"ttft_ms", {0.75, 1.5}}, {"tpot_ms", {0.8, 1.25}}};
  const auto bands = slo_bands_of(held_to(350, 35), five_requests(), factors);
  EXPECT_DOUBLE_EQ(bands.at("slo_attainment").low, 0);
  EXPECT_DOUBLE_EQ(bands.at("slo_attainment").high, 0.6);
}

TEST(SloBands, OfGoodputTakeTheRateAtThatEnd) {
  const Factors factors = {{"tpot_ms", {0.8, 1.25}}, {"requests_per_s", {0.8, 1.3}}};
  // 35 ms: 3 to 5, of 0.8 times as long 2 to 5, of 1.25 times 4 and 5 (25 ms).
  const auto bands = slo_bands_of(held_to({}, 35), five_requests(), factors);
  EXPECT_DOUBLE_EQ(bands.at("goodput_requests_per_s").low, 0.2 * 0.8);
  EXPECT_DOUBLE_EQ(bands.at("goodput_requests_per_s").high, 0.4 * 1.3);
}

TEST(SloBands, NeedAnObjectiveOfALatencyThatHasABand) {
  const Factors factors = {{"ttft_ms", {0.5, 1.5}}};
  EXPECT_TRUE(slo_bands_of(held_to({}, 35), five_requests(), factors).empty());
  EXPECT_TRUE(slo_bands_of(held_to({}, {}), five_requests(), factors).empty());
  EXPECT_TRUE(slo_bands_of(held_to(350, {}), five_requests(), {}).empty());
}

struct Served {
  explicit Served(const Scenario& s) : scenario(s) {
    ServiceModel model(scenario, fakes::catalogue(), fakes::network(), std::nullopt);
    result = model.run(scenario.traffic, {});
    books = account(scenario, result);
    sensitivity = sensitivity_of(scenario, model, result, fakes::catalogue(), fakes::network());
  }
  [[nodiscard]] ReportInput input() const { return {scenario, result, books, sensitivity}; }
  Scenario scenario;
  RunResult result;
  Accounting books;
  Sensitivity sensitivity;
};

/// A parameter with a range.
void set_range(ParameterSet& parameters, const std::string& name, double value, double low,
               double high) {
  fakes::set(parameters, name, value);
  Parameter parameter = parameters.at(name);
  parameter.source = "test";
  parameter.low = low;
  parameter.high = high;
  parameters.set(name, parameter);
}

// 32 prompt and 4 answer tokens in 17400 ns at 400 and 2000 USD per million million, the latter
// within 1000 and 4000: 4.30 USD/h within 42/52 and 72/52 of it, where 2.0416 are paid.
TEST(EconomicsBands, FollowPricesOfTokensAndCosts) {
  Scenario s = fakes::priced(fakes::scenario());
  fakes::set(s.prices.parameters, "tiers.best.input", 4e-4);
  set_range(s.prices.parameters, "tiers.best.output", 2e-3, 1e-3, 4e-3);
  const Served served(s);
  const auto json = nlohmann::json::parse(comparable_json(served.input()));
  const nlohmann::json& tier = json["economics"]["tiers"]["best"];
  const nlohmann::json& band = json["bands"]["economics"]["tiers"]["best"];
  const double revenue = tier["revenue_usd_per_hour"], share = tier["break_even_share"];
  EXPECT_NEAR(band["revenue_usd_per_hour"][0].get<double>(), revenue * 42 / 52, 1e-9 * revenue);
  EXPECT_NEAR(band["revenue_usd_per_hour"][1].get<double>(), revenue * 72 / 52, 1e-9 * revenue);
  EXPECT_NEAR(band["break_even_share"][0].get<double>(), share * 52 / 72, 1e-9 * share);
  EXPECT_NEAR(band["break_even_share"][1].get<double>(), share * 52 / 42, 1e-9 * share);
  EXPECT_NEAR(band["margin"][0].get<double>(), 1 - share * 52 / 42, 1e-12);
  EXPECT_NEAR(band["margin"][1].get<double>(), 1 - share * 52 / 72, 1e-12);
  EXPECT_TRUE(json["bands"]["economics"]["rented_usd_per_hour"].is_null());
  EXPECT_NE(run_page(served.input()).find("  margin 53 % [41, 66], pays from 47 %"),
            std::string::npos);
}

// Capital of 20,000 within 10,000 and 40,000 USD: 1.0416 or 4.0416 USD/h instead of 2.0416;
// rent of 5 beside 0.0416 of power and hosting.
TEST(EconomicsBands, OfBreakEvenAreThoseOfOwningAndRenting) {
  Scenario s = fakes::priced(fakes::scenario());
  set_range(s.prices.parameters, "chips.big.capital", 20000, 10000, 40000);
  fakes::set(s.prices.parameters, "chips.big.rent", 5);
  const Served served(s);
  const auto json = nlohmann::json::parse(comparable_json(served.input()));
  const nlohmann::json& band = json["bands"]["economics"];
  EXPECT_NEAR(band["owned_usd_per_hour"][0].get<double>(), 1.0416, 1e-4);
  EXPECT_NEAR(band["owned_usd_per_hour"][1].get<double>(), 4.0416, 1e-4);
  EXPECT_NEAR(band["owning_pays_above"][0].get<double>(), 1 / (5 - 0.0416), 1e-4);
  EXPECT_NEAR(band["owning_pays_above"][1].get<double>(), 4 / (5 - 0.0416), 1e-4);
}

// A pass that may take longer moves the run's tokens per hour, and with them what they fetch.
TEST(EconomicsBands, FollowThroughput) {
  Scenario s = fakes::priced(fakes::scenario());
  fakes::set(s.prices.parameters, "tiers.best.output", 2e-3);
  fakes::set(s.prices.parameters, "purchase.output", 1e-3);
  ParameterSet& chip = s.system.chips.at("big").parameters;
  set_range(chip, "base", chip.value("base"), 0.5 * chip.value("base"), 1.5 * chip.value("base"));
  const Served served(s);
  const auto json = nlohmann::json::parse(comparable_json(served.input()));
  const nlohmann::json& rate = json["bands"]["output_tokens_per_s"];
  const double tokens = json["summary"]["output_tokens_per_s"];
  ASSERT_LT(rate[0].get<double>(), 0.8 * tokens);
  const auto expect_like_the_rate = [&](const nlohmann::json& band, double value) {
    for (const int end : {0, 1}) {
      EXPECT_NEAR(band[end].get<double>() / value, rate[end].get<double>() / tokens, 1e-9);
    }
  };
  const nlohmann::json& economics = json["economics"];
  const nlohmann::json& bands = json["bands"]["economics"];
  expect_like_the_rate(bands["tiers"]["best"]["revenue_usd_per_hour"],
                       economics["tiers"]["best"]["revenue_usd_per_hour"]);
  expect_like_the_rate(bands["purchase_usd_per_hour"], economics["purchase_usd_per_hour"]);
}

}  // namespace
}  // namespace tandem
