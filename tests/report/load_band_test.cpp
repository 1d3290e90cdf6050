// Users at the ends of the bands of latencies, by hand.
#include "sim/report/load_band.hpp"

#include <gtest/gtest.h>

namespace tandem {
namespace {
using namespace literals;

using LatencyBands = std::map<std::string, BandFactor>;

Scenario limited_to(std::optional<Picoseconds> ttft, std::optional<Picoseconds> tpot) {
  Scenario scenario;
  scenario.traffic.arrivals = ArrivalKind::Closed;
  scenario.slo = {ttft, tpot};
  return scenario;
}

LoadPoint tried(double users, double ttft_p99, double tpot_p99) {
  LoadPoint point;
  point.load = users;
  point.ttft_ms.p99 = ttft_p99;
  point.tpot_ms.p99 = tpot_p99;
  return point;
}

/// TPOT of 10 ms and one more with each user, first tokens ten times as late.
const std::vector<LoadPoint> tried_loads = {tried(1, 110, 11), tried(2, 120, 12), tried(4, 140, 14),
                                            tried(8, 180, 18), tried(16, 260, 26)};

void expect_ends(const LoadBand& band, std::optional<double> low, std::optional<double> high) {
  EXPECT_EQ(band.low, low);
  EXPECT_EQ(band.high, high);
  EXPECT_EQ(band.note.empty(), low && high);
}

// 20 ms, 10 users: 20 / 1.25 = 16 ms with 6, 20 / 0.8 = 25 ms with 15.
TEST(LoadBand, IsWhereTheP99MeetsItsObjectiveAtTheEndsOfItsBand) {
  const LatencyBands bands = {{"tpot_ms", {0.8, 1.25}}};
  expect_ends(load_band_of(limited_to({}, 20_ms), 10, tried_loads, bands), 6, 15);
  // First tokens without a band hold 4 users, whatever the other band says above.
  expect_ends(load_band_of(limited_to(140_ms, 20_ms), 4, tried_loads, bands), 4, 4);
}

TEST(LoadBand, MovesBothLatenciesTogether) {
  const LatencyBands bands = {{"ttft_ms", {0.5, 1.5}}, {"tpot_ms", {0.8, 1.25}}};
  // 210 / 1.5 = 140 ms with 4 users; 25 ms with 15.
  expect_ends(load_band_of(limited_to(210_ms, 20_ms), 10, tried_loads, bands), 4, 15);
}

TEST(LoadBand, HasNoEndThatTheLoadsTriedDoNotTell) {
  expect_ends(load_band_of(limited_to({}, 20_ms), 10, tried_loads, {{"tpot_ms", {0.5, 1.25}}}), 6,
              {});
  // Nor the lower one where all of the band is above.
  expect_ends(load_band_of(limited_to({}, 25_ms), 15, tried_loads, {{"tpot_ms", {0.5, 0.9}}}), {},
              {});
  // Not even one user at 11 x 2 ms.
  expect_ends(load_band_of(limited_to({}, 20_ms), 10, tried_loads, {{"tpot_ms", {0.8, 2}}}), 0, 15);
}

// 16 users take all slots with 26 ms: 32.5 and 52 ms of 80 are within the objective, 104 are not.
TEST(LoadBand, EndsWhereTheSlotsDo) {
  const Scenario roomy = limited_to({}, 80_ms);
  expect_ends(load_band_of(roomy, 16, tried_loads, {{"tpot_ms", {0.5, 1.25}}}), 16, 16);
  expect_ends(load_band_of(roomy, 16, tried_loads, {{"tpot_ms", {0.5, 4}}}), 10, 16);
}

// A bias beyond the band: 20 ms are 24 at least, and 16.7 with 6 users.
TEST(LoadBand, FollowsABandThatDoesNotHoldTheValue) {
  expect_ends(load_band_of(limited_to({}, 20_ms), 10, tried_loads, {{"tpot_ms", {1.2, 1.25}}}), 6,
              6);
}

TEST(LoadBand, IsThatOfClosedLoopsWithObjectives) {
  const LatencyBands bands = {{"tpot_ms", {0.8, 1.25}}};
  Scenario by_rate = limited_to({}, 20_ms);
  by_rate.traffic.arrivals = ArrivalKind::Poisson;
  expect_ends(load_band_of(by_rate, 10, tried_loads, bands), {}, {});
  expect_ends(load_band_of(limited_to({}, {}), 10, tried_loads, bands), {}, {});
}

}  // namespace
}  // namespace tandem
