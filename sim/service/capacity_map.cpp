#include "sim/service/capacity_map.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

std::int64_t parts_of(std::int64_t amount, std::int64_t parts) {
  return (amount + parts - 1) / parts;
}

/// The scenario with requests of one length, `context` tokens in all.
Scenario with_context(const Scenario& scenario, std::int64_t context) {
  Scenario fixed = scenario;
  Traffic traffic;
  traffic.output_tokens = std::min(scenario.traffic.output_tokens, context / 2);
  traffic.prompt_tokens = context - traffic.output_tokens;
  fixed.traffic = traffic;
  return fixed;
}

Batch decode_pass(std::int64_t requests, std::int64_t context) {
  Batch batch;
  for (std::int64_t i = 0; i < requests; ++i) {
    batch.slices.push_back({.request = i, .context = context - 1, .new_tokens = 1});
  }
  return batch;
}

/// Time per token of requests of a replica that take turns in passes of so many.
Picoseconds time_per_token(const StepEstimate& estimate, std::int64_t passes) {
  return std::max(estimate.latency(), estimate.period() * passes);
}

/// Requests per pass that serve `requests` of a replica best. Dynamic schedules spread them over
/// the stations; static ones choose among the widths of their programs.
std::int64_t requests_per_pass(StepEstimator& estimator, std::int64_t requests,
                               std::int64_t context) {
  const PoolModel& pool = estimator.pool();
  if (!pool.is_static()) {
    return parts_of(requests, static_cast<std::int64_t>(pool.stations().size()));
  }
  std::int64_t best = 1;
  Picoseconds least{0};
  for (std::int64_t width = 1; width <= pool.chip().batch_limit(); width *= 2) {
    const Picoseconds time =
        time_per_token(estimator.expect(decode_pass(width, context)), parts_of(requests, width));
    if (width > 1 && time >= least) break;
    best = width;
    least = time;
    if (width >= requests) break;
  }
  return best;
}

/// What the slowest stations are bound by in the passes counted so far.
std::string bound_of(const PoolTotals& totals) {
  const auto most =
      std::max_element(totals.bottleneck_seconds.begin(), totals.bottleneck_seconds.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == totals.bottleneck_seconds.end() ? "" : most->first;
}

MapCell cell_of(PoolModel& pool, const MapRow& row, std::int64_t users, Fidelity fidelity) {
  MapCell cell;
  cell.users = users;
  cell.fits = users <= row.most_users;
  cell.bound = row.limit;
  if (!cell.fits) return cell;
  StepEstimator estimator(pool, fidelity, false);
  const std::int64_t requests = parts_of(users, pool.placement().replicas);
  const std::int64_t of_pass = requests_per_pass(estimator, requests, row.context_tokens);
  const StepEstimate estimate = estimator.execute(decode_pass(of_pass, row.context_tokens));
  cell.tpot_ms = to_milliseconds(time_per_token(estimate, parts_of(requests, of_pass)));
  cell.bound = bound_of(estimator.totals());
  cell.output_tokens_per_s_per_user = 1000 / cell.tpot_ms;
  cell.output_tokens_per_s = static_cast<double>(users) * cell.output_tokens_per_s_per_user;
  return cell;
}

/// Whole requests that the room of a replica holds, and what stops one more.
void count_users(const PoolModel& pool, const Scenario& scenario, MapRow& row) {
  const std::int64_t of_replica = pool.kv_room().sequences;
  row.most_users = of_replica * pool.placement().replicas;
  row.limit = of_replica < scenario.serving.max_sequences ? "kv" : "max_sequences";
}

/// Nobody fits.
void refuse(MapRow& row, const char* limit, const std::string& problem,
            const std::vector<std::int64_t>& users) {
  row.most_users = 0;
  row.limit = limit;
  row.problem = problem;
  row.cells.clear();
  for (const std::int64_t number : users) row.cells.push_back({number, false, limit});
}

MapRow row_of(const Scenario& scenario, const Catalogue& catalogue,
              const NetworkFactory& make_network, const MapOptions& options, std::int64_t context) {
  MapRow row;
  row.context_tokens = context;
  const std::int64_t longest = scenario.model.max_context;
  if (longest > 0 && context > longest) {
    refuse(row, "context", fmt::format("'{}' has {} tokens", scenario.model.name, longest),
           options.users);
    return row;
  }
  try {
    const Scenario fixed = with_context(scenario, context);
    ServiceModel model(fixed, catalogue, make_network, options.store);
    PoolModel& pool = model.deployments().front()->decode_pool();
    count_users(pool, fixed, row);
    for (const std::int64_t users : options.users) {
      row.cells.push_back(cell_of(pool, row, users, options.fidelity));
    }
  } catch (const ConfigError& error) {  // the placement has no room for one request
    refuse(row, "model", error.what(), options.users);
  }
  return row;
}

}  // namespace

CapacityMap capacity_map(const Scenario& scenario, const Catalogue& catalogue,
                         const NetworkFactory& make_network, const MapOptions& options) {
  CapacityMap map;
  map.users = options.users;
  for (const std::int64_t context : options.contexts) {
    map.rows.push_back(row_of(scenario, catalogue, make_network, options, context));
  }
  return map;
}

}  // namespace tandem
