#include "sim/report/summary.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/service/measured_window.hpp"

namespace tandem {
namespace {

bool is_within(const Slo& slo, const RequestRecord& record, const LatencyFactors& factors) {
  return (!slo.ttft_p99 || record.ttft_ms * factors.ttft <= to_milliseconds(*slo.ttft_p99)) &&
         (!slo.tpot_p99 || record.tpot_ms * factors.tpot <= to_milliseconds(*slo.tpot_p99));
}

/// Requests per second that came, whose rate a ramp changes; of sessions all turns count.
double offered_rate(const RunResult& result) {
  if (result.sessions) {
    const auto sessions = static_cast<double>(result.sessions->sessions);
    return result.traffic.rate * static_cast<double>(result.sessions->turns) / sessions;
  }
  if (result.traffic.arrivals != ArrivalKind::Ramp || result.requests.size() < 2) {
    return result.traffic.rate;
  }
  const double span = result.requests.back().arrival_s - result.requests.front().arrival_s;
  return static_cast<double>(result.requests.size() - 1) / span;
}

}  // namespace

std::string slo_text(const Slo& slo) {
  const auto objective = [](const char* name, const std::optional<Picoseconds>& limit) {
    return limit ? fmt::format("{} {:.6g} ms", name, to_milliseconds(*limit)) : std::string();
  };
  const std::string first = objective("TTFT", slo.ttft_p99);
  const std::string next = objective("TPOT", slo.tpot_p99);
  if (first.empty() && next.empty()) return "none";
  return first + (first.empty() || next.empty() ? "" : ", ") + next;
}

SloFigures slo_figures_of(const Slo& slo, const RunResult& result, const LatencyFactors& factors) {
  const MeasuredWindow window = measured_window(result);
  double within = 0;
  for (std::size_t i = 0; i < result.requests.size(); ++i) {
    if (window.covers[i]) within += is_within(slo, result.requests[i], factors) ? 1 : 0;
  }
  const auto covered = static_cast<double>(std::ssize(result.requests) - window.left_out);
  return {within / covered, within / window.seconds};
}

RunSummary summarise_run(const Scenario& scenario, const RunResult& result) {
  RunSummary summary;
  const MeasuredWindow window = measured_window(result);
  const auto output = static_cast<double>(window.output_tokens);
  const auto input = static_cast<double>(window.input_tokens);
  summary.output_tokens_per_s = output / window.seconds;
  summary.total_tokens_per_s = (output + input) / window.seconds;
  summary.requests_per_s = static_cast<double>(window.answered) / window.seconds;
  if (result.traffic.arrivals != ArrivalKind::Closed) {
    summary.offered_requests_per_s = offered_rate(result);
  }
  for (const PoolUse& pool : result.pools) {
    summary.utilisation = std::max(summary.utilisation, pool.bottleneck_busy);
  }
  std::vector<double> ttft, tpot, e2e;
  for (std::size_t i = 0; i < result.requests.size(); ++i) {
    if (!window.covers[i]) continue;
    const RequestRecord& record = result.requests[i];
    ttft.push_back(record.ttft_ms);
    e2e.push_back(record.e2e_ms);
    if (record.output > 1) tpot.push_back(record.tpot_ms);
  }
  summary.ttft_ms = summarise(std::move(ttft));
  summary.tpot_ms = summarise(std::move(tpot));
  summary.e2e_ms = summarise(std::move(e2e));
  const auto first_gap = result.itl_ms.begin() + static_cast<std::ptrdiff_t>(window.first_gap);
  summary.itl_ms = summarise({first_gap, result.itl_ms.end()});
  if (summary.tpot_ms.mean > 0) summary.output_tokens_per_s_per_user = 1000 / summary.tpot_ms.mean;
  if (scenario.slo.ttft_p99 || scenario.slo.tpot_p99) {
    const SloFigures slo = slo_figures_of(scenario.slo, result);
    summary.slo_attainment = slo.attainment;
    summary.goodput_requests_per_s = slo.goodput_requests_per_s;
  }
  return summary;
}

RunBounds bounds_of(const RunResult& result) {
  RunBounds bounds;
  double tpot = 0;
  double with_tpot = 0;
  for (const RequestRecord& record : result.requests) {
    bounds.ttft_ms += record.ttft_floor_ms;
    tpot += record.tpot_floor_ms;
    with_tpot += record.output > 1 ? 1 : 0;
  }
  bounds.ttft_ms /= static_cast<double>(result.requests.size());
  if (with_tpot > 0) bounds.tpot_ms = tpot / with_tpot;
  Picoseconds busiest{0};
  for (const PoolUse& pool : result.pools) busiest = std::max(busiest, pool.floor_busy);
  bounds.output_tokens_per_s = static_cast<double>(result.output_tokens) / to_seconds(busiest);
  return bounds;
}

GroupSummary summarise_groups(const RunResult& result, const Accounting& accounting) {
  const GroupUse& use = *result.groups;
  const auto groups = static_cast<double>(use.groups);
  GroupSummary summary;
  summary.groups_per_s = groups / result.simulated_s;
  summary.e2e_ms = summarise(use.e2e_ms);
  const auto output = static_cast<double>(result.output_tokens);
  summary.output_tokens = output / groups;
  summary.output_tokens_per_pass = output / static_cast<double>(result.steps);
  if (accounting.energy_j) summary.energy_j = accounting.energy_j->total() / groups;
  if (accounting.usd_per_hour_used) {
    summary.usd = *accounting.usd_per_hour_used * result.simulated_s / 3600 / groups;
  }
  return summary;
}

DeploymentSummary summarise_deployment(const Scenario& scenario, const RunResult& result,
                                       const DeploymentResult& deployment) {
  const RunResult& own = deployment.run;
  const auto requests = static_cast<double>(own.requests.size());
  DeploymentSummary summary;
  summary.load = requests / static_cast<double>(result.requests.size());
  summary.occupied = own.simulated_s / result.simulated_s;
  if (own.requests.empty()) return summary;
  const RunSummary latencies = summarise_run(scenario, own);
  summary.ttft_ms = latencies.ttft_ms;
  summary.tpot_ms = latencies.tpot_ms;
  summary.e2e_ms = latencies.e2e_ms;
  summary.accounting = account(scenario, own);
  const Accounting& books = summary.accounting;
  if (books.energy_j) summary.energy_j = books.energy_j->total() / requests;
  if (books.usd_per_hour_used) {
    summary.usd = *books.usd_per_hour_used * own.simulated_s / 3600 / requests;
  }
  return summary;
}

RoutedCost routed_cost(const std::vector<DeploymentSummary>& deployments, const RunResult& result,
                       const Accounting& accounting) {
  RoutedCost cost;
  if (!accounting.usd_per_hour_used) return cost;
  cost.usd_with_idle = *accounting.usd_per_hour_used * result.simulated_s / 3600 /
                       static_cast<double>(result.requests.size());
  double usd = 0;
  for (const DeploymentSummary& own : deployments) usd += own.load * own.usd.value_or(0);
  cost.usd = usd;
  return cost;
}

std::string models_text(const Scenario& scenario) {
  if (!scenario.is_mix()) return scenario.model.name;
  std::string text;
  for (const Deployment& deployment : scenario.deployments) {
    text += (text.empty() ? "" : " + ") + deployment.model.name;
  }
  return text;
}

std::string name_of(RoutingPolicy policy) {
  switch (policy) {
    case RoutingPolicy::Share:
      return "share";
    case RoutingPolicy::Threshold:
      return "threshold";
    case RoutingPolicy::Cascade:
      return "cascade";
  }
  return "";
}

std::vector<std::pair<std::string, double>> time_shares_of(const PoolUse& pool) {
  double total = 0;
  for (const auto& [name, seconds] : pool.totals.part_seconds) total += seconds;
  std::vector<std::pair<std::string, double>> shares;
  if (total <= 0) return shares;
  for (const auto& [name, seconds] : pool.totals.part_seconds) {
    if (seconds > 0) shares.emplace_back(name, seconds / total);
  }
  std::stable_sort(shares.begin(), shares.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return shares;
}

}  // namespace tandem
