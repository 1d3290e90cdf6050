#include "sim/service/capacity.hpp"

#include <algorithm>
#include <map>

namespace tandem {
namespace {

constexpr std::int64_t audit_steps_per_point = 10;
constexpr std::int64_t requests_per_user = 3;
constexpr double rate_parts = 16;
constexpr std::int64_t most_rate_units = 1 << 14;

/// Loads as whole numbers of units, each served once.
class LoadSearch {
 public:
  LoadSearch(const Scenario& scenario, ServiceModel& model, const RunOptions& options)
      : scenario_(scenario), model_(model), options_(options) {
    if (!options_.audit_steps) options_.audit_steps = audit_steps_per_point;
    options_.timeline = nullptr;
  }

  [[nodiscard]] bool is_closed() const { return scenario_.traffic.arrivals == ArrivalKind::Closed; }
  [[nodiscard]] double load_of(std::int64_t units) const {
    return is_closed() ? static_cast<double>(units)
                       : static_cast<double>(units) * scenario_.traffic.rate / rate_parts;
  }
  /// Requests of full length that the pools hold at once.
  [[nodiscard]] std::int64_t slots() const {
    std::int64_t slots = 0;
    for (const auto& deployment : model_.deployments()) {
      const PoolModel& pool = deployment->decode_pool();
      slots += std::max<std::int64_t>(1, pool.kv_room().sequences) * pool.placement().replicas;
    }
    return slots;
  }
  /// Beyond this, more users only wait longer: twice the requests that the pools hold.
  [[nodiscard]] std::int64_t highest() const { return is_closed() ? 2 * slots() : most_rate_units; }
  const LoadPoint& point(std::int64_t units) {
    const auto found = points_.find(units);
    if (found != points_.end()) return found->second;
    return points_.emplace(units, load_point(scenario_, serve(units))).first->second;
  }
  [[nodiscard]] RunResult serve(std::int64_t units) {
    Traffic traffic = scenario_.traffic;
    if (is_closed()) {
      traffic.concurrency = units;
      traffic.requests = std::max(traffic.requests, requests_per_user * units);
    } else {
      traffic.rate = load_of(units);
    }
    return model_.run(traffic, options_);
  }

 private:
  const Scenario& scenario_;
  ServiceModel& model_;
  RunOptions options_;
  std::map<std::int64_t, LoadPoint> points_;
};

std::string broken_objectives(const Slo& slo, const LoadPoint& point) {
  std::string text;
  if (slo.ttft_p99 && point.ttft_ms.p99 > to_milliseconds(*slo.ttft_p99)) text = "ttft_p99";
  if (slo.tpot_p99 && point.tpot_ms.p99 > to_milliseconds(*slo.tpot_p99)) {
    text += text.empty() ? "tpot_p99" : " and tpot_p99";
  }
  return text;
}

std::string busiest_pool(const RunResult& result) {
  const auto busiest = std::max_element(
      result.pools.begin(), result.pools.end(),
      [](const PoolUse& a, const PoolUse& b) { return a.bottleneck_busy < b.bottleneck_busy; });
  return busiest->name + ": " + busiest->bottleneck;
}

std::string limit_without_slo(const LoadSearch& search, const ServiceModel& model) {
  if (!search.is_closed()) return "nothing up to the highest load tried";
  const auto lacks_room = [](const auto& deployment) {
    const PoolModel& pool = deployment->decode_pool();
    return pool.kv_room().sequences < deployment->scenario().serving.max_sequences;
  };
  return std::ranges::any_of(model.deployments(), lacks_room) ? "memory slots" : "max_sequences";
}

/// The last load that holds and the first that does not (0: none failed), by doubling and halving.
std::pair<std::int64_t, std::int64_t> bracket_and_bisect(LoadSearch& search) {
  std::int64_t good = 0;
  std::int64_t bad = 1;
  while (bad <= search.highest() && search.point(bad).meets_slo) {
    good = bad;
    if (bad == search.highest()) return {good, 0};
    bad = std::min(2 * bad, search.highest());
  }
  while (bad - good > 1) {
    const std::int64_t middle = good + (bad - good) / 2;
    (search.point(middle).meets_slo ? good : bad) = middle;
  }
  return {good, bad};
}

}  // namespace

LoadPoint load_point(const Scenario& scenario, const RunResult& result) {
  LoadPoint point;
  point.load = result.traffic.arrivals == ArrivalKind::Closed
                   ? static_cast<double>(result.traffic.concurrency)
                   : result.traffic.rate;
  std::vector<double> ttft, tpot;
  for (const RequestRecord& record : result.requests) {
    ttft.push_back(record.ttft_ms);
    if (record.output > 1) tpot.push_back(record.tpot_ms);
  }
  point.ttft_ms = summarise(std::move(ttft));
  point.tpot_ms = summarise(std::move(tpot));
  point.output_tokens_per_s = static_cast<double>(result.output_tokens) / result.simulated_s;
  if (point.tpot_ms.mean > 0) point.output_tokens_per_s_per_user = 1000 / point.tpot_ms.mean;
  for (const PoolUse& pool : result.pools) {
    point.utilisation = std::max(point.utilisation, pool.bottleneck_busy);
  }
  point.meets_slo = broken_objectives(scenario.slo, point).empty();
  return point;
}

CapacityResult find_capacity(const Scenario& scenario, ServiceModel& model,
                             const CapacityOptions& options) {
  LoadSearch search(scenario, model, options.run);
  const auto [good, bad] = bracket_and_bisect(search);
  CapacityResult result;
  result.load_unit = search.is_closed() ? "users" : "requests/s";
  result.load = search.load_of(good);
  result.run = search.serve(std::max<std::int64_t>(1, good));
  result.bottleneck = busiest_pool(result.run);
  if (bad > 0) {
    result.next = search.point(bad);
    result.limit = broken_objectives(scenario.slo, result.next);
  } else {
    result.limit = limit_without_slo(search, model);
  }
  if (options.curve) {
    for (std::int64_t units = 1; units < good; units *= 2) {
      result.curve.push_back(search.point(units));
    }
    if (good > 0) result.curve.push_back(search.point(good));
  }
  return result;
}

}  // namespace tandem
