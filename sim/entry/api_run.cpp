#include <fmt/format.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "sim/account/accounting.hpp"
#include "sim/account/sensitivity.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/describe_page.hpp"
#include "sim/report/capacity_report.hpp"
#include "sim/report/map_report.hpp"
#include "sim/report/page.hpp"
#include "sim/report/result_json.hpp"
#include "sim/service/capacity.hpp"
#include "sim/service/service.hpp"

namespace tandem::entry {
namespace {

std::optional<std::string> store_of(const std::string& text) {
  if (text == "none") return std::nullopt;
  return text;
}

Fidelity fidelity_of(const std::string& text) {
  if (text == "cycle") return Fidelity::Cycle;
  if (text == "analytical") return Fidelity::Analytical;
  throw ConfigError(fmt::format("fidelity is '{}'; write 'cycle' or 'analytical'", text));
}

/// The number of a scenario that bands call "chips.h100_sxm.hbm_bandwidth", "prices.life", ...;
/// null where there is none.
const Parameter* parameter_at(const Scenario& scenario, std::string_view path) {
  const auto below = [](const ParameterSet& set, std::string_view key) {
    return set.has(key) ? &set.at(key) : nullptr;
  };
  const std::size_t dot = path.find('.');
  if (dot == std::string_view::npos) return nullptr;
  const std::string_view owner = path.substr(0, dot);
  const std::string_view key = path.substr(dot + 1);
  if (owner == "prices") return below(scenario.prices.parameters, key);
  if (owner == "software") return below(scenario.software.parameters, key);
  if (owner == "system") return below(scenario.system.parameters, key);
  const std::size_t next = key.find('.');
  if (next == std::string_view::npos) return nullptr;
  const std::string name(key.substr(0, next));
  const auto in = [&](const auto& parts) {
    const auto found = parts.find(name);
    return found == parts.end() ? nullptr : below(found->second.parameters, key.substr(next + 1));
  };
  return owner == "chips"   ? in(scenario.system.chips)
         : owner == "links" ? in(scenario.system.links)
                            : nullptr;
}

/// "3 years to 6 years": the ends over which a number was moved.
std::string range_text(const Scenario& scenario, const Swing& swing) {
  const Parameter* parameter = parameter_at(scenario, swing.parameter);
  const Dimension dimension = parameter == nullptr ? Dimension::Scalar : parameter->dimension;
  return fmt::format("{} to {}", with_unit(swing.low, dimension), with_unit(swing.high, dimension));
}

std::string swings_json(const Scenario& scenario, const Sensitivity& sensitivity) {
  auto list = nlohmann::ordered_json::array();
  for (const Swing& swing : sensitivity.bands.swings) {
    auto figures = nlohmann::ordered_json::object();
    for (const auto& [name, factor] : swing.figures) figures[name] = {factor.low, factor.high};
    list.push_back({{"parameter", swing.parameter},
                    {"low", swing.low},
                    {"high", swing.high},
                    {"range", range_text(scenario, swing)},
                    {"source", swing.source},
                    {"basis", swing.basis},
                    {"figures", figures}});
  }
  return list.dump();
}

/// A scenario at its highest load, with everything the report needs kept alive.
struct MeasuredCapacity {
  Scenario scenario;
  std::unique_ptr<ServiceModel> model;
  CapacityResult capacity;
  Accounting accounting;
  Sensitivity sensitivity;
  LoadBand load_band;
};

std::unique_ptr<MeasuredCapacity> measure(const Context& context, const CapacityRequest& request,
                                          const std::string& name) {
  auto measured = std::make_unique<MeasuredCapacity>();
  measured->scenario = runnable_scenario(context, name, request.overrides);
  measured->model = std::make_unique<ServiceModel>(measured->scenario, context.catalogue,
                                                   context.make_network, store_of(request.store));
  CapacityOptions options;
  options.curve = true;
  options.tolerance = request.tolerance;
  options.run.store = store_of(request.store);
  options.run.poll = request.poll;
  measured->capacity = find_capacity(measured->scenario, *measured->model, options);
  measured->accounting = account(measured->scenario, measured->capacity.run);
  measured->sensitivity =
      sensitivity_of(measured->scenario, *measured->model, measured->capacity.run,
                     context.catalogue, context.make_network);
  measured->load_band = load_band_of(measured->scenario, measured->capacity.load,
                                     measured->capacity.curve, measured->sensitivity.bands.all);
  if (!request.curve) measured->capacity.curve.clear();
  return measured;
}

std::map<std::string, double> pass_seconds(const RunResult& result) {
  std::map<std::string, double> times;
  for (const PoolUse& pool : result.pools) {
    for (const auto& [family, seconds] : pool.totals.part_seconds) {
      if (seconds > 0) times[pool.name + "." + family] += seconds;
    }
  }
  return times;
}

std::vector<std::int64_t> by_fours(std::int64_t first, std::int64_t last) {
  std::vector<std::int64_t> values;
  for (std::int64_t value = first; value <= last; value *= 4) values.push_back(value);
  return values;
}

constexpr std::int64_t longest_context = 1 << 20;

MapOptions map_options(const MapRequest& request, const Scenario& scenario) {
  MapOptions options;
  options.contexts = request.contexts;
  options.users = request.users;
  if (options.contexts.empty()) {
    const std::int64_t most = scenario.model.max_context;
    options.contexts = by_fours(1024, most > 0 ? most : longest_context);
    const bool ends_there = !options.contexts.empty() && options.contexts.back() == most;
    if (most > 0 && !ends_there) options.contexts.push_back(most);
  }
  if (options.users.empty()) options.users = by_fours(1, 1024);
  options.store = store_of(request.store);
  return options;
}

std::vector<RequestRow> rows_of(const RunResult& result) {
  std::map<std::string, std::int64_t> deployments;
  for (const DeploymentResult& own : result.deployments) {
    deployments.emplace(own.name, static_cast<std::int64_t>(deployments.size()));
  }
  std::vector<RequestRow> rows;
  rows.reserve(result.requests.size());
  for (const RequestRecord& r : result.requests) {
    const auto found = deployments.find(r.deployment);
    rows.push_back({r.id, r.arrival_s, r.prompt, r.output, r.ttft_ms, r.tpot_ms, r.e2e_ms,
                    r.cached_tokens, r.preemptions,
                    found == deployments.end() ? 0 : found->second});
  }
  return rows;
}

}  // namespace

Scenario runnable_scenario(const Context& context, const std::string& name,
                           const std::vector<Override>& overrides) {
  Scenario scenario = context.loader.scenario(name, overrides);
  if (!scenario.is_mix() && scenario.model.layers() == 0) {
    throw ConfigError(fmt::format(
        "scenario '{}' takes its model from a checkpoint; use 'tandem generate', or name a model "
        "with --set model=llama-3.1-8b",
        scenario.name));
  }
  return scenario;
}

RunAnswer run_scenario(const Context& context, const RunRequest& request) {
  const Scenario scenario = runnable_scenario(context, request.scenario, request.overrides);
  TimelineRecorder timeline;
  RunOptions options;
  options.fidelity = fidelity_of(request.fidelity);
  options.exact = request.exact;
  options.all_ranks = request.all_ranks;
  options.perturbation = request.perturbation;
  options.seed = request.seed;
  options.store = store_of(request.store);
  options.poll = request.poll;
  options.timeline = request.with_timeline ? &timeline : nullptr;
  ServiceModel model(scenario, context.catalogue, context.make_network, options.store);
  const RunResult result = model.run(scenario.traffic, options);
  const Accounting accounting = account(scenario, result);
  const Sensitivity sensitivity =
      sensitivity_of(scenario, model, result, context.catalogue, context.make_network);
  const ReportInput input{scenario, result, accounting, sensitivity};
  RunAnswer answer;
  answer.json = result_json(input);
  answer.page = run_page(input);
  answer.pass_s = pass_seconds(result);
  answer.parts = config_parts(scenario);
  if (request.with_swings) answer.swings = swings_json(scenario, sensitivity);
  if (request.with_requests) answer.requests_csv = requests_csv(result);
  if (request.with_rows) answer.requests = rows_of(result);
  if (request.with_timeline) {
    std::ostringstream trace;
    timeline.write_chrome_trace(trace);
    answer.timeline = trace.str();
  }
  return answer;
}

CapacityAnswer map_of(const Context& context, const MapRequest& request) {
  for (const auto* counts : {&request.contexts, &request.users}) {
    if (std::any_of(counts->begin(), counts->end(), [](std::int64_t count) { return count < 1; })) {
      throw ConfigError("contexts and users are whole numbers from 1 on, e.g. 1024,8192");
    }
  }
  std::vector<Scenario> scenarios;
  std::vector<CapacityMap> maps;
  Progress progress("map");
  for (const std::string& name : request.scenarios) {
    progress.update(name);
    scenarios.push_back(runnable_scenario(context, name, request.overrides));
    require_one_model(scenarios.back());
    maps.push_back(capacity_map(scenarios.back(), context.catalogue, context.make_network,
                                map_options(request, scenarios.back())));
  }
  std::vector<MapReport> reports;
  for (std::size_t i = 0; i < maps.size(); ++i) reports.push_back({scenarios[i], maps[i]});
  return {map_json(reports), map_page(reports), ""};
}

CapacityAnswer capacity_of(const Context& context, const CapacityRequest& request) {
  std::vector<std::unique_ptr<MeasuredCapacity>> measured;
  std::vector<CapacityReport> reports;
  Progress progress("capacity");
  for (const std::string& name : request.scenarios) {
    progress.update(name);
    measured.push_back(measure(context, request, name));
    const MeasuredCapacity& one = *measured.back();
    reports.push_back({one.scenario, one.capacity, one.accounting, one.sensitivity, one.load_band});
  }
  return {capacity_json(reports), capacity_page(reports), capacity_csv(reports)};
}

}  // namespace tandem::entry
