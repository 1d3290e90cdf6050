#include "sim/service/tier_passes.hpp"

#include <algorithm>
#include <numeric>

namespace tandem {
namespace {

void add_times(const std::vector<Picoseconds>& more, std::vector<Picoseconds>& times) {
  times.resize(std::max(times.size(), more.size()));
  for (std::size_t i = 0; i < more.size(); ++i) times[i] += more[i];
}

}  // namespace

void TierPasses::add(PoolModel& pool, Fidelity fidelity, bool exact) {
  estimators_.push_back(&own_.emplace_back(pool, fidelity, exact));
  times_.push_back(0);
}

StepEstimate TierPasses::execute(const Batch& batch, StepSampler* sampler) {
  std::map<std::size_t, Batch> parts;
  for (const SequenceSlice& slice : batch.slices) {
    parts[tier_of_.at(slice.request)].slices.push_back(slice);
  }
  StepEstimate step;
  last_.clear();
  for (const auto& [tier, part] : parts) {
    StepEstimator& estimator = *estimators_[tier];
    const StepEstimate pass = estimator.execute(part);
    if (sampler != nullptr) sampler->offer(estimator, part, pass);
    add_times(pass.stations, step.stations);
    add_times(pass.hops, step.hops);
    step.floor_latency += pass.floor_latency;
    step.floor_period += pass.floor_period;
    step.interpolated = step.interpolated || pass.interpolated;
    last_[tier] = pass.latency();
  }
  return step;
}

void TierPasses::account(Picoseconds whole) {
  Picoseconds sum{0};
  for (const auto& [tier, time] : last_) sum += time;
  for (const auto& [tier, time] : last_) {
    times_[tier] += static_cast<double>(whole.count()) * (time / sum);
  }
}

double TierPasses::share(std::size_t tier) const {
  const double sum = std::accumulate(times_.begin(), times_.end(), 0.0);
  return sum > 0 ? times_[tier] / sum : 0;
}

}  // namespace tandem
