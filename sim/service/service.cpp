#include "sim/service/service.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "sim/core/diagnostics.hpp"
#include "sim/describe/mix.hpp"
#include "sim/service/deployment_run.hpp"
#include "sim/service/model_router.hpp"
#include "sim/service/session_turns.hpp"
#include "sim/service/shared_links.hpp"
#include "sim/service/source.hpp"

namespace tandem {

/// The parts of one run, alive while it lasts.
class ServiceRun {
 public:
  ServiceRun(ServiceModel& model, const Traffic& traffic, const RunOptions& options)
      : model_(model),
        scenario_(model.scenario_),
        traffic_(traffic),
        options_(options),
        seed_(options.seed.value_or(model.scenario_.seed)),
        sampler_(seed_, options.audit_steps.value_or(model.scenario_.audit_steps)),
        links_(make_links()) {
    const RunParts parts{traffic_,    options_, seed_, agenda_, sampler_, model.make_network_,
                         links_.get()};
    for (std::size_t i = 0; i < model.deployments_.size(); ++i) add_deployment(i, parts);
    connect();
  }

  RunResult run() {
    source_->start();
    agenda_.run(options_.poll);
    if (source_->answered_count() != traffic_.requests) {
      throw ModelError(
          fmt::format("service: {} of {} requests were never answered: the scheduler's rules "
                      "never begin them; give steps or the KV cache more room",
                      traffic_.requests - source_->answered_count(), traffic_.requests));
    }
    return collect();
  }

 private:
  /// Several models share the links; one has them to itself.
  [[nodiscard]] std::unique_ptr<SharedLinks> make_links() {
    if (!scenario_.is_mix()) return nullptr;
    auto links = std::make_unique<SharedLinks>(model_.make_network_(scenario_.system), agenda_);
    agenda_.add(*links, "links");
    return links;
  }

  /// A deployment on chips of its own with the tiers that stand on them, or its place in one.
  void add_deployment(std::size_t index, const RunParts& parts) {
    if (scenario_.is_mix() && scenario_.deployments[index].host) {
      const std::size_t host = *scenario_.deployments[index].host;
      const Place& first = places_[host];
      const auto tiers = std::count_if(places_.begin(), places_.end(),
                                       [&](const Place& place) { return place.run == first.run; });
      places_.push_back({first.run, static_cast<std::size_t>(tiers)});
      return;
    }
    std::vector<HostedTier> hosted;
    for (std::size_t i = 0; i < scenario_.deployments.size(); ++i) {
      if (scenario_.deployments[i].host != index) continue;
      hosted.push_back({*model_.deployments_[i], name_of(i)});
    }
    deployments_.push_back(std::make_unique<DeploymentRun>(*model_.deployments_[index],
                                                           name_of(index), parts, hosted));
    places_.push_back({deployments_.back().get(), 0});
  }

  /// From an arrival to the next of the same user, in an empty system.
  [[nodiscard]] Picoseconds time_of_user() {
    const Picoseconds answer = model_.time_alone();
    if (!traffic_.has_sessions()) return answer;
    return answer * traffic_.turns + from_seconds(traffic_.think_time_s) * (traffic_.turns - 1);
  }

  [[nodiscard]] std::string name_of(std::size_t deployment) const {
    return scenario_.is_mix() ? scenario_.deployments[deployment].name : std::string{};
  }

  /// Source -> deployments -> source; between them, in a mix, what chooses the model.
  void connect() {
    RequestInlet* inlet = &deployments_.front()->inlet();
    if (scenario_.is_mix()) {
      model_router_ = std::make_unique<ModelRouter>(scenario_, seed_, agenda_);
      agenda_.add(*model_router_, "model_router");
      inlet = model_router_.get();
    }
    const bool shares_prefixes = std::ranges::any_of(
        model_.deployments_, [](const auto& own) { return own->scenario().serving.prefix_cache; });
    if (traffic_.has_sessions()) {
      const std::int64_t block_tokens =
          model_.deployments_.front()->scenario().serving.kv_block_tokens;
      turns_ = std::make_unique<SessionTurns>(traffic_, block_tokens, shares_prefixes, seed_,
                                              agenda_, *inlet);
      agenda_.add(*turns_, "turns");
      inlet = turns_.get();
    }
    source_ = std::make_unique<RequestSource>(traffic_, time_of_user(), shares_prefixes, seed_,
                                              agenda_, *inlet);
    agenda_.add(*source_, "source");
    AnswerSink* answers = source_.get();
    if (turns_) {
      turns_->connect(*source_);
      answers = turns_.get();
    }
    if (model_router_) {
      std::vector<RequestInlet*> inlets;
      for (const Place& place : places_) inlets.push_back(&place.run->inlet(place.tier));
      model_router_->connect(std::move(inlets), *source_);
      answers = model_router_.get();
    }
    for (const auto& deployment : deployments_) deployment->connect(*answers);
  }

