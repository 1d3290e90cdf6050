#include "sim/describe/traffic.hpp"

#include <algorithm>

namespace tandem {
namespace {

std::int64_t mean_of(const std::vector<TracedRequest>& requests,
                     std::int64_t TracedRequest::*length) {
  std::int64_t sum = 0;
  for (const TracedRequest& request : requests) sum += request.*length;
  const auto count = static_cast<std::int64_t>(requests.size());
  return std::max<std::int64_t>(1, (sum + count / 2) / count);
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

}  // namespace tandem
