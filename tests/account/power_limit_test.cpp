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

TEST(PowerLimits, EndBandsAbove) {
  const BandFactor power = limited("average_power_w", 12.5, {0.7, 1.6});
  EXPECT_DOUBLE_EQ(power.low, 0.7);
  EXPECT_DOUBLE_EQ(power.high, 1.25);
  EXPECT_DOUBLE_EQ(limited("average_power_w", 12.5, {0.7, 1.2}).high, 1.2);
  // Tokens per megawatt fall with power.
  EXPECT_DOUBLE_EQ(limited("tokens_per_s_per_mw", 8, {0.7, 1.6}).high, 1.6);
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
