#include "models/gpu/kernel_timing.hpp"

#include <algorithm>
#include <iterator>

namespace tandem::gpu {
namespace {

std::int64_t number(std::int64_t count) {
  return count;
}
template <class Quantity>
std::int64_t number(Quantity quantity) {
  return quantity.count();
}

/// Calls `visit` with every member, in the order of TimingNumbers.
template <class Timing, class Visit>
void for_each_member(Timing& timing, const Visit& visit) {
  const auto all = [&](auto&... members) { (visit(members), ...); };
  all(timing.time, timing.hbm_read, timing.hbm_written, timing.l2_bytes, timing.tensor_busy,
      timing.vector_busy, timing.special_busy, timing.port_busy, timing.l2_busy, timing.hbm_busy,
      timing.skipped, timing.events);
  auto& switched = timing.switched;
  for (auto& tensor : switched.tensor) visit(tensor);
  all(switched.vector, switched.special, switched.l2, switched.hbm, switched.launches,
      switched.sm_active);
}

}  // namespace

const char* KernelTiming::bound() const {
  struct Part {
    const char* name;
    Picoseconds busy;
  };
  const Part parts[] = {{"tensor", tensor_busy},   {"hbm", hbm_busy},
                        {"l2", l2_busy},           {"port", port_busy},
                        {"special", special_busy}, {"vector", vector_busy}};
  const Part* most = std::max_element(std::begin(parts), std::end(parts),
                                      [](const Part& a, const Part& b) { return a.busy < b.busy; });
  // Nothing busy for a third of the time: launch and latency decide.
  return most->busy.count() * 3 < time.count() ? "latency" : most->name;
}

TimingNumbers numbers_of(const KernelTiming& timing) {
  TimingNumbers numbers{};
  auto next = numbers.begin();
  for_each_member(timing, [&](const auto& member) { *next++ = number(member); });
  return numbers;
}

KernelTiming timing_of(const TimingNumbers& numbers) {
  KernelTiming timing;
  auto next = numbers.begin();
  for_each_member(
      timing, [&](auto& member) { member = std::remove_reference_t<decltype(member)>(*next++); });
  return timing;
}

}  // namespace tandem::gpu
