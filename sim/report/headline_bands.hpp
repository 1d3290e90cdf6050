// Bands of figures that no factor on them gives: shares of requests within their objectives, and
// margins.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "sim/account/bands.hpp"
#include "sim/account/economics.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/service/run_result.hpp"

namespace tandem {

/// A figure at the two ends of its band.
struct BandEnds {
  double low = 0;
  double high = 0;
};

/// By key of the summary, "slo_attainment" and "goodput_requests_per_s": requests that keep their
/// limits with all latencies at one end of their bands, TTFT and TPOT together; per second at that
/// end of requests_per_s. First order: each request's latency moves by the factor of the mean.
/// Absent without objectives, and where no latency that they limit has a band.
[[nodiscard]] std::map<std::string, BandEnds> slo_bands_of(
    const Scenario& scenario, const RunResult& result,
    const std::map<std::string, BandFactor>& bands);

/// (revenue - cost) / revenue at the ends of `break_even_share`, cost over revenue; nothing where
/// that has no band.
[[nodiscard]] std::optional<BandEnds> margin_band_of(
    const std::string& tier, const TierBooks& books,
    const std::map<std::string, BandFactor>& bands);

}  // namespace tandem
