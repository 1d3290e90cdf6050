#include "sim/config/check_scenario.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "sim/config/loader.hpp"
#include "sim/config/placement_factors.hpp"
#include "sim/describe/kv_slots.hpp"

namespace tandem::config {
namespace {

SourcePlace place_of(const Tree& tree, const char* key) {
  const Tree* value = tree.find(key);
  return value == nullptr ? tree.place : value->place;
}

/// Checks of one phase; `tree` is the map its keys stand in.
class PhaseCheck {
 public:
  PhaseCheck(const Scenario& scenario, const PoolPlacement& placement, const Tree& tree,
             Problems& problems)
      : scenario_(scenario),
        network_(&placement == &scenario.placement.draft ? scenario.draft_model : scenario.model),
        placement_(placement),
        tree_(tree),
        problems_(problems) {}

  /// Chips that others take from the same pool: the other phase, and other models.
  struct Taken {
    std::int64_t by_phase = 0;
    std::int64_t by_models = 0;
  };
  void run(const Taken& taken) const {
    check_pool(taken);
    check_stages();
    check_precision();
  }
  [[nodiscard]] std::int64_t chips() const {
    return placement_.gang() * (placement_.pipeline + placement_.head_chips) * placement_.replicas +
           placement_.spares;
  }

 private:
  void check_pool(const Taken& taken) const {
    if (placement_.pool.empty()) return;  // reported as missing
    std::vector<std::string> pools;
    for (const ChipGroup& group : scenario_.system.groups) pools.push_back(group.pool);
    const auto found = std::find(pools.begin(), pools.end(), placement_.pool);
    if (found == pools.end()) {
      problems_.report(
          place_of(tree_, "pool"),
          fmt::format("system '{}' has no pool '{}'; it has {}{}", scenario_.system.name,
                      placement_.pool, fmt::join(pools, ", "), suggestion(placement_.pool, pools)));
      return;
    }
    const ChipGroup& group = scenario_.system.group(placement_.pool);
    const std::int64_t needed = chips() + taken.by_phase + taken.by_models;
    if (needed <= group.count) return;
    const auto further = [](std::int64_t count, const char* what) {
      return count > 0 ? fmt::format(" + {} {}", count, what) : std::string{};
    };
    problems_.report(
        place_of(tree_, largest_factor(placement_)),
        fmt::format("placement needs {} chips of pool '{}' ({}({} pipeline + {} head) x {} copies"
                    "{}{}{}), {} more than the {} that system '{}' has",
                    needed, placement_.pool, gang_text(placement_), placement_.pipeline,
                    placement_.head_chips, placement_.replicas,
                    further(placement_.spares, "spares"),
                    further(taken.by_phase, "of the other phase"),
                    further(taken.by_models, "of the models before"), needed - group.count,
                    group.count, scenario_.system.name));
  }
  void check_stages() const {
    const NeuralNetwork& network = network_;
    if (network.name == from_checkpoint || network.layers() == 0) return;
    if (placement_.pipeline > network.layers()) {
      problems_.report(place_of(tree_, "pipeline"),
                       fmt::format("pipeline {} has more stages than the {} layers of '{}'",
                                   placement_.pipeline, network.layers(), network.name));
    }
    if (placement_.head_chips > network.vocabulary) {
      problems_.report(place_of(tree_, "head_chips"),
                       fmt::format("head_chips {} is more than the vocabulary {} of '{}'",
                                   placement_.head_chips, network.vocabulary, network.name));
    }
  }

  void check_precision() const {
    const Tree* tree = tree_.find("precision");
    const NeuralNetwork& network = network_;
    if (tree == nullptr || network.name == from_checkpoint || network.layers() == 0) return;
    check_overrides(tree->find("overrides"));
    const std::string kv = kv_problem(network, placement_.precision);
    if (!kv.empty()) problems_.report(place_of(*tree, "kv_cache"), kv);
    for (const TensorSpec& tensor : tensors_of(network)) {
      const WeightStorage stored =
          placement_.precision.values_of(part_of(tensor), layer_of(tensor));
      if (stored.format == nullptr || !stored.format->whole_groups) continue;
      const std::int64_t group = stored.format->granularity.cols;
      if (tensor.shape.back() % group == 0) continue;
      return problems_.report(
          tree->place,
          fmt::format("{} stores whole groups of {}, and '{}' of '{}' has rows of {}; "
                      "write int4_g32 instead",
                      stored.format->name, group, tensor.name, network.name, tensor.shape.back()));
    }
  }

