// Bands against runs: what the arithmetic of one input says beside the same runs simulated again
// with that input at the ends of its range; floors; throughput without spare capacity; carbon.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "sim/entry/api.hpp"
#include "sim/entry/context.hpp"

namespace tandem::entry::bands {
namespace {

using Json = nlohmann::ordered_json;

struct Answer {
  Json result;
  Json swings;
};

constexpr const char* bandwidth =
    "{value: 3.35 TB/s, source: nvidia-h100-datasheet, basis: datasheet, range: [3.2 TB/s, 3.5 "
    "TB/s]}";

Answer run(const std::string& scenario, const std::vector<Override>& changes,
           const std::string& fidelity = "cycle") {
  RunRequest request;
  request.fidelity = fidelity;
  request.scenario = scenario;
  request.overrides = changes;
  request.with_swings = true;
  const RunAnswer answer = run_scenario(make_context(), request);
  return {Json::parse(answer.json), Json::parse(answer.swings)};
}

/// Llama 3.1 8B on an H100, four users that wait for their answers.
Answer closed_loop(const std::vector<Override>& changes) {
  std::vector<Override> all = {
      {"traffic.requests", "24"}, {"traffic.concurrency", "4"}, {"traffic.output_tokens", "64"}};
  all.insert(all.end(), changes.begin(), changes.end());
  return run("llama8b_gpu", all);
}

double figure(const Answer& answer, const std::string& key) {
  const Json& value = answer.result["summary"][key];
  return value.is_object() ? value["mean"].get<double>() : value.get<double>();
}

/// The swing of an input: by figure, least and largest over the figure's value.
Json swing_of(const Answer& answer, const std::string& parameter) {
  for (const Json& swing : answer.swings) {
    if (swing["parameter"] == parameter) return swing["figures"];
  }
  ADD_FAILURE() << "no swing of " << parameter;
  return {};
}

/// An input, the ends of its range as `--set` has them, and what share of its effect first order
/// may miss.
struct Input {
  std::string parameter;
  std::string path;
  std::string low, high;
  double missed = 0;
};

void expect_swing_of_runs(const Input& input, const Answer& base) {
  const Json swing = swing_of(base, input.parameter);
  const Answer ends[] = {closed_loop({{input.path, input.low}}),
                         closed_loop({{input.path, input.high}})};
  for (const char* key : {"tpot_ms", "e2e_ms", "output_tokens_per_s", "energy_j_per_output_token",
                          "usd_per_m_total_tokens"}) {
    const double one = figure(ends[0], key) / figure(base, key);
    const double other = figure(ends[1], key) / figure(base, key);
    const auto expect_end = [&](const Json& said, double ran) {
      const double effect = std::abs(said.get<double>() - 1);
      constexpr double rounding = 2e-3;  // of interpolated passes
      EXPECT_NEAR(said.get<double>(), ran, input.missed * effect + effect * effect + rounding)
          << input.parameter << " " << key;
    };
    expect_end(swing[key][0], std::min({1.0, one, other}));
    expect_end(swing[key][1], std::max({1.0, one, other}));
  }
}

// Power of hosts and prices move no time: exact. A step's overhead is in each pass: times are
// exact, the run's length is taken to change as the mean request's time does, which its first and
// last rounds miss by a tenth. Bandwidth acts on all of a kernel's time as it does on its floor:
// what passes take beyond their floors is missed.
TEST(Bands, OfOneInputAreThoseOfRunsAtTheEndsOfItsRange) {
  const Answer base = closed_loop({{"system.chips.h100_sxm.hbm_bandwidth", bandwidth}});
  const double beyond_floor =
      1 - base.result["bounds"]["tpot_ms"].get<double>() / figure(base, "tpot_ms");
  ASSERT_LT(beyond_floor, 0.35);
  expect_swing_of_runs(
      {"system.host_power_per_chip.gpu", "system.host_power_per_chip.gpu", "250 W", "575 W"}, base);
  expect_swing_of_runs({"software.step_overhead", "software.step_overhead", "0 s", "500 us", 0.1},
                       base);
  expect_swing_of_runs({"chips.h100_sxm.hbm_bandwidth", "system.chips.h100_sxm.hbm_bandwidth",
                        "3.2 TB/s", "3.5 TB/s", beyond_floor},
                       base);
}

// The errors of kernels and of an engine reach below the floor of this run's first tokens.
TEST(Bands, OfTimesStopAtTheFloor) {
  const Answer base = closed_loop({});
  const Json& bands = base.result["bands"];
  const Json& floors = base.result["bounds"];
  const double floor = floors["ttft_ms"].get<double>();
  EXPECT_NEAR(bands["ttft_ms"]["mean"][0].get<double>(), floor, 1e-9 * floor);
  EXPECT_GE(bands["tpot_ms"]["mean"][0].get<double>(), floors["tpot_ms"].get<double>());
  EXPECT_LE(bands["output_tokens_per_s"][1].get<double>(),
            floors["output_tokens_per_s"].get<double>() * (1 + 1e-9));
}

// 550 W of the chip and 575 W of its host at the top of their range; a cap on both, also one that
// the lowest clock does not keep, as the warning says.
TEST(Bands, OfPowerStopAtItsLimits) {
  const auto highest = [](const Answer& answer) {
    return answer.result["bands"]["average_power_w"][1].get<double>();
  };
  EXPECT_NEAR(highest(closed_loop({{"system.chips.h100_sxm.tdp", "550 W"}})), 1125, 1e-6);
  const Override cap{"system.power_cap", "600 W"};
  EXPECT_NEAR(highest(closed_loop({cap})), 600, 1e-6);
  const Answer exceeding = closed_loop({cap, {"system.chips.h100_sxm.energy_hbm_byte", "400 pJ"}});
  ASSERT_FALSE(exceeding.result["warnings"].empty());
  EXPECT_GT(highest(exceeding), 1.1 * figure(exceeding, "average_power_w"));
}

// Two constants that nobody knows leave throughput no lower end: then a run may draw any energy.
TEST(Bands, OfEnergyGrowWithWhatIsNotKnown) {
  const auto highest = [](const Answer& answer, const char* figure) {
    return answer.result["bands"][figure][1].get<double>();
  };
  const Override step{"software.step_overhead",
                      "{value: 1 ms, source: command-line, basis: assumed, range: [0 ms, 100 ms]}"};
  const Override sequence{
      "software.sequence_overhead",
      "{value: 0.1 ms, source: command-line, basis: assumed, range: [0 ms, 10 ms]}"};
  const Answer one = closed_loop({step}), both = closed_loop({step, sequence});
  ASSERT_EQ(both.result["bands"]["output_tokens_per_s"][0], 0);
  for (const char* figure : {"energy_j_per_output_token", "usd_per_m_output_tokens"}) {
    EXPECT_GE(highest(both, figure), 0.9 * highest(one, figure)) << figure;
  }
  EXPECT_LE(highest(both, "average_power_w"), 700 + 575);
}

// By the floors: bandwidth by -4.5 and +4.5 % is all that has a range and moves passes of decodes.
TEST(Bands, OfThroughputNeedUsersThatWaitOrAQueueThatGrows) {
  const auto poisson = [](const char* rate) {
    return run("llama8b_poisson",
               {{"traffic.requests", "120"},
                {"traffic.prompt_tokens", "16"},
                {"traffic.output_tokens", "32"},
                {"traffic.rate", rate},
                {"system.chips.h100_sxm.hbm_bandwidth", bandwidth}},
               "analytical")
        .result;
  };
  const Json settled = poisson("4 req/s");
  EXPECT_FALSE(settled["backlog"]["saturated"]);
  EXPECT_TRUE(settled["bands"]["output_tokens_per_s"].is_null());
  EXPECT_FALSE(settled["bands"]["tpot_ms"].is_null());
  const Json growing = poisson("20000 req/s");
  ASSERT_TRUE(growing["backlog"]["saturated"]);
  const double value = growing["summary"]["output_tokens_per_s"];
  EXPECT_NEAR(growing["bands"]["output_tokens_per_s"][0].get<double>(), 0.955 * value,
              0.02 * value);
  EXPECT_NEAR(growing["bands"]["output_tokens_per_s"][1].get<double>(), 1.045 * value,
              0.02 * value);
}

// Capital and its spares cost twice as much where half of the hours serve; 14 % a year over four
// years in 48 payments of 0.0116667 / (1 - 1.0116667^-48) = 0.0273265 each: 1.31167 of it.
TEST(Bands, OfMoneyKnowIdleHoursAndInterest) {
  const Answer base = closed_loop({});
  const double capital = base.result["usd_per_hour_by_component"]["capital"].get<double>() /
                         figure(base, "usd_per_hour_used");
  const auto expect_swing = [&](const char* parameter, double factor) {
    const Json ends = swing_of(base, parameter)["usd_per_hour_used"];
    EXPECT_NEAR(ends[0].get<double>(), 1, 1e-12) << parameter;
    EXPECT_NEAR(ends[1].get<double>(), 1 + (factor - 1) * capital, 1e-4) << parameter;
  };
  expect_swing("prices.utilisation", 2);
  expect_swing("prices.interest", 1.31167);
}

TEST(Bands, OfCarbonAreThoseOfEnergyAndOfTheGrid) {
  const Answer base = closed_loop({{"prices.carbon",
                                    "{value: 400 g/kWh, source: command-line, basis: assumed, "
                                    "range: [300 g/kWh, 600 g/kWh]}"}});
  const char* carbon = "carbon_g_per_m_output_tokens";
  const auto expect_ends = [&](const Answer& answer, double low, double high) {
    const Json ends = swing_of(answer, "prices.carbon")[carbon];
    EXPECT_NEAR(ends[0].get<double>(), low, 1e-12);
    EXPECT_NEAR(ends[1].get<double>(), high, 1e-12);
  };
  expect_ends(base, 0.75, 1.5);
  const auto grid = [](const char* value, const char* range) {
    return closed_loop(
        {{"prices.carbon",
          fmt::format("{{value: {} g/kWh, source: command-line, basis: assumed, range: "
                      "{}}}",
                      value, range)}});
  };
  expect_ends(grid("400", "[0 g/kWh, 600 g/kWh]"), 0, 1.5);
  const Answer clean = grid("0", "[0 g/kWh, 600 g/kWh]");
  EXPECT_TRUE(clean.result["bands"]["economics"][carbon].is_null());
  EXPECT_TRUE(swing_of(clean, "prices.carbon")[carbon].is_null());
  const Json hosts = swing_of(base, "system.host_power_per_chip.gpu");
  EXPECT_NEAR(hosts[carbon][1].get<double>(), hosts["energy_j_per_output_token"][1].get<double>(),
              1e-12);
  const Json band = base.result["bands"]["economics"][carbon];
  const double value = base.result["economics"][carbon];
  const Json energy = base.result["bands"]["energy_j_per_output_token"];
  // Wider than energy's by the grid's.
  EXPECT_LT(band[0].get<double>() / value,
            energy[0].get<double>() / figure(base, "energy_j_per_output_token"));
  EXPECT_GT(band[1].get<double>() / value,
            energy[1].get<double>() / figure(base, "energy_j_per_output_token"));
}

}  // namespace
}  // namespace tandem::entry::bands
