// Settings of the routing between replicas that do not go together.
#include <fmt/format.h>

#include <algorithm>

#include "sim/config/check_scenario.hpp"

namespace tandem::config {
namespace {

bool has_sessions(const Traffic& traffic) {
  if (!traffic.trace) return traffic.has_sessions();
  const auto& requests = traffic.trace->requests;
  return std::any_of(requests.begin(), requests.end(),
                     [](const TracedRequest& request) { return request.session >= 0; });
}

bool decodes_on_gpus(const Scenario& scenario) {
  const auto& groups = scenario.system.groups;
  return std::none_of(groups.begin(), groups.end(), [&](const ChipGroup& group) {
    return group.pool == scenario.placement.decode.pool && is_lpu(scenario.system, group);
  });
}

void check_local_prefill(const Scenario& scenario, const Tree& serving, Problems& problems) {
  const Tree* local = serving.find("local_prefill_tokens");
  if (local == nullptr || scenario.serving.local_prefill_tokens == 0) return;
  const bool is_split = scenario.placement.mode == PlacementMode::Disaggregated;
  if (is_split && decodes_on_gpus(scenario) && !scenario.placement.speculation.is_on()) return;
  problems.report(local->place,
                  "'local_prefill_tokens' is for mode disaggregated with a pool of GPUs that "
                  "decodes, without speculation; leave it out");
}

}  // namespace

void check_router(const Scenario& scenario, const Tree& tree, Problems& problems) {
  const Tree* serving = tree.find("serving");
  if (serving != nullptr) check_local_prefill(scenario, *serving, problems);
  const Tree* router = serving == nullptr ? nullptr : serving->find("router");
  if (router == nullptr) return;
  const std::string& policy = scenario.serving.router;
  const bool is_by_load = policy == "least_loaded" || policy == "round_robin";
  if (!is_by_load && scenario.placement.has_drafter()) {
    problems.report(router->place,
                    fmt::format("'router: {}' does not go with mode drafter, whose requests have "
                                "two replicas; write 'router: least_loaded'",
                                policy));
  }
  if (policy == "kv_overlap" && !scenario.serving.prefix_cache) {
    problems.report(router->place,
                    "'router: kv_overlap' looks for cached prefixes, and 'prefix_cache: false' "
                    "keeps none; leave one of them out");
  }
  if (policy == "session_affinity" && !has_sessions(scenario.traffic)) {
    problems.report(router->place,
                    "'router: session_affinity' needs traffic with sessions: 'turns', or a trace "
                    "with a column 'session'");
  }
}

}  // namespace tandem::config
