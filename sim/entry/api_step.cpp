// `tandem step`: one forward pass of a pool by itself.
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/service/host_clock.hpp"
#include "sim/step/pool_model.hpp"

namespace tandem::entry {
namespace {

using Json = nlohmann::ordered_json;

/// Requests of one pass at most: beyond any service, and their tokens stay far inside 64 bits.
constexpr std::int64_t most_requests = 1'000'000;

void check_passes(const StepRequest& request) {
  if (request.requests < 1 || request.requests > most_requests) {
    throw ConfigError(
        fmt::format("--requests {}: must be between 1 and {}", request.requests, most_requests));
  }
  if (request.new_tokens < 1) {
    throw ConfigError(fmt::format("--new {}: must be at least 1", request.new_tokens));
  }
  if (request.cached < 0) {
    throw ConfigError(fmt::format("--cached {}: must be at least 0", request.cached));
  }
}

/// The pool that the request asks for, as the service would place it.
std::unique_ptr<PoolModel> make_pool(const Context& context, const Scenario& scenario,
                                     const StepRequest& request, StageStore& store) {
  const Placement& placement = scenario.placement;
  const bool decodes = request.pool == "decode";
  const PoolPlacement& own = decodes ? placement.decode : placement.prefill;
  const LayerDuty duty = decodes && placement.has_ffn() ? LayerDuty::Mixers : LayerDuty::Whole;
  auto pool = std::make_unique<PoolModel>(scenario, own, 0, context.catalogue, context.make_network,
                                          store, duty);
  if (request.all_ranks) pool->simulate_all_ranks();
  return pool;
}

Batch equal_requests(const StepRequest& request) {
  Batch batch;
  for (std::int64_t i = 0; i < request.requests; ++i) {
    batch.slices.push_back({i, request.cached, request.new_tokens, true});
  }
  return batch;
}

/// Time that the framework adds to a pass, as in a service; chips with static schedules have none.
/// Chips with static schedules check the context themselves.
void require_room(const StepRequest& request, const PoolModel& pool) {
  if (pool.chip().batch_limit() > 0) return;
  const std::int64_t each = request.cached + request.new_tokens;
  const std::int64_t room = pool.kv_room().tokens;
  if (each <= room / request.requests) return;
  throw ConfigError(fmt::format(
      "{} requests of {} tokens need KV of {} tokens; a replica of pool '{}' has room for {}: ask "
      "for at most {} requests, or for fewer tokens of each",
      request.requests, each, request.requests * each, pool.placement().pool, room, room / each));
}

/// Host time that adds to a step of `period`.
Picoseconds framework_time(const Scenario& scenario, const PoolModel& pool, std::int64_t requests,
                           Picoseconds period) {
  if (pool.is_static()) return Picoseconds(0);
  const HostTime time = host_time(scenario, pool.placement().gang());
  const Picoseconds host = time.step + time.sequence * requests;
  return time.beside ? std::max(Picoseconds(0), host - period) : host;
}

/// All that work on a pass, those of the feed-forward pool too.
std::int64_t chips_of(const PoolModel& pool) {
  const FeedForwardPool* feeding = pool.feed_forward();
  return pool.chips_per_replica() + (feeding == nullptr ? 0 : feeding->chips());
}

Json times_of(const TimeParts& times) {
  Json json = Json::object();
  for (const auto& [role, time] : times) json[role] = to_milliseconds(time);
  return json;
}

/// What both texts say.
struct Figures {
  Picoseconds step, period, floor, overhead;
  double tokens_per_s = 0;
  std::int64_t chips = 0;
};

Figures figures_of(const StepCost& cost, const StepFloor& floor, Picoseconds overhead,
                   std::int64_t tokens, std::int64_t chips) {
  Figures figures{
      cost.latency() + overhead, cost.period() + overhead, floor.latency, overhead, 0, chips};
  figures.tokens_per_s = static_cast<double>(tokens) / to_seconds(figures.period);
  return figures;
}

Json step_json(const Scenario& scenario, const StepRequest& request, const StepCost& cost,
               const Figures& figures) {
  const auto per_chip = static_cast<double>(figures.chips);
  return {{"scenario", scenario.name},
          {"config_hash", scenario.config_hash},
          {"pool", request.pool},
          {"chips", figures.chips},
          {"requests", request.requests},
          {"new_tokens", request.new_tokens},
          {"cached_tokens", request.cached},
          {"step_ms", to_milliseconds(figures.step)},
          {"period_ms", to_milliseconds(figures.period)},
          {"floor_ms", to_milliseconds(figures.floor)},
          {"overhead_ms", to_milliseconds(figures.overhead)},
          {"tokens_per_s", figures.tokens_per_s},
          {"tokens_per_s_per_chip", figures.tokens_per_s / per_chip},
          {"parts_ms", times_of(cost.parts)},
          {"kernels", cost.kernels},
          {"bottleneck", cost.bottleneck}};
}

std::string step_page(const Scenario& scenario, const StepRequest& request, const StepCost& cost,
                      const Figures& figures) {
  std::string page = fmt::format(
      "{}, pool '{}': {} requests of {} new tokens on {} cached, {} chips\n"
      "  step      {:>12.4f} ms   (floor {:.4f} ms, framework {:.4f} ms)\n"
      "  period    {:>12.4f} ms   with the pipeline full\n"
      "  tokens/s  {:>12.1f}      {:.1f} per chip\n"
      "  bound by  {:>12}\n",
      scenario.name, request.pool, request.requests, request.new_tokens, request.cached,
      figures.chips, to_milliseconds(figures.step), to_milliseconds(figures.floor),
      to_milliseconds(figures.overhead), to_milliseconds(figures.period), figures.tokens_per_s,
      figures.tokens_per_s / static_cast<double>(figures.chips), cost.bottleneck);
  page += "  where one way through it spends its time\n";
  for (const auto& [role, time] : cost.parts) {
    page += fmt::format("    {:<30}{:>12.4f} ms\n", role, to_milliseconds(time));
  }
  return page;
}

}  // namespace

StepAnswer step_of(const Context& context, const StepRequest& request) {
  check_passes(request);
  const auto start = std::chrono::steady_clock::now();
  const Scenario scenario = runnable_scenario(context, request.scenario, request.overrides);
  require_one_model(scenario);
  StageStore store(request.store == "none" ? std::nullopt
                                           : std::optional<std::filesystem::path>(request.store));
  const std::unique_ptr<PoolModel> pool = make_pool(context, scenario, request, store);
  if (pool->is_static() && request.new_tokens > 1) {
    throw ConfigError(fmt::format("--new {}: chips of pool '{}' take one token per pass; write 1",
                                  request.new_tokens, pool->placement().pool));
  }
  require_room(request, *pool);
  const Batch batch = equal_requests(request);
  const StepCost& cost = pool->step(batch);
  const Figures figures = figures_of(
      cost, pool->floor(batch), framework_time(scenario, *pool, request.requests, cost.period()),
      batch.tokens(), chips_of(*pool));
  Json json = step_json(scenario, request, cost, figures);
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  json["run"] = {{"wall_s", wall.count()}, {"store_hits", store.loaded()}};
  return {json.dump(2) + "\n", step_page(scenario, request, cost, figures)};
}

}  // namespace tandem::entry
