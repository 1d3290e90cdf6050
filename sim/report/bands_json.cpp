#include "sim/report/bands_json.hpp"

#include "sim/report/headline_bands.hpp"

namespace tandem {
namespace {

using Factors = std::map<std::string, BandFactor>;

Json band_of(const Json& value, const BandFactor& factor) {
  if (value.is_object()) {
    Json bands = Json::object();
    for (const auto& [key, inner] : value.items()) bands[key] = band_of(inner, factor);
    return bands;
  }
  if (!value.is_number()) return nullptr;
  const double number = value.get<double>();
  return Json::array({number * factor.low, number * factor.high});
}

Json band_of(const Json& value, const std::string& key, const Factors& factors) {
  const auto found = factors.find(key);
  return found == factors.end() ? Json(nullptr) : band_of(value, found->second);
}

/// Of one tier of the price book.
Json tier_bands(const std::string& name, const Json& tier, const Factors& factors) {
  Json bands = Json::object();
  for (const auto& [key, value] : tier.items()) {
    bands[key] = band_of(value, "tiers." + name + "." + key, factors);
  }
  const TierBooks books{tier["revenue_usd_per_hour"].get<double>(), tier["margin"].get<double>(),
                        tier["break_even_share"].get<double>()};
  if (const auto margin = margin_band_of(name, books, factors)) {
    bands["margin"] = {margin->low, margin->high};
  }
  return bands;
}

Json economics_bands(const Json& economics, const Factors& factors) {
  Json bands = Json::object();
  for (const auto& [key, value] : economics.items()) {
    if (key != "tiers") {
      bands[key] = band_of(value, key, factors);
      continue;
    }
    bands[key] = Json::object();
    for (const auto& [name, tier] : value.items()) {
      bands[key][name] = tier_bands(name, tier, factors);
    }
  }
  return bands;
}

}  // namespace

Json bands_json(const ReportInput& input, const Json& summary, const Json& economics) {
  const Factors& factors = input.sensitivity.bands.all;
  Json bands = Json::object();
  for (const auto& [key, value] : summary.items()) bands[key] = band_of(value, key, factors);
  for (const auto& [key, ends] : slo_bands_of(input.scenario, input.result, factors)) {
    bands[key] = {ends.low, ends.high};
  }
  bands["economics"] = economics_bands(economics, factors);
  return bands;
}

}  // namespace tandem
