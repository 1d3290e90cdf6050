#include "sim/account/band_floors.hpp"

#include <algorithm>

namespace tandem {
namespace {

/// Floors of the run's own passes over its times, and the run's length at them over its own.
struct Floors {
  double ttft = 0, tpot = 0, e2e = 0, duration = 0;
};
Floors floors_of(const RunResult& result) {
  double ttft = 0, tpot = 0, rest = 0, rest_floor = 0;
  Floors floors;
  for (const RequestRecord& request : result.requests) {
    const auto gaps = static_cast<double>(std::max<std::int64_t>(0, request.output - 1));
    ttft += request.ttft_ms;
    floors.ttft += request.ttft_floor_ms;
    tpot += request.tpot_ms;
    floors.tpot += request.tpot_floor_ms;
    rest += request.e2e_ms - request.ttft_ms;
    rest_floor += gaps * request.tpot_floor_ms;
  }
  Picoseconds busiest{0};
  for (const PoolUse& pool : result.pools) busiest = std::max(busiest, pool.floor_busy);
  const auto over = [](double floor, double time) { return time > 0 ? floor / time : 0; };
  return {over(floors.ttft, ttft), over(floors.tpot, tpot),
          over(floors.ttft + rest_floor, ttft + rest),
          over(to_seconds(busiest), result.simulated_s)};
}

/// The error of the figure itself, beside that of the times it hangs on.
ErrorFactor own_error(const std::string& figure, const RunErrors& services) {
  if (figure == "average_power_w" || figure == "carbon_kg_per_hour") return services.power;
  if (figure == "energy_j_per_output_token" || figure == "carbon_g_per_m_output_tokens") {
    return services.energy;
  }
  if (figure == "tokens_per_s_per_mw") return {1 / services.energy.bias, services.energy.spread};
  return {};
}

}  // namespace

Figures figures_at_floors(const RunResult& result, const PassTimes& passes) {
  const Floors floors = floors_of(result);
  Figures figures;
  if (floors.duration > 0) figures = passes.lasting(floors.duration);
  if (floors.ttft > 0) figures["ttft_ms"] = floors.ttft;
  if (floors.e2e > 0) figures["e2e_ms"] = floors.e2e;
  if (floors.tpot > 0) {
    figures["tpot_ms"] = floors.tpot;
    figures["itl_ms"] = floors.tpot;
    figures["output_tokens_per_s_per_user"] = 1 / floors.tpot;
  }
  return figures;
}

void stop_at_floors(const BandLimits& limits, std::map<std::string, BandFactor>& bands) {
  for (auto& [figure, band] : bands) {
    const auto floor = limits.at_floors.find(figure);
    if (floor == limits.at_floors.end()) continue;
    const auto found = limits.inputs.find(figure);
    const BandFactor inputs = found == limits.inputs.end() ? BandFactor{} : found->second;
    const ErrorFactor own = own_error(figure, limits.services);
    const double factor = floor->second / limits.base.at(figure) * own.bias;
    if (floor->second < limits.base.at(figure)) {
      band.low = std::max(band.low, std::min(1.0, factor * inputs.low / own.spread));
      band.high = std::max(band.high, band.low);
    } else if (floor->second > limits.base.at(figure)) {
      band.high = std::min(band.high, std::max(1.0, factor * inputs.high * own.spread));
      band.low = std::min(band.low, band.high);
    }
  }
}

}  // namespace tandem
