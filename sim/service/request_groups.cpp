#include "sim/service/request_groups.hpp"

#include <algorithm>
#include <numeric>

namespace tandem {

RequestGroups::RequestGroups(const Traffic& traffic, std::int64_t block_tokens, std::uint64_t seed,
                             RequestInlet& inlet)
    : traffic_(traffic),
      block_tokens_(block_tokens),
      lengths_(seed, "group lengths"),
      inlet_(inlet) {
  use_.requests = traffic.branches * traffic.agents * traffic.rounds;
}

void RequestGroups::draw(Group& group) {
  group.prompts.push_back(group.root->prompt);
  group.outputs.push_back(group.root->output);
  for (std::int64_t i = 1; i < use_.requests; ++i) {
    const bool has_own_prompt = traffic_.has_agents();
    group.prompts.push_back(has_own_prompt ? draw_length(traffic_.prompt_tokens, traffic_, lengths_)
                                           : group.root->prompt);
    group.outputs.push_back(draw_length(traffic_.output_tokens, traffic_, lengths_));
  }
  // Between pools the prompt's KV goes along with the first branch, which has to go itself.
  const auto longest = std::max_element(group.outputs.begin(), group.outputs.end());
  if (group.outputs.front() == 1) std::iter_swap(group.outputs.begin(), longest);
}

void RequestGroups::arrived(Request& root, Picoseconds now) {
  root.group = root.id;
  root.id *= use_.requests;
  Group& group = groups_[root.group];
  group.root = &root;
  draw(group);
  ++use_.groups;
  use_.e2e_ms.push_back(0);
  send_round(group, now);
}

/// Branches send one request: the others follow when its prompt is computed.
void RequestGroups::send_round(Group& group, Picoseconds now) {
  const std::int64_t first = group.round * traffic_.agents;
  group.unanswered = traffic_.has_agents() ? traffic_.agents : traffic_.branches;
  for (std::int64_t i = 0; i < traffic_.agents; ++i) {
    Request& request = first + i == 0 ? *group.root : further(group, first + i, now);
    prepare(request, group, first + i);
    const bool is_first_of_round = i == 0;
    const bool finds_prefix = !is_first_of_round || group.round > 0;
    const std::size_t parts = is_first_of_round && group.round > 0 ? 1 : request.shared.size();
    count_prompt(request,
                 finds_prefix && traffic_.has_agents() ? request.shared[parts - 1].end : 0);
    inlet_.arrived(request, now);
  }
}

/// `shared_tokens`: at the start of the prompt, computed for requests before it.
void RequestGroups::count_prompt(Request& request, std::int64_t shared_tokens) {
  const std::int64_t found = std::min(shared_tokens, request.prompt - 1);
  request.findable_tokens = found / block_tokens_ * block_tokens_;
  use_.prompt_tokens_alone += request.prompt - request.findable_tokens;
  use_.prompt_tokens_unshared += request.prompt;
}

/// Prompt and shared parts of a group's request. Keys are the ids of the requests that compute the
/// parts first.
void RequestGroups::prepare(Request& request, const Group& group, std::int64_t index) const {
  const auto at = static_cast<std::size_t>(index);
  request.prompt = group.prompts[at];
  request.output = group.outputs[at];
  if (!traffic_.has_agents()) {
    request.shared = {{group.root->id, request.prompt}};
    return;
  }
  request.shared = {{group.root->id, traffic_.shared_prefix_tokens}};
  if (group.round > 0) {
    const auto end = group.outputs.begin() + group.round * traffic_.agents;
    const std::int64_t written = std::accumulate(end - traffic_.agents, end, std::int64_t{0});
    request.shared.push_back(
        {group.root->id + group.round * traffic_.agents, traffic_.shared_prefix_tokens + written});
  }
  request.prompt += request.shared.back().end;
}

/// One more request of the group, on the replica where its first one is.
Request& RequestGroups::further(const Group& group, std::int64_t index, Picoseconds now) {
  Request request;
  request.id = group.root->id + index;
  request.group = group.root->group;
  request.arrival = now;
  request.prefill = group.root->prefill;
  requests_.push_back(request);
  return requests_.back();
}

std::vector<Request*> RequestGroups::branch(Request& root, Picoseconds now) {
  std::vector<Request*> branches;
  const Group& group = groups_.at(root.group);
  for (std::int64_t i = 1; i < traffic_.branches; ++i) {
    Request& branch = further(group, i, now);
    prepare(branch, group, i);
    branch.arrival = root.arrival;
    branch.first_token = branch.last_token = now;
    branch.floor_to_first = root.floor_to_first;
    branch.generated = 1;
    branch.cached_tokens = branch.prompt;
    use_.prompt_tokens_unshared += branch.prompt;
    branches.push_back(&branch);
  }
  return branches;
}

void RequestGroups::count_lost(const Request& request) {
  const std::int64_t lost =
      std::max<std::int64_t>(0, request.findable_tokens - request.cached_tokens);
  if (!request.may_find) {
    use_.computed_without_sharing += lost;
    return;
  }
  const std::int64_t beside = std::min(lost, request.tokens_under_way);
  use_.computed_beside_others += beside;
  use_.computed_after_eviction += lost - beside;
}

void RequestGroups::waited(ForkOutcome outcome) {
  use_.waited_for_sequence += outcome == ForkOutcome::WaitsForSequence ? 1 : 0;
  use_.waited_for_kv += outcome == ForkOutcome::WaitsForKv ? 1 : 0;
  use_.waited_for_step += outcome == ForkOutcome::WaitsForStep ? 1 : 0;
  use_.waited_for_batch += outcome == ForkOutcome::WaitsForBatch ? 1 : 0;
}

bool RequestGroups::finished(const Request& request, Picoseconds now) {
  Group& group = groups_.at(request.group);
  use_.preemptions += request.preemptions;
  waited(request.waited);
  count_lost(request);
  if (--group.unanswered > 0) return false;
  if (++group.round < traffic_.rounds) {
    send_round(group, now);
    return false;
  }
  use_.e2e_ms[static_cast<std::size_t>(request.group)] = to_milliseconds(now - group.root->arrival);
  groups_.erase(request.group);
  return true;
}

}  // namespace tandem