  /// Whether what overrides name is there; those that did not parse are left out of the placement.
  void check_overrides(const Tree* list) const {
    const auto& overrides = placement_.precision.overrides;
    if (list == nullptr || list->items.size() != overrides.size()) return;
    for (std::size_t i = 0; i < overrides.size(); ++i) {
      const WeightOverride& change = overrides[i];
      if (change.first_layer >= network_.layers()) {
        problems_.report(list->items[i].place,
                         fmt::format("'{}' has layers 0 to {}; 'layers' begins at {}",
                                     network_.name, network_.layers() - 1, change.first_layer));
      }
      if (change.part && !has_part(*change.part)) {
        problems_.report(list->items[i].place, fmt::format("'{}' has no {}; leave this part out",
                                                           network_.name, name_of(*change.part)));
      }
      if (change.part != WeightPart::Head || !network_.tied_embeddings) continue;
      problems_.report(list->items[i].place,
                       fmt::format("the head of '{}' is its embedding table; write 'part: "
                                   "embedding'",
                                   network_.name));
    }
  }

  [[nodiscard]] bool has_part(WeightPart part) const {
    if (part == WeightPart::Head) return true;  // tied or not
    return std::ranges::any_of(tensors_of(network_),
                               [&](const TensorSpec& tensor) { return part_of(tensor) == part; });
  }

