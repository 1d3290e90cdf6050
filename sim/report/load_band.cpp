#include "sim/report/load_band.hpp"

#include <algorithm>
#include <cmath>

namespace tandem {
namespace {

/// Factors on latencies.
struct Slowness {
  double ttft = 1, tpot = 1;
};

/// The larger p99 over its objective; at most 1: both are kept.
double strain(const Slo& slo, const LoadPoint& point, const Slowness& slowness) {
  double most = 0;
  if (slo.ttft_p99) most = point.ttft_ms.p99 * slowness.ttft / to_milliseconds(*slo.ttft_p99);
  if (slo.tpot_p99) {
    most = std::max(most, point.tpot_ms.p99 * slowness.tpot / to_milliseconds(*slo.tpot_p99));
  }
  return most;
}

/// Whole users up to whom the objectives are kept; nothing where no load tried breaks them.
std::optional<double> most_users(const Slo& slo, const std::vector<LoadPoint>& tried,
                                 const Slowness& slowness) {
  constexpr double rounding = 1e-9;
  double users = 0, kept = 0;
  for (const LoadPoint& point : tried) {
    const double strained = strain(slo, point, slowness);
    if (strained > 1) {
      if (users == 0) return 0;
      return std::floor(users + (point.load - users) * (1 - kept) / (strained - kept) + rounding);
    }
    users = point.load;
    kept = strained;
  }
  return std::nullopt;
}

}  // namespace

LoadBand load_band_of(const Scenario& scenario, double found, const std::vector<LoadPoint>& tried,
                      const std::map<std::string, BandFactor>& bands) {
  const Slo& slo = scenario.slo;
  if (!slo.ttft_p99 && !slo.tpot_p99) return {{}, {}, "no objectives, so latencies move no load"};
  if (scenario.traffic.arrivals != ArrivalKind::Closed || scenario.traffic.has_sessions()) {
    return {{},
            {},
            "not known for arrivals by rate and users who think: their queues move by more "
            "than the band of a latency"};
  }
  const auto band_of = [&](const std::string& key) {
    const auto known = bands.find(key);
    return known == bands.end() ? BandFactor{} : known->second;
  };
  const BandFactor ttft = band_of("ttft_ms"), tpot = band_of("tpot_ms");
  LoadBand band{most_users(slo, tried, {ttft.high, tpot.high}),
                most_users(slo, tried, {ttft.low, tpot.low}),
                {}};
  // Straight lines end where the search did, within its tolerance.
  if (band.low && ttft.high >= 1 && tpot.high >= 1) band.low = std::min(*band.low, found);
  if (band.high && ttft.low <= 1 && tpot.low <= 1) band.high = std::max(*band.high, found);
  // Where memory or the scheduler's slots end the search, latencies move its answer down alone.
  if (!most_users(slo, tried, {})) {
    return {band.low.value_or(found), band.high.value_or(found), {}};
  }
  if (!band.low) {
    band.note =
        "no load tried breaks the objectives, even with latencies at the high end of their bands";
  } else if (!band.high) {
    band.note =
        "the high end is not known: no load tried breaks the objectives with latencies at the low "
        "end of their bands";
  }
  return band;
}

}  // namespace tandem
