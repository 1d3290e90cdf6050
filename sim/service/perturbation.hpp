// Small random changes of step times: what is left of a difference between two runs when only the
// order of things changes.
#pragma once

#include <cstdint>

#include "sim/core/random.hpp"
#include "sim/step/estimator.hpp"

namespace tandem {

/// Draws a factor per pass, uniform within a share of 1, from the stream "perturbation".
class Perturbation {
 public:
  Perturbation(double share, std::uint64_t seed) : share_(share), stream_(seed, "perturbation") {}
  /// Scales the time at all stations alike; hand-overs and floors stay.
  void apply(StepEstimate& estimate) {
    if (share_ <= 0) return;
    const double factor = 1 + share_ * (2 * stream_.uniform() - 1);
    for (Picoseconds& station : estimate.stations) station = scaled(station, factor);
    estimate.drafting = scaled(estimate.drafting, factor);
  }

 private:
  static Picoseconds scaled(Picoseconds time, double factor) {
    return from_seconds(to_seconds(time) * factor);
  }

  double share_;
  RandomStream stream_;
};

}  // namespace tandem
