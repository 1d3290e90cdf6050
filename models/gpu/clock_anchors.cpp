#include "models/gpu/clock_anchors.hpp"

#include <cmath>
#include <string_view>

namespace tandem::gpu {
namespace {

constexpr double parts = 6;

}  // namespace

ClockBracket bracket_clock(Hertz clock, Hertz nominal) {
  if (clock >= nominal) return {nominal, nominal, 1};
  const double below = std::floor(clock / nominal * parts);
  const Hertz low = nominal * (below / parts);
  const Hertz high = nominal * ((below + 1) / parts);
  // Weights by the period of the clock.
  const double period = nominal / clock, slow = nominal / low, fast = nominal / high;
  return {low, high, (slow - period) / (slow - fast)};
}

bool is_straight(const Kernel& kernel) {
  return !std::holds_alternative<AttentionKernel>(kernel.shape) &&
         !std::holds_alternative<LatentAttentionKernel>(kernel.shape);
}

bool bends_between(const KernelTiming& low, const KernelTiming& high) {
  return std::string_view(low.bound()) != high.bound();
}

KernelTiming between(const KernelTiming& low, const KernelTiming& high, double upper_weight) {
  const TimingNumbers slow = numbers_of(low), fast = numbers_of(high);
  TimingNumbers mixed{};
  for (std::size_t i = 0; i < mixed.size(); ++i) {
    const auto step = static_cast<double>(fast[i] - slow[i]);
    mixed[i] = slow[i] + std::llround(upper_weight * step);
  }
  return timing_of(mixed);
}

}  // namespace tandem::gpu
