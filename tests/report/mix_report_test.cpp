// What requests of a mix cost, against the closed forms, and where results say so.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sim/report/page.hpp"
#include "sim/report/result_json.hpp"
#include "sim/report/summary.hpp"
#include "tests/report/priced_scenario.hpp"
#include "tests/service/mix_scenario.hpp"

namespace tandem {
namespace {

using Json = nlohmann::json;
using fakes::priced;

struct Reported {
  Scenario scenario;
  RunResult result;
  Accounting books;
  Json json;
  std::string page;
  std::string csv;
};

Reported report(const Scenario& scenario) {
  Reported r;
  r.scenario = scenario;
  ServiceModel model(r.scenario, fakes::catalogue(), fakes::network(), std::nullopt);
  r.result = model.run(scenario.traffic, {});
  r.books = account(r.scenario, r.result);
  const Sensitivity sensitivity =
      sensitivity_of(r.scenario, model, r.result, fakes::catalogue(), fakes::network());
  const ReportInput input{r.scenario, r.result, r.books, sensitivity};
  r.json = Json::parse(comparable_json(input));
  r.page = run_page(input);
  r.csv = requests_csv(r.result);
  return r;
}

/// USD and joules of a request of one model that does nothing else.
struct Alone {
  double usd = 0;
  double joules = 0;
};
Alone alone(const Scenario& mix, std::size_t deployment) {
  constexpr std::int64_t requests = 10;
  const Reported r = report(fakes::alone(mix, deployment, requests));
  const double usd = *r.books.usd_per_hour_used * r.result.simulated_s / 3600;
  return {usd / requests, r.books.energy_j->total() / requests};
}

double cost(const Reported& r) {
  return r.json["routing"]["usd_per_request"].get<double>();
}

double share_of_strong(const Reported& r) {
  double strong = 0;
  for (const RequestRecord& record : r.result.requests) strong += record.deployment == "strong";
  return strong / static_cast<double>(r.result.requests.size());
}

TEST(MixReport, CostWithoutContentionIsTheClosedForm) {
  for (const RoutingPolicy policy :
       {RoutingPolicy::Share, RoutingPolicy::Threshold, RoutingPolicy::Cascade}) {
    const Scenario s = priced(fakes::mix(policy, 0.7));
    const Reported r = report(s);
    const Alone weak = alone(s, 0), strong = alone(s, 1);
    const double f = share_of_strong(r);
    ASSERT_GT(f, 0.2);
    ASSERT_LT(f, 0.4);
    // Routed (1 - f) c_w + f c_s; a cascade pays f c_w more.
    const double again = policy == RoutingPolicy::Cascade ? f : 0;
    const double usd = (1 - f + again) * weak.usd + f * strong.usd;
    EXPECT_NEAR(cost(r) / usd, 1, 1e-9);
    const Json& own = r.json["deployments"];
    const double joules = (1 - f + again) * own[0]["energy_j_per_request"].get<double>() +
                          f * own[1]["energy_j_per_request"].get<double>();
    EXPECT_NEAR(own[0]["energy_j_per_request"].get<double>() / weak.joules, 1, 1e-9);
    EXPECT_NEAR(own[1]["energy_j_per_request"].get<double>() / strong.joules, 1, 1e-9);
    // Idle chips draw static power, so a request of the run takes more.
    EXPECT_GT(r.books.energy_j->total() / 200, joules);
    EXPECT_GT(r.json["routing"]["usd_per_request_with_idle"].get<double>(), usd);
  }
}

TEST(MixReport, SaysWhatEachModelDid) {
  const Reported r = report(priced(fakes::mix(RoutingPolicy::Cascade, 0.7)));
  const Json& own = r.json["deployments"];
  ASSERT_EQ(own.size(), 2u);
  EXPECT_EQ(own[0]["name"], "weak");
  EXPECT_EQ(own[0]["requests"], 200);
  EXPECT_EQ(own[0]["answers"].get<int>() + own[1]["answers"].get<int>(), 200);
  EXPECT_EQ(own[1]["requests"], own[1]["answers"]);
  EXPECT_EQ(own[0]["input_tokens"], 200 * 32);
  EXPECT_EQ(own[0]["output_tokens"], 200 * 4);
  EXPECT_NEAR(own[0]["ttft_ms"]["p99"].get<double>(), 5280e-6, 1e-12);
  EXPECT_NEAR(own[1]["tpot_ms"]["p50"].get<double>(), 8080e-6, 1e-12);
  EXPECT_NEAR(own[1]["e2e_ms"]["mean"].get<double>(), 34800e-6, 1e-12);
  EXPECT_NEAR(own[0]["occupied"].get<double>() + own[1]["occupied"].get<double>(), 1, 1e-9);
  EXPECT_EQ(r.json["routing"]["policy"], "cascade");
  EXPECT_NEAR(r.json["routing"]["loads"]["strong"]["expected"].get<double>(), 0.3, 1e-12);
  EXPECT_TRUE(r.json["pools"].contains("weak"));
  EXPECT_TRUE(r.json["pools"].contains("strong"));
  EXPECT_NE(r.page.find("tiny + tiny on fake_system"), std::string::npos);
  EXPECT_NE(r.page.find("Models, policy cascade"), std::string::npos);
  EXPECT_NE(r.csv.find(",preemptions,deployment\n"), std::string::npos);
  EXPECT_NE(r.csv.find(",strong\n"), std::string::npos);
}

TEST(MixReport, OfOneModelHasNoDeployments) {
  const Reported r = report(fakes::scenario());
  EXPECT_TRUE(r.json["deployments"].is_null());
  EXPECT_TRUE(r.json["routing"].is_null());
  EXPECT_EQ(r.csv.find("deployment"), std::string::npos);
}

TEST(MixReport, InputsOfEveryModelCount) {
  // The strong model's chips are of another kind: both kinds move the time of a request.
  Scenario s = priced(fakes::mix(RoutingPolicy::Share, 0.5));
  for (PoolPlacement* pool :
       {&s.deployments[1].placement.prefill, &s.deployments[1].placement.decode}) {
    pool->pool = "lpu";
  }
  const Reported r = report(s);
  std::string moved;
  for (const Json& input : r.json["provenance"])
    moved += input["parameter"].get<std::string>() + " ";
  EXPECT_NE(moved.find("chips.big.base"), std::string::npos) << moved;
  EXPECT_NE(moved.find("chips.small.base"), std::string::npos) << moved;
}

TEST(MixReport, TiersDivideTheCostOfTheirChips) {
  const Scenario s = priced(fakes::tiers(RoutingPolicy::Share, 0.6));
  const Reported r = report(s);
  EXPECT_EQ(r.json["pools"].size(), 1u);
  // The chips are never idle: the tiers together cost what the run does, a request of each as much.
  EXPECT_NEAR(cost(r) / r.json["routing"]["usd_per_request_with_idle"].get<double>(), 1, 1e-6);
  const Json& own = r.json["deployments"];
  EXPECT_NEAR(own[0]["usd_per_request"].get<double>() / own[1]["usd_per_request"].get<double>(), 1,
              1e-9);
  EXPECT_FALSE(r.json["provenance"].empty());
}

}  // namespace
}  // namespace tandem
