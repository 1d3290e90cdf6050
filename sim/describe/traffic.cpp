#include "sim/describe/traffic.hpp"

#include <algorithm>
#include <cmath>

namespace tandem {
namespace {

std::int64_t mean_of(const std::vector<TracedRequest>& requests,
                     std::int64_t TracedRequest::*length) {
  std::int64_t sum = 0;
  for (const TracedRequest& request : requests) sum += request.*length;
  const auto count = static_cast<std::int64_t>(requests.size());
  return std::max<std::int64_t>(1, (sum + count / 2) / count);
}

std::int64_t longest(std::int64_t tokens, double spread) {
  return static_cast<std::int64_t>(std::floor((1 + spread) * static_cast<double>(tokens)));
}

}  // namespace

double RequestTrace::rate() const {
  const double span = to_seconds(requests.back().arrival - requests.front().arrival);
  return span > 0 ? static_cast<double>(requests.size() - 1) / span : 0;
}

std::int64_t RequestTrace::mean_prompt() const {
  return mean_of(requests, &TracedRequest::prompt);
}

std::int64_t RequestTrace::mean_output() const {
  return mean_of(requests, &TracedRequest::output);
}

std::int64_t RequestTrace::longest() const {
  std::int64_t most = 0;
  for (const TracedRequest& request : requests)
    most = std::max(most, request.prompt + request.output);
  return most;
}

std::int64_t RequestTrace::longest_prompt() const {
  return std::ranges::max_element(requests, {}, &TracedRequest::prompt)->prompt;
}

std::int64_t Traffic::most_turns() const {
  return static_cast<std::int64_t>(std::floor((1 + turns_spread) * static_cast<double>(turns)));
}

std::int64_t longest_prompt(const Traffic& traffic) {
  if (traffic.trace) return traffic.trace->longest_prompt();
  const std::int64_t answer = longest(traffic.output_tokens, traffic.length_spread);
  if (traffic.has_sessions()) {
    const std::int64_t turn = longest(traffic.prompt_tokens, traffic.length_spread);
    const std::int64_t first = traffic.first_prompt_tokens > 0
                                   ? longest(traffic.first_prompt_tokens, traffic.length_spread)
                                   : turn;
    return traffic.shared_prefix_tokens + first + (traffic.most_turns() - 1) * (answer + turn);
  }
  const std::int64_t written = traffic.rounds > 1 ? traffic.agents * answer : 0;
  return traffic.shared_prefix_tokens + written +
         longest(traffic.prompt_tokens, traffic.length_spread);
}

std::int64_t longest_request(const Traffic& traffic) {
  if (traffic.trace) return traffic.trace->longest();
  return longest_prompt(traffic) + longest(traffic.output_tokens, traffic.length_spread);
}

}  // namespace tandem
