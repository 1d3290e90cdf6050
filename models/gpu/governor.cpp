#include "models/gpu/governor.hpp"

#include <algorithm>
#include <cmath>

namespace tandem::gpu {
namespace {

constexpr double clock_step_hz = 15e6;
/// Lowest clock a governor falls to, as a share of the nominal one.
constexpr double lowest_clock = 0.2;

/// Time at relative clock f as fixed + scaled / f: memory and launches keep their pace, the core
/// domain slows down.
struct TimeModel {
  double fixed = 0;
  double scaled = 0;
  [[nodiscard]] double at(double f) const { return fixed + scaled / f; }
};

TimeModel core_bound(Picoseconds at_nominal) {
  return {0, to_seconds(at_nominal)};
}

TimeModel through(Picoseconds at_nominal, double f, Picoseconds at_f) {
  const double nominal = to_seconds(at_nominal);
  const double scaled = std::clamp((to_seconds(at_f) - nominal) / (1 / f - 1), 0.0, nominal);
  return {nominal - scaled, scaled};
}

double watts(const GpuParams& params, const RunEnergy& run, double relative, double seconds) {
  const EnergyParams& energy = params.energy;
  const double v = relative_voltage(energy, relative);
  const double dynamic = (run.core.count() * v * v + run.memory.count()) / seconds;
  return energy.idle.count() + energy.active.count() * run.active * relative * v * v + dynamic;
}

/// The highest step within the limit, when time follows `model`.
Hertz highest_within(const GpuParams& params, const RunEnergy& run, const TimeModel& model) {
  const std::vector<Hertz> steps = clock_steps(params.clock);
  const auto fits = [&](Hertz clock) {
    const double f = clock / params.clock;
    return watts(params, run, f, model.at(f)) <= params.energy.tdp.count();
  };
  // Power rises with the clock, so the steps that fit come first.
  const auto above = std::partition_point(steps.begin(), steps.end(), fits);
  return above == steps.begin() ? steps.front() : *std::prev(above);
}

}  // namespace

RunEnergy energy_of(const GpuParams& params, const SwitchingCounts& counts, Picoseconds time) {
  const EnergyParams& energy = params.energy;
  RunEnergy run;
  run.time = time;
  run.active = time.count() > 0 ? counts.sm_active / (time * params.sms) : 0;
  for (std::size_t i = 0; i < matrix_pipes; ++i) {
    run.core += energy.per_tensor_flop(static_cast<MatrixPipe>(i)) *
                static_cast<double>(counts.tensor[i].count());
  }
  run.core += energy.per_vector_flop * static_cast<double>(counts.vector.count());
  run.core += energy.per_special * static_cast<double>(counts.special.count());
  run.core += energy.per_l2_byte * static_cast<double>(counts.l2.count());
  run.memory = energy.per_hbm_byte * static_cast<double>(counts.hbm.count()) +
               energy.per_launch * static_cast<double>(counts.launches);
  return run;
}

double relative_voltage(const EnergyParams& energy, double relative_clock) {
  return std::max(energy.lowest_voltage, 1 - energy.voltage_slope * (1 - relative_clock));
}

Watts mean_power(const GpuParams& params, const RunEnergy& run, Hertz clock) {
  return Watts(watts(params, run, clock / params.clock, to_seconds(run.time)));
}

std::vector<Hertz> clock_steps(Hertz nominal) {
  std::vector<Hertz> steps;
  const double lowest = std::ceil(nominal.count() * lowest_clock / clock_step_hz);
  for (double step = lowest; step * clock_step_hz < nominal.count(); ++step) {
    steps.emplace_back(step * clock_step_hz);
  }
  steps.push_back(nominal);
  return steps;
}

Hertz governed_clock(const GpuParams& params, const std::function<RunEnergy(Hertz)>& run_at) {
  const RunEnergy nominal = run_at(params.clock);
  if (mean_power(params, nominal, params.clock) <= params.energy.tdp) return params.clock;
  const Hertz guess = highest_within(params, nominal, core_bound(nominal.time));
  if (guess == params.clock) return guess;
  const RunEnergy slower = run_at(guess);
  return highest_within(params, nominal, through(nominal.time, guess / params.clock, slower.time));
}

}  // namespace tandem::gpu
