#include "sim/entry/systems/served_runs.hpp"

#include <algorithm>

#include "sim/account/sensitivity.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/systems/offline_benchmark.hpp"
#include "sim/entry/systems/served_power.hpp"
#include "sim/service/service.hpp"

namespace tandem::entry {
namespace {

/// Scenario that the cases change.
constexpr const char* base_scenario = "llama8b_gpu";
/// A benchmark sends this many requests per user; the first ones, which all come at once, are that
/// share of its figures however many are simulated.
constexpr double rounds_of_benchmark = 10;

/// Why rows have no prediction where none was asked for.
constexpr const char* mapped_only = "has a scenario that was not run";

double end_ms(const RequestRecord& request) {
  return request.arrival_s * 1e3 + request.e2e_ms;
}

double end_of(const std::vector<RequestRecord>& requests) {
  double end = 0;
  for (const RequestRecord& request : requests) end = std::max(end, end_ms(request));
  return end;
}

/// Means over requests, those of the first round with a weight of their own.
std::map<std::string, double> means(const std::vector<RequestRecord>& requests, std::size_t users,
                                    double first_share) {
  const auto first = static_cast<double>(std::min(users, requests.size()));
  const double later = static_cast<double>(requests.size()) - first;
  std::map<std::string, double> sums;
  double tpot_weight = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const bool is_first = later == 0 || i < users;
    const double weight =
        later == 0 ? 1 / first : (is_first ? first_share / first : (1 - first_share) / later);
    sums["ttft"] += weight * requests[i].ttft_ms;
    sums["e2e"] += weight * requests[i].e2e_ms;
    if (requests[i].output < 2) continue;
    sums["tpot"] += weight * requests[i].tpot_ms;
    tpot_weight += weight;
  }
  if (tpot_weight > 0) sums["tpot"] /= tpot_weight;
  return sums;
}

void add_rates(const std::vector<RequestRecord>& requests, std::map<std::string, double>& figures) {
  double prompts = 0, answers = 0;
  for (const RequestRecord& request : requests) {
    prompts += static_cast<double>(request.prompt);
    answers += static_cast<double>(request.output);
  }
  const double seconds = end_of(requests) / 1e3;
  figures["throughput"] = answers / seconds;
  figures["throughput_input"] = prompts / seconds;
  figures["throughput_total"] = (prompts + answers) / seconds;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Requests by which the longer of two runs of a full engine exceeds the shorter: rounds of all
/// users, and enough for their lengths to be near the mean.
constexpr std::int64_t further_rounds = 2;
constexpr std::int64_t fewest_further = 96;

/// The difference of two runs of one load.
struct SteadyRun {
  RunResult longer;
  std::map<std::string, double> figures;
};
SteadyRun steady_run(const Scenario& scenario, ServiceModel& model, const ServedCase& served,
                     const RunOptions& options) {
  Traffic traffic = scenario.traffic;
  const MeteredRun shorter = metered(scenario, model.run(traffic, options));
  traffic.requests += std::max(fewest_further, further_rounds * traffic.concurrency);
  SteadyRun steady{model.run(traffic, options), {}};
  const MeteredRun run = behind(metered(scenario, steady.longer), shorter);
  steady.figures = power_figures(run, served);
  steady.figures["tpot"] = median(steady.longer.itl_ms);
  steady.figures["throughput"] =
      run.output_tokens / run.seconds * static_cast<double>(served.copies);
  return steady;
}

/// The key of a run's summary whose band a figure of a benchmark takes.
std::string summary_key(const std::string& figure) {
  static const std::map<std::string, std::string> others = {
      {"throughput", "output_tokens_per_s"},
      {"throughput_input", "total_tokens_per_s"},
      {"throughput_total", "total_tokens_per_s"},
      {"energy_per_token", "energy_j_per_output_token"},
  };
  if (figure.find("power") != std::string::npos) return "average_power_w";
  const auto other = others.find(figure);
  return other == others.end() ? figure + "_ms" : other->second;
}

/// The changes of `overrides`, written for whole scenarios, that this case's system has.
std::vector<Override> overrides_for(const Context& context, const ServedCase& served,
                                    const std::vector<Override>& overrides) {
  std::vector<Override> changes = served.changes;
  if (overrides.empty()) return changes;
  const auto named = std::ranges::find(served.changes, "system", &Override::path);
  const System system = context.loader.system(named->value);
  for (const Override& change : overrides) {
    const bool of_chip = change.path.starts_with("chips.");
    if (change.path.starts_with("software.")) {
      changes.push_back(change);
    } else if (of_chip || change.path.starts_with("links.")) {
      const std::string rest = change.path.substr(6);
      const std::string name = rest.substr(0, rest.find('.'));
      const bool is_here = of_chip ? system.chips.contains(name) : system.links.contains(name);
      if (is_here) changes.push_back({"system." + change.path, change.value});
    } else {
      for (const auto& [name, chip] : system.chips) {
        changes.push_back({"system.chips." + name + "." + change.path, change.value});
      }
    }
  }
  return changes;
}

/// Of all groups together, as the scheduler has them.
void set_sizes(Scenario& scenario) {
  const OfflineSizes sizes = offline_sizes(scenario);
  const std::int64_t groups = scenario.placement.decode.attention_data;
  scenario.serving.max_sequences = sizes.max_sequences * groups;
  scenario.serving.max_batch_tokens = sizes.max_batch_tokens * groups;
}

/// A message without its numbers, so that rows with the same trouble count together.
std::string kind_of(const std::string& message) {
  std::string kind;
  for (const char c : message.substr(0, 160)) {
    const bool is_digit = c >= '0' && c <= '9';
    if (!is_digit) kind += c;
    if (is_digit && !kind.ends_with('N')) kind += 'N';
  }
  return kind;
}

}  // namespace

std::map<std::string, double> served_figures(const RunResult& result, const ServedCase& served) {
  const auto users = static_cast<std::size_t>(result.traffic.concurrency);
  auto figures = means(result.requests, users, 1 / rounds_of_benchmark);
  if (served.statistic == ServedStatistic::Batch) figures["e2e"] = end_of(result.requests);
  add_rates(result.requests, figures);
  return figures;
}

ServedRuns::ServedRuns(const Context& context, ServedOptions options)
    : context_(context), options_(std::move(options)) {}

const ServedAnswer& ServedRuns::answer(const ServedCase& served) {
  std::string key;
  for (const Override& change : served.changes) key += change.path + "=" + change.value + "\n";
  const auto [known, is_new] = answers_.try_emplace(served.reason.empty() ? key : served.reason);
  if (is_new) known->second = served.reason.empty() ? run(served) : ServedAnswer{{}, served.reason};
  return known->second;
}

ServedAnswer ServedRuns::with_bands(ServedAnswer answer, const Scenario& scenario,
                                    const ServiceModel& model, const RunResult& result) const {
  if (!options_.with_bands) return answer;
  const Bands bands =
      sensitivity_of(scenario, model, result, context_.catalogue, context_.make_network).bands;
  for (const auto& [figure, value] : answer.figures) {
    const auto band = bands.all.find(summary_key(figure));
    const auto kernels = bands.of_kernels.find(summary_key(figure));
    if (band == bands.all.end() || kernels == bands.of_kernels.end()) continue;
    answer.bands[figure] = {value * band->second.low, value * band->second.high,
                            value * kernels->second.low, value * kernels->second.high,
                            value * kernels->second.middle};
  }
  return answer;
}

ServedAnswer ServedRuns::run(const ServedCase& served) const {
  try {
    Scenario scenario = runnable_scenario(context_, base_scenario,
                                          overrides_for(context_, served, options_.overrides));
    if (served.statistic == ServedStatistic::Offline) set_sizes(scenario);
    RunOptions options;
    options.fidelity = options_.is_cycle ? Fidelity::Cycle : Fidelity::Analytical;
    options.store = options_.store;
    ServiceModel model(scenario, context_.catalogue, context_.make_network, options.store);
    if (options_.maps_only) return {{}, mapped_only};
    Traffic traffic = scenario.traffic;
    if (served.statistic == ServedStatistic::Offline) {
      // A request begins once there is room for its whole length, in blocks.
      const std::int64_t block = scenario.serving.kv_block_tokens;
      const std::int64_t length =
          ceil_div(traffic.prompt_tokens + traffic.output_tokens, block) * block;
      const std::int64_t room =
          model.deployments().front()->decode_pool().kv_room().tokens / length;
      traffic.concurrency = std::min(
          {traffic.requests, scenario.serving.max_sequences, std::max<std::int64_t>(1, room)});
    }
    if (served.statistic == ServedStatistic::Steady) {
      const SteadyRun steady = steady_run(scenario, model, served, options);
      return with_bands({steady.figures, {}}, scenario, model, steady.longer);
    }
    const RunResult result = model.run(traffic, options);
    auto figures = served_figures(result, served);
    figures.merge(power_figures(metered(scenario, result), served));
    return with_bands({std::move(figures), {}}, scenario, model, result);
  } catch (const ConfigError& error) {
    return {{}, kind_of(error.diagnostics().front().message)};
  } catch (const ModelError& error) {
    return {{}, kind_of(error.what())};
  }
}

}  // namespace tandem::entry
