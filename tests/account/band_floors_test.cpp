// Where bands end: by hand, on figures that are given.
#include "sim/account/band_floors.hpp"

#include <gtest/gtest.h>

namespace tandem {
namespace {

using Factors = std::map<std::string, BandFactor>;

/// The band of `figure`, of 10, where floors allow `at_floor`.
BandFactor stopped(const std::string& figure, double at_floor, BandFactor band,
                   const Factors& inputs = {}, const RunErrors& services = {}) {
  const Figures base = {{figure, 10}};
  const Figures at_floors = {{figure, at_floor}};
  Factors bands = {{figure, band}};
  stop_at_floors({base, at_floors, inputs, services}, bands);
  return bands.at(figure);
}

TEST(BandFloors, EndWhatFallsBelowAndWhatRisesAbove) {
  // 8 of 10 is as little as floors allow; 12.5 of 10 as much.
  const BandFactor cost = stopped("usd_per_m_total_tokens", 8, {0.5, 1.6});
  EXPECT_DOUBLE_EQ(cost.low, 0.8);
  EXPECT_DOUBLE_EQ(cost.high, 1.6);
  const BandFactor revenue = stopped("tiers.best.revenue_usd_per_hour", 12.5, {0.5, 1.6});
  EXPECT_DOUBLE_EQ(revenue.low, 0.5);
  EXPECT_DOUBLE_EQ(revenue.high, 1.25);
  EXPECT_DOUBLE_EQ(stopped("usd_per_hour", 10, {0.5, 1.6}).low, 0.5);
  EXPECT_DOUBLE_EQ(stopped("usd_per_m_total_tokens", 8, {0.9, 1.6}).low, 0.9);
}

TEST(BandFloors, MoveWithTheInputs) {
  // A price of three quarters at the low end: 0.8 x 0.75.
  const Factors price = {{"usd_per_m_total_tokens", {0.75, 1.5}}};
  EXPECT_DOUBLE_EQ(stopped("usd_per_m_total_tokens", 8, {0.5, 1.6}, price).low, 0.6);
  const Factors rate = {{"output_tokens_per_s", {0.9, 1.1}}};
  EXPECT_DOUBLE_EQ(stopped("output_tokens_per_s", 12.5, {0.5, 1.6}, rate).high, 1.375);
}

TEST(BandFloors, LeaveTheErrorsOfEnergyItself) {
  RunErrors services;
  services.energy = {1.1, 1.25};
  // 0.8 x 1.1 / 1.25; tokens per joule 1.25 / 1.1 x 1.25.
  EXPECT_DOUBLE_EQ(stopped("energy_j_per_output_token", 8, {0.5, 1.6}, {}, services).low, 0.704);
  EXPECT_DOUBLE_EQ(stopped("tokens_per_s_per_mw", 12.5, {0.5, 1.6}, {}, services).high,
                   1.25 / 1.1 * 1.25);
}

}  // namespace
}  // namespace tandem
