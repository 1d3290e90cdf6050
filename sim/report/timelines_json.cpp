#include "sim/report/timelines_json.hpp"

#include <algorithm>

#include "sim/service/occupancy.hpp"

namespace tandem {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t bins = 50;
constexpr int indent = 2;

Json pool_json(const PoolUse& pool, Picoseconds start, Picoseconds end) {
  const OccupancyBins held = in_bins(pool.occupancy, start, end, bins);
  return {{"kv_unit", pool.has_slots ? "slots" : "blocks"},
          {"kv_capacity", pool.kv_capacity},
          {"waiting", held.waiting},
          {"waiting_peak", held.waiting_peak},
          {"running", held.running},
          {"running_peak", held.running_peak},
          {"kv", held.kv},
          {"kv_peak", held.kv_peak}};
}

}  // namespace

nlohmann::ordered_json timelines_json(const RunResult& result) {
  if (result.requests.empty() || result.simulated_s <= 0) return nullptr;
  const auto first = std::ranges::min_element(result.requests, {}, &RequestRecord::arrival_s);
  const double bin_s = result.simulated_s / static_cast<double>(bins);
  const Picoseconds start = from_seconds(first->arrival_s);
  const Picoseconds end = start + from_seconds(result.simulated_s);
  Json rates = Json::array();
  for (const std::int64_t tokens : in_bins(result.bursts, start, end, bins)) {
    rates.push_back(static_cast<double>(tokens) / bin_s);
  }
  Json pools = Json::object();
  for (const PoolUse& pool : result.pools) {
    if (pool.kv_capacity > 0) pools[pool.name] = pool_json(pool, start, end);
  }
  return {{"start_s", first->arrival_s},
          {"bin_s", bin_s},
          {"output_tokens_per_s", rates},
          {"pools", pools}};
}

std::string text_of(const nlohmann::ordered_json& json) {
  const std::string spread = json.dump(indent);
  std::string text;
  for (std::size_t i = 0; i < spread.size(); ++i) {
    if (spread[i] == '"') {  // texts as they are
      const std::size_t begin = i++;
      while (spread[i] != '"') i += spread[i] == '\\' ? 2 : 1;
      text.append(spread, begin, i - begin + 1);
      continue;
    }
    const std::size_t end = spread.find_first_of("[]{}\"", i + 1);
    if (spread[i] != '[' || end == std::string::npos || spread[end] != ']') {
      text += spread[i];
      continue;
    }
    for (; i <= end; ++i) {
      if (spread[i] == '\n') {
        const std::size_t word = spread.find_first_not_of(" \n", i);
        if (spread[i - 1] == ',') text += ' ';
        i = word;
      }
      text += spread[i];
    }
    i = end;
  }
  return text + "\n";
}

}  // namespace tandem
