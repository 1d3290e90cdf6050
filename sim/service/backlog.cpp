#include "sim/service/backlog.hpp"

#include <algorithm>
#include <cmath>

namespace tandem {
namespace {

std::int64_t open_at(const RunResult& result, double time_s) {
  return std::count_if(result.requests.begin(), result.requests.end(),
                       [&](const RequestRecord& request) {
                         const double end = request.arrival_s + request.e2e_ms / 1e3;
                         return request.arrival_s <= time_s && end > time_s;
                       });
}

}  // namespace

bool Backlog::grows() const {
  const auto before = static_cast<double>(at_half), last = static_cast<double>(at_last);
  return last > 1.25 * before + 2 * std::sqrt(before) + 3;
}

std::optional<Backlog> backlog_of(const RunResult& result) {
  if (result.traffic.arrivals == ArrivalKind::Closed || result.requests.empty()) {
    return std::nullopt;
  }
  const auto& requests = result.requests;
  return Backlog{open_at(result, requests[requests.size() / 2].arrival_s),
                 open_at(result, requests.back().arrival_s)};
}

}  // namespace tandem