  [[nodiscard]] std::vector<const Request*> requests_by_id() const {
    std::vector<const Request*> requests;
    for (const Request& request : source_->requests()) requests.push_back(&request);
    const RequestGroups* groups = deployments_.front()->groups();
    const std::deque<Request>* further = groups ? &groups->requests() : nullptr;
    if (turns_) further = &turns_->requests();
    if (further == nullptr) return requests;
    for (const Request& request : *further) requests.push_back(&request);
    std::sort(requests.begin(), requests.end(),
              [](const Request* a, const Request* b) { return a->id < b->id; });
    return requests;
  }

  /// Adds requests to a result; returns when the last of them was answered.
  static Picoseconds add_requests(const std::vector<const Request*>& requests, RunResult& result) {
    Picoseconds last = requests.empty() ? Picoseconds(0) : requests.front()->arrival;
    for (const Request* request : requests) {
      result.requests.push_back(record_of(*request));
      result.output_tokens += request->output;
      result.input_tokens += request->prompt - request->cached_tokens;
      last = std::max(last, request->finish);
    }
    return last;
  }

  void record_requests(const std::vector<const Request*>& requests) const {
    if (options_.timeline == nullptr) return;
    for (const Request* request : requests) {
      const auto track =
          options_.timeline->track("requests", fmt::format("request {}", request->id));
      options_.timeline->span(track, "first token", request->arrival, request->first_token);
      if (request->output > 1) {
        options_.timeline->span(track, "further tokens", request->first_token, request->finish);
      }
    }
  }

  [[nodiscard]] RunResult empty_result() const {
    RunResult result;
    result.traffic = traffic_;
    result.seed = seed_;
    result.fidelity = options_.fidelity;
    return result;
  }

  RunResult collect() {
    RunResult result = empty_result();
    if (model_router_) {
      collect_mix(result);
    } else {
      const std::vector<const Request*> requests = requests_by_id();
      const Picoseconds first = source_->requests().front().arrival;
      result.simulated_s = to_seconds(add_requests(requests, result) - first);
      record_requests(requests);
      deployments_.front()->collect(result);
      if (turns_) result.sessions = turns_->use();
    }
    collect_sample(result);
    return result;
  }

  /// What users see, and what each deployment did for it.
  void collect_mix(RunResult& result) {
    std::vector<Request> answered;
    for (const ModelRouter::Course& course : model_router_->courses()) {
      answered.push_back(as_answered(course));
    }
    std::vector<const Request*> requests;
    for (const Request& request : answered) requests.push_back(&request);
    std::map<std::size_t, DeploymentResult> results;
    const Picoseconds first = answered.front().arrival;
    result.simulated_s = to_seconds(add_requests(requests, result) - first);
    for (std::size_t i = 0; i < answered.size(); ++i) {
      result.requests[i].deployment = name_of(model_router_->courses()[i].answering);
    }
    for (const auto& deployment : deployments_) {
      RunResult own = empty_result();
      own.simulated_s = result.simulated_s;
      deployment->collect(own);
      add_work(own, result);
      for (std::size_t i = 0; i < places_.size(); ++i) {
        if (places_[i].run == deployment.get()) results[i] = deployment_result(i, own);
      }
    }
    for (auto& [index, own] : results) result.deployments.push_back(std::move(own));
    for (const auto& [name, use] : links_->usage()) {
      result.links[name].busy = use.busy;
      result.links[name].peak_queue = use.peak_queue;
    }
  }

  /// `work`: of all tiers on the chips.
  [[nodiscard]] DeploymentResult deployment_result(std::size_t index, const RunResult& work) const {
    DeploymentResult own;
    own.name = name_of(index);
    own.model = scenario_.deployments[index].model.name;
    std::vector<const Request*> visits;
    for (const ModelRouter::Course& course : model_router_->courses()) {
      own.answers += course.answering == index ? 1 : 0;
      const std::size_t visit = index - course.first;
      if (index >= course.first && visit < course.visits.size()) {
        visits.push_back(course.visits[visit]);
      }
    }
    const Place& place = places_[index];
    if (place.run->has_tiers()) {
      own.run = empty_result();
      own.run.simulated_s = work.simulated_s;
      place.run->collect_tier(place.tier, own.run);
    } else {
      own.run = work;
    }
    add_requests(visits, own.run);
    record_requests(visits);
    own.run.simulated_s = to_seconds(model_router_->occupied(index)) *
                          (place.run->has_tiers() ? place.run->share_of_tier(place.tier) : 1);
    return own;
  }

