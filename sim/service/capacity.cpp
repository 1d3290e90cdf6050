#include "sim/service/capacity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "sim/service/backlog.hpp"
#include "sim/service/measured_window.hpp"

namespace tandem {
namespace {

constexpr std::int64_t audit_steps_per_point = 10;
constexpr std::int64_t requests_per_user = 3;
constexpr std::int64_t most_times_requests = 16;
constexpr std::int64_t requests_to_judge = 200;  ///< a queue that grows by a tenth shows
constexpr std::int64_t rounds_of_warm_up = 2;    ///< advice: users' requests to leave out
constexpr std::int64_t times_warm_up = 4;        ///< advice: requests over those left out
constexpr double most_times_rate = 1024;         ///< of the scenario's rate, up and down
constexpr double least_times_rate = 1.0 / 64;

std::string broken_objectives(const Slo& slo, const LoadPoint& point) {
  std::string text;
  if (slo.ttft_p99 && point.ttft_ms.p99 > to_milliseconds(*slo.ttft_p99)) text = "ttft_p99";
  if (slo.tpot_p99 && point.tpot_ms.p99 > to_milliseconds(*slo.tpot_p99)) {
    text += text.empty() ? "tpot_p99" : " and tpot_p99";
  }
  return text;
}

/// Why a load does not hold.
std::string limit_at(const Slo& slo, const LoadPoint& point) {
  std::string text = broken_objectives(slo, point);
  if (point.saturated) text += text.empty() ? "saturation" : " and saturation";
  return text;
}

/// Requests of full length that the pools hold at once.
std::int64_t slots_of(const ServiceModel& model) {
  std::int64_t slots = 0;
  for (const auto& deployment : model.deployments()) {
    const PoolModel& pool = deployment->decode_pool();
    slots += std::max<std::int64_t>(1, pool.kv_room().sequences) * pool.placement().replicas;
  }
  return slots;
}

/// Which loads there are to try. Closed loop: whole users. Else rates.
class LoadSteps {
 public:
  LoadSteps(const Traffic& traffic, ServiceModel& model, double tolerance)
      : is_closed_(traffic.arrivals == ArrivalKind::Closed), tolerance_(tolerance) {
    first_ = is_closed_ ? 1 : traffic.rate;
    least_ = is_closed_ ? 1 : traffic.rate * least_times_rate;
    most_ = is_closed_ ? most_users(traffic, model) : traffic.rate * most_times_rate;
  }
  [[nodiscard]] double first() const { return first_; }
  [[nodiscard]] bool has_less(double load) const { return load / 2 >= least_; }
  [[nodiscard]] bool has_more(double load) const { return load < most_; }
  [[nodiscard]] double more(double load) const { return std::min(2 * load, most_); }
  /// Whether the limit between them is known well enough.
  [[nodiscard]] bool are_near(double good, double bad) const {
    const double gap = bad - good;
    return gap <= tolerance_ * good || (is_closed_ && gap <= 1);
  }
  [[nodiscard]] double between(double good, double bad) const {
    const double middle = good + (bad - good) / 2;
    return is_closed_ ? std::floor(middle) : middle;
  }

 private:
  /// Beyond this, more users only wait longer: twice the requests that the pools hold, and as many
  /// times more as users think longer than an answer takes.
  static double most_users(const Traffic& traffic, ServiceModel& model) {
    const auto slots = static_cast<double>(2 * slots_of(model));
    if (!traffic.has_sessions()) return slots;
    const double answer = to_seconds(model.time_alone());
    return std::ceil(slots * (answer + traffic.think_time_s) / answer);
  }

