#include "sim/service/backlog.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tandem {
namespace {

constexpr double s_per_ms = 1e-3;
constexpr double settling_times = 4;

/// A part of the time in which requests come.
struct Quarter {
  double from = 0, to = 0;
  double waiting = 0, open = 0;  ///< mean numbers
  double arrivals = 0;
  void count(const RequestRecord& request) {
    const double arrival = request.arrival_s;
    waiting += share(arrival, arrival + request.ttft_ms * s_per_ms);
    open += share(arrival, arrival + request.e2e_ms * s_per_ms);
    if (arrival >= from && arrival <= to) ++arrivals;
  }

 private:
  /// Of the quarter that lies between two times.
  [[nodiscard]] double share(double begin, double end) const {
    const double common = std::min(end, to) - std::max(begin, from);
    return common > 0 ? common / (to - from) : 0;
  }
};

bool rises(double before, double late) {
  return late > 1.5 * before + 2 * std::sqrt(before) + 3;
}

double mean_e2e_s(const std::vector<RequestRecord>& requests, double until) {
  double sum = 0, count = 0;
  for (const RequestRecord& request : requests) {
    if (request.arrival_s > until) continue;
    sum += request.e2e_ms * s_per_ms;
    ++count;
  }
  return count > 0 ? sum / count : 0;
}

}  // namespace

bool Backlog::grows() const {
  return rises(waiting_before, waiting_late) || (is_long && rises(open_before, open_late));
}

std::optional<Backlog> backlog_of(const RunResult& result) {
  const ArrivalKind arrivals = result.traffic.arrivals;
  if (arrivals == ArrivalKind::Closed || result.requests.empty()) return std::nullopt;
  double first = std::numeric_limits<double>::max(), last = 0;
  for (const RequestRecord& request : result.requests) {
    if (request.turn > 0) continue;  // comes when its user has thought
    first = std::min(first, request.arrival_s);
    last = std::max(last, request.arrival_s);
  }
  const double quarter = (last - first) / 4;
  if (quarter <= 0) return Backlog{};
  Quarter before{first + quarter, first + 2 * quarter}, late{first + 3 * quarter, last};
  for (const RequestRecord& request : result.requests) {
    before.count(request);
    late.count(request);
  }
  Backlog backlog{before.waiting, late.waiting, before.open, late.open, false};
  if (late.arrivals > 0) backlog.open_late *= before.arrivals / late.arrivals;
  backlog.is_long = arrivals != ArrivalKind::Ramp &&
                    4 * quarter >= settling_times * mean_e2e_s(result.requests, first + quarter);
  return backlog;
}

}  // namespace tandem