  /// Sums over the deployments.
  static void add_work(const RunResult& own, RunResult& result) {
    result.pools.insert(result.pools.end(), own.pools.begin(), own.pools.end());
    result.itl_ms.insert(result.itl_ms.end(), own.itl_ms.begin(), own.itl_ms.end());
    const auto merged = std::ssize(result.bursts);
    result.bursts.insert(result.bursts.end(), own.bursts.begin(), own.bursts.end());
    std::inplace_merge(result.bursts.begin(), result.bursts.begin() + merged, result.bursts.end(),
                       [](const TokenBurst& a, const TokenBurst& b) { return a.at < b.at; });
    result.steps += own.steps;
    result.steps_simulated += own.steps_simulated;
    result.steps_interpolated += own.steps_interpolated;
    result.kv_transfers += own.kv_transfers;
    for (const auto& [model, count] : own.kernels) result.kernels[model] += count;
    for (const auto& [name, use] : own.links) result.links[name].bytes += use.bytes;
  }

  void collect_sample(RunResult& result) const {
    if (options_.fidelity == Fidelity::Cycle) result.audit = sampler_.audit();
    for (const SampledStep& step : sampler_.representatives()) {
      for (const auto& deployment : deployments_) {
        const std::string key = deployment->key_of(*step.pool);
        if (!key.empty()) result.representatives.push_back({key, step.batch});
      }
    }
  }

  ServiceModel& model_;
  const Scenario& scenario_;
  Traffic traffic_;
  RunOptions options_;
  std::uint64_t seed_;
  SystemAgenda agenda_;
  StepSampler sampler_;
  std::unique_ptr<SharedLinks> links_;                       ///< of a mix
  std::vector<std::unique_ptr<DeploymentRun>> deployments_;  ///< those with chips of their own
  /// Of every deployment: whose chips it runs on, and which tier it is there.
  struct Place {
    DeploymentRun* run;
    std::size_t tier;
  };
  std::vector<Place> places_;
  std::unique_ptr<ModelRouter> model_router_;  ///< of a mix
  std::unique_ptr<SessionTurns> turns_;        ///< where arrivals are sessions
  std::unique_ptr<RequestSource> source_;
};

ServiceModel::ServiceModel(const Scenario& scenario, const Catalogue& catalogue,
                           NetworkFactory make_network, std::optional<std::string> store)
    : scenario_(scenario),
      make_network_(std::move(make_network)),
      store_(store ? std::optional<std::filesystem::path>(*store) : std::nullopt) {
  ChipsTaken taken;
  const auto add = [&](const Scenario& side, ChipsTaken& own) {
    deployments_.push_back(
        std::make_unique<DeploymentModel>(side, catalogue, make_network_, store_, own));
  };
  if (!scenario.is_mix()) add(scenario, taken);
  std::vector<ChipsTaken> before;
  for (std::size_t i = 0; i < scenario.deployments.size(); ++i) {
    const std::optional<std::size_t> host = scenario.deployments[i].host;
    const Scenario& side = sides_.emplace_back(deployment_side(scenario, i));
    before.push_back(host ? before[*host] : taken);
    ChipsTaken of_host = before.back();
    add(side, host ? of_host : taken);
  }
}

ServiceModel::~ServiceModel() = default;

RunResult ServiceModel::run(const Traffic& traffic, const RunOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t hits = store_.loaded();
  const std::int64_t misses = store_.computed();
  RunResult result = ServiceRun(*this, traffic, options).run();
  result.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.store_hits = store_.loaded() - hits;
  result.store_misses = store_.computed() - misses;
  return result;
}

Picoseconds ServiceModel::time_alone() {
  if (!scenario_.is_mix()) return deployments_.front()->time_alone();
  const std::vector<double> loads = expected_loads(scenario_);
  double seconds = 0;
  for (std::size_t i = 0; i < loads.size(); ++i) {
    seconds += loads[i] * to_seconds(deployments_[i]->time_alone());
  }
  return from_seconds(seconds);
}

std::size_t ServiceModel::deployment_of(const std::string& pool) const {
  const std::string name = pool.substr(0, pool.find('.'));
  for (std::size_t i = 0; i < scenario_.deployments.size(); ++i) {
    if (scenario_.deployments[i].name == name) return i;
  }
  return 0;
}

const PoolModel& ServiceModel::pool_named(const std::string& name) const {
  return deployments_[deployment_of(name)]->pool_named(phase_of_pool(name));
}

std::string phase_of_pool(const std::string& name) {
  return name.substr(name.rfind('.') + 1);
}

RunResult run(const Scenario& scenario, const Catalogue& catalogue,
              const NetworkFactory& make_network, const RunOptions& options) {
  ServiceModel model(scenario, catalogue, make_network, options.store);
  return model.run(scenario.traffic, options);
}

}  // namespace tandem