  bool is_closed_;
  double tolerance_;
  double first_ = 1, least_ = 1, most_ = 1;
};

/// Serves loads, each once.
class LoadTrials {
 public:
  LoadTrials(const Scenario& scenario, ServiceModel& model, const RunOptions& options)
      : scenario_(scenario), model_(model), options_(options) {
    if (!options_.audit_steps) options_.audit_steps = audit_steps_per_point;
    options_.timeline = nullptr;
  }
  const LoadPoint& point(double load) {
    const auto found = points_.find(load);
    if (found != points_.end()) return found->second;
    LoadPoint point = load_point(scenario_, serve(load));
    point.load = load;
    return points_.emplace(load, point).first->second;
  }
  [[nodiscard]] RunResult serve(double load) {
    Traffic traffic = scenario_.traffic;
    if (traffic.arrivals == ArrivalKind::Closed) {
      traffic.concurrency = std::llround(load);
      traffic.requests = std::max(traffic.requests, requests_per_user * traffic.concurrency);
      return model_.run(traffic, options_);
    }
    traffic.end_rate *= load / traffic.rate;
    traffic.rate = load;
    RunResult result = model_.run(traffic, options_);
    const std::int64_t most = most_times_requests * scenario_.traffic.requests;
    while (is_too_short(result) && 2 * traffic.requests <= most) {
      traffic.requests *= 2;
      result = model_.run(traffic, options_);
    }
    return result;
  }
  [[nodiscard]] const std::map<double, LoadPoint>& points() const { return points_; }

 private:
  /// Whether a queue may not have had the time to grow where arrivals could go on.
  [[nodiscard]] bool is_too_short(const RunResult& result) const {
    const ArrivalKind arrivals = result.traffic.arrivals;
    if (arrivals == ArrivalKind::Trace || arrivals == ArrivalKind::Ramp) return false;
    const bool is_enough =
        backlog_of(result)->is_long && std::ssize(result.requests) >= requests_to_judge;
    return !is_enough && load_point(scenario_, result).holds();
  }

