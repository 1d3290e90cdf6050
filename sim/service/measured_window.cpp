#include "sim/service/measured_window.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

constexpr double ms_per_s = 1e3;

/// Indices of the requests by arrival.
std::vector<std::size_t> by_arrival(const std::vector<RequestRecord>& requests) {
  std::vector<std::size_t> order(requests.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return requests[i].arrival_s; });
  return order;
}

MeasuredWindow whole_run(const RunResult& result) {
  MeasuredWindow window;
  window.covers.assign(result.requests.size(), true);
  window.answered = std::ssize(result.requests);
  window.output_tokens = result.output_tokens;
  window.input_tokens = result.input_tokens;
  window.seconds = result.simulated_s;
  return window;
}

void count_tokens(const RunResult& result, MeasuredWindow& window) {
  const Picoseconds start = from_seconds(window.start_s);
  for (const TokenBurst& burst : result.bursts) {
    if (burst.at < start) {
      window.first_gap += static_cast<std::size_t>(burst.gaps);
    } else {
      window.output_tokens += burst.tokens;
    }
  }
  for (const RequestRecord& request : result.requests) {
    if (request.arrival_s + request.ttft_ms / ms_per_s >= window.start_s) {
      window.input_tokens += request.prompt - request.cached_tokens;
    }
    if (request.arrival_s + request.e2e_ms / ms_per_s >= window.start_s) ++window.answered;
  }
}

}  // namespace

MeasuredWindow measured_window(const RunResult& result) {
  if (!result.traffic.has_warm_up() || result.requests.empty()) return whole_run(result);
  const std::vector<std::size_t> order = by_arrival(result.requests);
  const auto arrival = [&](std::size_t rank) { return result.requests[order[rank]].arrival_s; };
  const double first = arrival(0);
  auto rank = static_cast<std::size_t>(result.traffic.warm_up_requests);
  while (rank < order.size() && arrival(rank) < first + result.traffic.warm_up_s) ++rank;
  if (rank >= order.size()) {
    throw ConfigError(fmt::format(
        "warm_up: all {} requests came in the first {} s; simulate more requests, or leave out "
        "less",
        order.size(), result.traffic.warm_up_s));
  }
  MeasuredWindow window;
  window.covers.assign(order.size(), false);
  for (std::size_t i = rank; i < order.size(); ++i) window.covers[order[i]] = true;
  window.left_out = static_cast<std::int64_t>(rank);
  window.start_s = result.traffic.warm_up_s > 0 ? first + result.traffic.warm_up_s : arrival(rank);
  window.seconds = first + result.simulated_s - window.start_s;
  count_tokens(result, window);
  return window;
}

}  // namespace tandem
