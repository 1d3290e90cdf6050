// Where bands of power end: by hand, on figures that are given.
#include "sim/account/power_limit.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace tandem {
namespace {

using Factors = std::map<std::string, BandFactor>;

Swing swing(const std::string& parameter, const Factors& figures) {
  return {parameter, 0, 1, "test", "assumed", figures};
}

/// The band of `figure`, of 10, with its value at the limits of power.
BandFactor limited(const std::string& figure, double at_limits, BandFactor band,
                   const std::vector<Swing>& swings = {}) {
  Factors bands = {{figure, band}};
  stop_at_power_limits({{figure, 10}}, {{figure, at_limits}}, swings, bands);
  return bands.at(figure);
}

Parameter watts(double value, std::optional<double> high = {}) {
  Parameter parameter;
  parameter.value = value;
  parameter.high = high;
  return parameter;
}

/// Two chips of 100 W with hosts of 20 to 30 W; one is placed and computes for half of a second, at
/// rest with 40 W.
struct OneChip {
  Scenario scenario;
  RunResult result;
  explicit OneChip(double joules_computing) {
    System& system = scenario.system;
    system.chips["c"].parameters.set("tdp", watts(100));
    system.groups.resize(1);
    system.groups[0].pool = "p";
    system.groups[0].chip = "c";
    system.groups[0].count = 2;
    system.parameters.set("host_power_per_chip.p", watts(20, 30));
    result.simulated_s = 1;
    result.output_tokens = 1;
    PoolUse& pool = result.pools.emplace_back();
    pool.name = pool.pool = "p";
    pool.chip = "c";
    pool.chips = 1;
    pool.busy = 0.5;
    pool.static_power_w = 40;
    pool.totals.activity["hbm_bytes"] = 1;
    pool.energy_per_count_j["hbm_bytes"] = joules_computing;
  }
  [[nodiscard]] std::optional<double> highest_power() const {
    const auto figures = figures_at_power_limits(scenario, RunFigures(result), 1);
    return figures ? std::optional(figures->at("average_power_w")) : std::nullopt;
  }
};

TEST(PowerLimits, AreThoseOfChipsAndTheirHosts) {
  OneChip run(25);
  EXPECT_DOUBLE_EQ(*run.highest_power(), 130);
  // (200 - 2 x 20) / 2 + 20 of a cap on the system; 150 is more than the chip takes.
  run.scenario.system.parameters.set("power_cap", watts(200));
  EXPECT_DOUBLE_EQ(*run.highest_power(), 100);
  run.scenario.system.parameters.set("power_cap", watts(300));
  EXPECT_DOUBLE_EQ(*run.highest_power(), 130);
}

// 10 J that cross links in the second.
TEST(PowerLimits, HoldLinksWithinTheCapToo) {
  OneChip run(25);
  run.scenario.system.links["l"].parameters.set("energy_per_byte", watts(8, 10));
  run.result.links["l"].bytes = Bytes(1);
  EXPECT_DOUBLE_EQ(*run.highest_power(), 140);
  run.scenario.system.parameters.set("power_cap", watts(200));
  EXPECT_DOUBLE_EQ(*run.highest_power(), 100);
}

// 40 W and 35 J in half a second: 110 W at work, 75 W in the mean.
TEST(PowerLimits, AreNoneWhereAChipDoesNotKeepIts) {
  EXPECT_FALSE(OneChip(35).highest_power());
  OneChip without(25);
  without.scenario.system.chips["c"].parameters.set("tdp", watts(0));
  EXPECT_FALSE(without.highest_power());
}

TEST(PowerLimits, EndBandsAbove) {
  const BandFactor power = limited("average_power_w", 12.5, {0.7, 1.6});
  EXPECT_DOUBLE_EQ(power.low, 0.7);
  EXPECT_DOUBLE_EQ(power.high, 1.25);
  EXPECT_DOUBLE_EQ(limited("average_power_w", 12.5, {0.7, 1.2}).high, 1.2);
  // Tokens per second fall with a run's length.
  EXPECT_DOUBLE_EQ(limited("output_tokens_per_s", 8, {0.7, 1.6}).high, 1.6);
  // At its limit already, within what interpolated passes are off.
  EXPECT_DOUBLE_EQ(limited("average_power_w", 9.95, {0.7, 1.6}).high, 1);
}

TEST(PowerLimits, EndTokensPerMegawattBelowWhereTheyEndEnergy) {
  Factors bands = {{"energy_j_per_output_token", {0.7, 1.6}}, {"tokens_per_s_per_mw", {0.5, 1.4}}};
  const Figures base = {{"energy_j_per_output_token", 10}, {"tokens_per_s_per_mw", 1e5}};
  stop_at_power_limits(base, {{"energy_j_per_output_token", 12.5}}, {}, bands);
  EXPECT_DOUBLE_EQ(bands.at("tokens_per_s_per_mw").low, 0.8);
  EXPECT_DOUBLE_EQ(bands.at("tokens_per_s_per_mw").high, 1.4);
}

// Where a run may take for ever, its energy has no end and its power has one.
TEST(PowerLimits, AreOfAnHourAloneWithoutADuration) {
  const OneChip run(25);
  const auto figures = figures_at_power_limits(run.scenario, RunFigures(run.result), {});
  EXPECT_DOUBLE_EQ(figures->at("average_power_w"), 130);
  EXPECT_FALSE(figures->contains("energy_j_per_output_token"));
}

// A meter that reads 30 % more than the model is one at the limit.
TEST(PowerLimits, HoldTheMiddleToo) {
  const BandFactor power = limited("average_power_w", 12.5, {1.26, 1.7, 1.3});
  EXPECT_DOUBLE_EQ(power.high, 1.25);
  EXPECT_DOUBLE_EQ(power.low, 1.25);
}

// Power by +25 % (of +40 %) and the grid by +30 % (of 0.5 = sqrt(0.4^2 + 0.3^2)).
TEST(PowerLimits, LeaveWhatDoesNotMovePower) {
  const Swing grid = swing("prices.carbon", {{"carbon_kg_per_hour", {0.8, 1.3}}});
  const Swing host = swing("system.host_power",
                           {{"average_power_w", {0.6, 1.4}}, {"carbon_kg_per_hour", {0.6, 1.4}}});
  EXPECT_DOUBLE_EQ(limited("carbon_kg_per_hour", 12.5, {0.5, 1.5}, {grid, host}).high,
                   1 + std::hypot(0.25, 0.3));
  EXPECT_DOUBLE_EQ(limited("carbon_kg_per_hour", 15, {0.5, 1.5}, {grid, host}).high, 1.5);
}

}  // namespace
}  // namespace tandem