  const Scenario& scenario_;
  ServiceModel& model_;
  RunOptions options_;
  std::map<double, LoadPoint> points_;
};

/// The highest load that holds (0: none) and the lowest that fails (0: none).
struct LoadBracket {
  double good = 0, bad = 0;
};

LoadBracket bracket_and_bisect(const LoadSteps& steps, LoadTrials& trials) {
  LoadBracket found;
  double load = steps.first();
  while (!trials.point(load).holds()) {
    found.bad = load;
    if (!steps.has_less(load)) return found;
    load /= 2;
  }
  found.good = load;
  while (found.bad == 0 && steps.has_more(found.good)) {
    const double next = steps.more(found.good);
    (trials.point(next).holds() ? found.good : found.bad) = next;
  }
  while (found.bad > 0 && !steps.are_near(found.good, found.bad)) {
    const double middle = steps.between(found.good, found.bad);
    (trials.point(middle).holds() ? found.good : found.bad) = middle;
  }
  return found;
}

std::string busiest_pool(const RunResult& result) {
  const auto busiest = std::max_element(
      result.pools.begin(), result.pools.end(),
      [](const PoolUse& a, const PoolUse& b) { return a.bottleneck_busy < b.bottleneck_busy; });
  return busiest->name + ": " + busiest->bottleneck;
}

/// Where only the users' first requests, which come within one predicted answer, break the TTFT.
std::optional<std::string> warning_of_start(const Scenario& scenario, const LoadPoint& next) {
  const bool is_ttft_alone = limit_at(scenario.slo, next) == "ttft_p99";
  if (!is_ttft_alone || scenario.traffic.has_warm_up() || !next.ttft_p99_later_ms) return {};
  if (*next.ttft_p99_later_ms > to_milliseconds(*scenario.slo.ttft_p99)) return {};
  const std::int64_t warm_up = rounds_of_warm_up * std::llround(next.load);
  return fmt::format(
      "the limit is set by the users' first requests: with {} {} the TTFT p99 is {:.4g} ms with "
      "them, {:.4g} ms without; for a service in its steady state set traffic.warm_up to {} and "
      "traffic.requests to {} or more",
      next.load, load_unit_of(scenario.traffic), next.ttft_ms.p99, *next.ttft_p99_later_ms, warm_up,
      times_warm_up * warm_up);
}

std::string limit_without_failure(const Scenario& scenario, const ServiceModel& model) {
  if (scenario.traffic.arrivals != ArrivalKind::Closed || scenario.traffic.has_sessions()) {
    return "nothing up to the highest load tried";
  }
  const auto lacks_room = [](const auto& deployment) {
    const PoolModel& pool = deployment->decode_pool();
    return pool.kv_room().sequences < deployment->scenario().serving.max_sequences;
  };
  return std::ranges::any_of(model.deployments(), lacks_room) ? "memory slots" : "max_sequences";
}

}  // namespace

LoadPoint load_point(const Scenario& scenario, const RunResult& result) {
  LoadPoint point;
  point.load = result.traffic.arrivals == ArrivalKind::Closed
                   ? static_cast<double>(result.traffic.concurrency)
                   : result.traffic.rate;
  const MeasuredWindow window = measured_window(result);
  std::vector<double> ttft, tpot, later_ttft;
  for (std::size_t i = 0; i < result.requests.size(); ++i) {
    if (!window.covers[i]) continue;
    const RequestRecord& record = result.requests[i];
    ttft.push_back(record.ttft_ms);
    if (!record.opens_user) later_ttft.push_back(record.ttft_ms);
    if (record.output > 1) tpot.push_back(record.tpot_ms);
  }
  if (result.traffic.arrivals == ArrivalKind::Closed && !later_ttft.empty()) {
    point.ttft_p99_later_ms = summarise(std::move(later_ttft)).p99;
  }
  point.ttft_ms = summarise(std::move(ttft));
  point.tpot_ms = summarise(std::move(tpot));
  point.output_tokens_per_s = static_cast<double>(window.output_tokens) / window.seconds;
  if (point.tpot_ms.mean > 0) point.output_tokens_per_s_per_user = 1000 / point.tpot_ms.mean;
  std::int64_t chips = 0;
  for (const PoolUse& pool : result.pools) {
    chips += pool.chips;
    point.utilisation = std::max(point.utilisation, pool.bottleneck_busy);
  }
  point.output_tokens_per_s_per_chip = point.output_tokens_per_s / static_cast<double>(chips);
  const auto backlog = backlog_of(result);
  point.saturated = backlog && backlog->grows();
  point.meets_slo = broken_objectives(scenario.slo, point).empty();
  return point;
}

std::string load_unit_of(const Traffic& traffic) {
  const bool is_closed = traffic.arrivals == ArrivalKind::Closed;
  std::string unit = is_closed ? "users" : "requests";
  if (traffic.has_agents()) unit = fmt::format("groups of {} agents", traffic.agents);
  if (traffic.branches > 1) unit = fmt::format("groups of {} answers", traffic.branches);
  if (traffic.has_sessions()) unit = "sessions";
  if (traffic.arrivals == ArrivalKind::Ramp) return unit + "/s at the start of the ramp";
  return is_closed ? unit : unit + "/s";
}

CapacityResult find_capacity(const Scenario& scenario, ServiceModel& model,
                             const CapacityOptions& options) {
  if (scenario.traffic.arrivals != ArrivalKind::Closed && scenario.traffic.rate <= 0) {
    throw ConfigError(
        "capacity: all requests of the trace come at once, so there is no rate to raise; write "
        "'arrivals: poisson' with a 'rate'");
  }
  LoadTrials trials(scenario, model, options.run);
  const LoadSteps steps(scenario.traffic, model, options.tolerance);
  const LoadBracket found = bracket_and_bisect(steps, trials);
  CapacityResult result;
  result.load_unit = load_unit_of(scenario.traffic);
  result.tolerance = options.tolerance;
  result.load = found.good;
  result.run = trials.serve(found.good > 0 ? found.good : trials.points().begin()->first);
  result.bottleneck = busiest_pool(result.run);
  if (found.bad > 0) {
    result.next = trials.point(found.bad);
    result.limit = limit_at(scenario.slo, result.next);
    if (auto warning = warning_of_start(scenario, result.next)) {
      result.warnings.push_back(std::move(*warning));
    }
  } else {
    result.limit = limit_without_failure(scenario, model);
  }
  if (options.curve) {
    for (const auto& [load, point] : trials.points()) result.curve.push_back(point);
  }
  return result;
}

}  // namespace tandem