  const Scenario& scenario_;
  const NeuralNetwork& network_;  ///< that the pool runs
  const PoolPlacement& placement_;
  const Tree& tree_;
  Problems& problems_;
};

void check_bridge(const Scenario& scenario, const std::string& from, const std::string& to,
                  const char* what, const Tree& tree, Problems& problems) {
  if (from == to) return;
  const auto& bridges = scenario.system.bridges;
  const bool is_joined = std::any_of(bridges.begin(), bridges.end(), [&](const Bridge& bridge) {
    return (bridge.from == from && bridge.to == to) || (bridge.from == to && bridge.to == from);
  });
  if (is_joined) return;
  problems.report(tree.place, fmt::format("system '{}' has no bridge between the pools '{}' and "
                                          "'{}', so {} cannot move",
                                          scenario.system.name, from, to, what));
}

/// Chips with static schedules share layers by `tensor` alone.
void check_gang(const Scenario& scenario, const PoolPlacement& placement, const Tree& tree,
                Problems& problems) {
  const auto of_pool = [&](const ChipGroup& group) { return group.pool == placement.pool; };
  const auto& groups = scenario.system.groups;
  const auto group = std::find_if(groups.begin(), groups.end(), of_pool);
  if (group == groups.end() || !is_lpu(scenario.system, *group)) return;
  const std::pair<const char*, std::int64_t> others[] = {
      {"context", placement.context},
      {"attention_data", placement.attention_data},
      {"expert", placement.expert}};
  for (const auto& [key, count] : others) {
    if (count == 1) continue;
    problems.report(place_of(tree, key),
                    fmt::format("'{}: {}' is for pools of GPUs; LPUs share every layer and every "
                                "expert by 'tensor'",
                                key, count));
  }
}

/// Keys that would change nothing where they stand.
void check_idle_keys(const Placement& placement, const PoolPlacement& pool, const Tree& tree,
                     Problems& problems) {
  const bool meets_others = pool.gang() > 1 || (placement.has_ffn() && &pool == &placement.decode);
  if (pool.micro_batches > 1 && !meets_others) {
    problems.report(place_of(tree, "micro_batches"),
                    fmt::format("'micro_batches: {}' is for chips that wait for others meanwhile; "
                                "leave it out, or give the pool a gang, e.g. 'tensor: 8'",
                                pool.micro_batches));
  }
  if (pool.bridge_links == 0) return;
  if (!placement.has_ffn() || &pool != &placement.ffn) {
    problems.report(place_of(tree, "bridge_links"),
                    "'bridge_links' is for the 'ffn' pool of attention_ffn; leave it out");
  } else if (pool.bridge_links > pool.tensor) {
    problems.report(place_of(tree, "bridge_links"),
                    fmt::format("'bridge_links' is {}, more than the {} chips of a gang; must be 1 "
                                "to 'tensor', or left out for all of them",
                                pool.bridge_links, pool.tensor));
  }
}

/// The pools of a placement, each with the map its keys stand in; pools that are missing are not.
std::vector<std::pair<const PoolPlacement*, const Tree*>> phases_in(const Placement& placement,
                                                                    const Tree& tree) {
  using NamedPools = std::vector<std::pair<const PoolPlacement*, const char*>>;
  NamedPools pools = {{&placement.prefill, "prefill"},
                      {&placement.decode, placement.has_ffn() ? "attention" : "decode"},
                      {&placement.ffn, "ffn"}};
  if (placement.has_drafter()) {
    pools = {{&placement.draft, "draft"}, {&placement.prefill, "verify"}};
  } else if (!placement.is_split()) {
    return {{&placement.decode, &tree}};
  }
  std::vector<std::pair<const PoolPlacement*, const Tree*>> phases;
  for (const auto& [pool, key] : pools) {
    const Tree* own = tree.find(key);
    if (own != nullptr) phases.emplace_back(pool, own);
  }
  return phases;
}

void check_length(const Scenario& scenario, const NeuralNetwork& network, const Tree& tree,
                  Problems& problems) {
  if (network.name == from_checkpoint || network.max_context == 0) return;
  const Traffic& traffic = scenario.traffic;
  if (traffic.trace) return;  // fit_trace() looks at each request
  const std::int64_t drafts = scenario.placement.speculation.drafted();  // of the last round
  const std::int64_t most = longest_request(traffic) + drafts;
  if (most <= network.max_context) return;
  problems.report(
      place_of(tree,
               traffic.output_tokens > traffic.prompt_tokens ? "output_tokens" : "prompt_tokens"),
      fmt::format("prompt and output{} together take up to {} tokens, more than the context {} of "
                  "'{}'",
                  drafts > 0 ? " and the drafts of a round" : "", most, network.max_context,
                  network.name));
}

/// Keys of groups that do not go together, or not with the placement.
void check_groups(const Scenario& scenario, const Tree& tree, Problems& problems) {
  const Traffic& traffic = scenario.traffic;
  const Placement& placement = scenario.placement;
  if (traffic.has_sessions() && traffic.has_groups()) {
    problems.report(place_of(tree, "turns"),
                    "'turns' does not go with 'branches', 'agents' and 'rounds'; leave one of them "
                    "out");
  }
  if (!traffic.has_agents()) {
    if (traffic.shared_prefix_tokens > 0 && !traffic.has_sessions()) {
      problems.report(place_of(tree, "shared_prefix_tokens"),
                      "'shared_prefix_tokens' is for several agents, rounds or turns; write e.g. "
                      "'agents: 4' beside it, or leave it out");
    }
  } else if (traffic.branches > 1) {
    problems.report(place_of(tree, "branches"),
                    "'branches' does not go with 'agents' and 'rounds'; leave one of them out");
  }
  if (!traffic.has_groups()) return;
  const char* key = traffic.has_agents() ? (traffic.agents > 1 ? "agents" : "rounds") : "branches";
  if (placement.speculation.is_on() || placement.has_drafter()) {
    problems.report(place_of(tree, key), fmt::format("'{}' is not supported with speculative "
                                                     "decoding; leave one of them out",
                                                     key));
  }
  if (traffic.has_agents() && placement.is_split()) {
    problems.report(place_of(tree, key),
                    fmt::format("'{}' needs a placement of mode monolithic: between pools a prefix "
                                "would cross with each of its prompts",
                                key));
  }
}

/// Feed-forward chips belong to a replica of the attention pool.
void check_replicas(const Placement& placement, const Tree& tree, Problems& problems) {
  if (!placement.has_ffn() || placement.ffn.replicas == placement.decode.replicas) return;
  problems.report(
      place_of(*tree.find("ffn"), "replicas"),
      fmt::format("'ffn' has {} replicas and 'attention' {}; each replica of the "
                  "attention pool has feed-forward chips of its own: write "
                  "'replicas: {}' under 'ffn'",
                  placement.ffn.replicas, placement.decode.replicas, placement.decode.replicas));
}

}  // namespace

bool is_lpu(const System& system, const ChipGroup& group) {
  const auto chip = system.chips.find(group.chip);
  return chip != system.chips.end() && chip->second.model == "lpu";
}

void check_gangs(const Scenario& scenario, const Tree& tree, Problems& problems) {
  for (const auto& [pool, own] : phases_in(scenario.placement, tree)) {
    check_gang(scenario, *pool, *own, problems);
    check_idle_keys(scenario.placement, *pool, *own, problems);
  }
}

void check_placement(const Scenario& scenario, const Tree& tree, ChipsWanted& taken,
                     Problems& problems) {
  const Placement& placement = scenario.placement;
  const auto phases = phases_in(placement, tree);
  const bool has_two = placement.is_split() || placement.has_drafter();
  if (phases.size() < (placement.has_ffn() ? 3u : has_two ? 2u : 1u)) return;
  const std::size_t before = problems.size();
  const ChipsWanted by_models = taken;
  for (const auto& [pool, own] : phases) {
    const PhaseCheck check(scenario, *pool, *own, problems);
    const auto before_all = by_models.find(pool->pool);
    const std::int64_t others = before_all == by_models.end() ? 0 : before_all->second;
    check.run({taken[pool->pool] - others, others});
    taken[pool->pool] += check.chips();
  }
  if (problems.size() == before && placement.has_drafter()) {
    check_bridge(scenario, placement.draft.pool, placement.prefill.pool, "drafts", tree, problems);
  }
  if (!placement.is_split() || problems.size() != before) return;
  check_replicas(placement, tree, problems);
  check_bridge(scenario, placement.prefill.pool, placement.decode.pool, "the KV cache", tree,
               problems);
  if (!placement.has_ffn()) return;
  check_bridge(scenario, placement.decode.pool, placement.ffn.pool, "hidden states", tree,
               problems);
}

void check_policy(const Scenario& scenario, const Tree& tree, Problems& problems) {
  const Tree* serving = tree.find("serving");
  const std::string& policy = scenario.serving.policy;
  if (serving == nullptr || policy == "vllm_v1") return;
  const auto refuse = [&](const char* what) {
    problems.report(
        place_of(*serving, "policy"),
        fmt::format("'policy: {}' does not go with {}; write 'policy: vllm_v1'", policy, what));
  };
  if (scenario.placement.speculation.is_on()) refuse("speculative decoding");
  if (policy == "static" && scenario.placement.is_split()) refuse("pools for prompts and tokens");
}

namespace {

bool shares_prefixes(const Traffic& traffic) {
  if (!traffic.trace) return traffic.has_sessions();
  const auto& requests = traffic.trace->requests;
  return std::any_of(requests.begin(), requests.end(),
                     [](const TracedRequest& request) { return !request.shared.empty(); });
}

}  // namespace

void check_prefix_cache(const Scenario& scenario, const Tree& tree, Problems& problems) {
  const Traffic& traffic = scenario.traffic;
  const Serving& rules = scenario.serving;
  if (traffic.has_groups() && rules.eviction.is_on()) {
    problems.report(tree.find("serving")->find("eviction")->place,
                    "requests of a group share blocks, of which eviction would leave each another "
                    "part; leave 'eviction' or the groups out");
  }
  if (traffic.has_agents() && !rules.prefix_cache) {
    problems.report(
        place_of(*tree.find("serving"), "prefix_cache"),
        "agents share their prefix; leave 'prefix_cache: false' out, or write traffic of "
        "single requests");
  }
  if (!scenario.serving.prefix_cache || !shares_prefixes(traffic)) return;
  const char* other = scenario.placement.speculation.is_on() ? "speculative decoding" : nullptr;
  if (scenario.serving.eviction.is_on()) other = "eviction";
  if (other == nullptr) return;
  const Tree& load = *tree.find("traffic");
  problems.report(place_of(load, traffic.trace ? "trace" : "turns"),
                  fmt::format("prompts of {} share prefixes, which is not supported with "
                              "{}; write 'serving: {{prefix_cache: false}}' to compute all of them",
                              traffic.trace ? "this trace" : "sessions", other));
}

void check_lengths(const Scenario& scenario, const Tree& tree, Problems& problems) {
  if (scenario.placement.speculation.method == DraftMethod::DraftModel) {
    check_length(scenario, scenario.draft_model, tree, problems);
  }
  check_length(scenario, scenario.model, tree, problems);
  check_groups(scenario, tree, problems);
}

}  // namespace tandem::config
