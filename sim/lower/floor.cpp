#include "sim/lower/floor.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

FlopsPerSecond rate_of(const Peaks& peaks, MatrixPipe pipe) {
  const auto found = peaks.matrix.find(pipe);
  if (found == peaks.matrix.end()) {
    throw ModelError("floor: no peak rate for products of " + std::string(name_of(pipe)));
  }
  return found->second;
}

/// The faster of a rate and that of `other`, where the chip has one for it.
FlopsPerSecond faster_of(FlopsPerSecond rate, MatrixPipe other, const Peaks& peaks) {
  const auto found = peaks.matrix.find(other);
  return found == peaks.matrix.end() ? rate : std::max(rate, found->second);
}

/// Peak rate of a kernel's products. A projection multiplies in the pipe of its wider operand;
/// attention may multiply in either of its two types, and the gated delta rule in that of its
/// inputs or its state, so the faster one that the chip has bounds them.
FlopsPerSecond matrix_rate(const Kernel& kernel, const Peaks& peaks) {
  return std::visit(
      [&](const auto& shape) {
        if constexpr (requires { shape.weights; }) {
          return rate_of(peaks, product_format(shape).pipe);
        } else if constexpr (requires {
                               shape.kv;
                               shape.activations;
                             }) {
          return faster_of(rate_of(peaks, pipe_of(shape.activations)), pipe_of(shape.kv), peaks);
        } else {
          return faster_of(rate_of(peaks, pipe_of(kernel.activations)), MatrixPipe::Float32, peaks);
        }
      },
      kernel.shape);
}

/// Seconds at peak; 0 where the rate bounds nothing.
double seconds_at(Flops work, FlopsPerSecond rate) {
  return rate.count() > 0 ? static_cast<double>(work.count()) / rate.count() : 0.0;
}

double matrix_seconds(const Kernel& kernel, Flops work, const Peaks& peaks) {
  return work.count() == 0 ? 0.0 : seconds_at(work, matrix_rate(kernel, peaks));
}

double memory_seconds(Bytes bytes, const Peaks& peaks, Bytes cached) {
  const Bytes missing = std::max(bytes - cached, Bytes(0));
  return peaks.memory.count() > 0 ? static_cast<double>(missing.count()) / peaks.memory.count()
                                  : 0.0;
}

/// Rounded down: a bound may not exceed what it bounds, not even by rounding.
Picoseconds whole_picoseconds(double seconds) {
  return Picoseconds(static_cast<std::int64_t>(std::floor(seconds * picoseconds_per_second)));
}

}  // namespace

Picoseconds floor_of(const Kernel& kernel, const Peaks& peaks, bool warm) {
  return floor_of(kernel, work_of(kernel), peaks, warm ? peaks.cache : Bytes(0));
}

Picoseconds floor_of(const Kernel& kernel, const KernelWork& work, const Peaks& peaks,
                     Bytes cached) {
  return whole_picoseconds(std::max(
      {matrix_seconds(kernel, work.matrix, peaks), seconds_at(work.vector, peaks.vector),
       seconds_at(work.special, peaks.special), memory_seconds(work.bytes(), peaks, cached)}));
}

Picoseconds floor_of(const KernelGraph& graph, const Peaks& peaks, bool warm) {
  double matrix = 0;
  Flops vector;
  Flops special;
  Bytes resident;
  for (const Kernel& kernel : graph.kernels) {
    const KernelWork work = work_of(kernel);
    matrix += matrix_seconds(kernel, work.matrix, peaks);
    vector += work.vector;
    special += work.special;
    resident += resident_bytes(kernel);
  }
  return whole_picoseconds(
      std::max({matrix, seconds_at(vector, peaks.vector), seconds_at(special, peaks.special),
                memory_seconds(resident, peaks, warm ? peaks.cache : Bytes(0))}));
}

}  // namespace tandem
