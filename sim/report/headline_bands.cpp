#include "sim/report/headline_bands.hpp"

#include "sim/report/summary.hpp"

namespace tandem {
namespace {

BandFactor factor_or_one(const std::map<std::string, BandFactor>& bands, const std::string& key) {
  const auto found = bands.find(key);
  return found == bands.end() ? BandFactor{} : found->second;
}

}  // namespace

std::map<std::string, BandEnds> slo_bands_of(const Scenario& scenario, const RunResult& result,
                                             const std::map<std::string, BandFactor>& bands) {
  const bool has_band = (scenario.slo.ttft_p99 && bands.contains("ttft_ms")) ||
                        (scenario.slo.tpot_p99 && bands.contains("tpot_ms"));
  if (!has_band) return {};
  const BandFactor ttft = factor_or_one(bands, "ttft_ms");
  const BandFactor tpot = factor_or_one(bands, "tpot_ms");
  const BandFactor rate = factor_or_one(bands, "requests_per_s");
  const SloFigures slow = slo_figures_of(scenario.slo, result, {ttft.high, tpot.high});
  const SloFigures fast = slo_figures_of(scenario.slo, result, {ttft.low, tpot.low});
  return {{"slo_attainment", {slow.attainment, fast.attainment}},
          {"goodput_requests_per_s",
           {slow.goodput_requests_per_s * rate.low, fast.goodput_requests_per_s * rate.high}}};
}

std::optional<BandEnds> margin_band_of(const std::string& tier, const TierBooks& books,
                                       const std::map<std::string, BandFactor>& bands) {
  const auto share = bands.find("tiers." + tier + ".break_even_share");
  if (share == bands.end()) return std::nullopt;
  return BandEnds{1 - books.break_even_share * share->second.high,
                  1 - books.break_even_share * share->second.low};
}

}  // namespace tandem
