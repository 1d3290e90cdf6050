#include "sim/report/sampling.hpp"

#include <algorithm>
#include <cmath>

#include "sim/core/random.hpp"
#include "sim/core/statistics.hpp"

namespace tandem {
namespace {

constexpr std::size_t least_values = 20;
constexpr std::size_t resamples = 200;

/// The middle 95 % of the resampled figures.
Interval middle(std::vector<double> figures) {
  std::sort(figures.begin(), figures.end());
  return {percentile(figures, 0.025), percentile(figures, 0.975)};
}

std::vector<double> resample(const std::vector<double>& values, std::size_t block,
                             RandomStream& stream) {
  std::vector<double> sample;
  sample.reserve(values.size() + block);
  const auto last_start = static_cast<std::int64_t>(values.size() - block);
  while (sample.size() < values.size()) {
    const auto start = stream.integer(0, last_start);
    sample.insert(sample.end(), values.begin() + start,
                  values.begin() + start + static_cast<std::ptrdiff_t>(block));
  }
  sample.resize(values.size());
  return sample;
}

std::int64_t open_at(const RunResult& result, double time_s) {
  return std::count_if(result.requests.begin(), result.requests.end(),
                       [&](const RequestRecord& request) {
                         const double end = request.arrival_s + request.e2e_ms / 1e3;
                         return request.arrival_s <= time_s && end > time_s;
                       });
}

}  // namespace

std::optional<SummaryIntervals> intervals_of(const std::vector<double>& values, std::uint64_t seed,
                                             std::string_view name) {
  if (values.size() < least_values) return std::nullopt;
  const auto block =
      static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(values.size()))));
  RandomStream stream(seed, name);
  std::array<std::vector<double>, 5> figures;
  for (std::size_t i = 0; i < resamples; ++i) {
    const Summary summary = summarise(resample(values, block, stream));
    const double found[] = {summary.mean, summary.p50, summary.p90, summary.p95, summary.p99};
    for (std::size_t f = 0; f < figures.size(); ++f) figures[f].push_back(found[f]);
  }
  return SummaryIntervals{middle(figures[0]), middle(figures[1]), middle(figures[2]),
                          middle(figures[3]), middle(figures[4])};
}

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
