// Chips for the tests of the GPU room: one with round numbers for sums by hand, and one of
// realistic proportions.
#pragma once

#include <initializer_list>
#include <utility>

#include "models/gpu/params.hpp"

namespace tandem::gpu {

/// A number without a history.
inline Parameter plain(double value) {
  Parameter parameter;
  parameter.value = value;
  parameter.source = "test";
  return parameter;
}

inline Chip make_chip(const char* name,
                      std::initializer_list<std::pair<const char*, double>> values) {
  Chip chip;
  chip.name = name;
  chip.model = "gpu";
  for (const ParameterSpec& spec : gpu_schema()) {
    if (spec.fallback) chip.parameters.set(spec.name, plain(*spec.fallback));
  }
  for (const auto& [key, value] : values) {
    chip.parameters.set(key, plain(value));
  }
  return chip;
}

/// Four SMs at 1 GHz. Tensor peak 4 TFLOPS: 1000 operations per ns and SM. L2 and ports 1000 bytes
/// per ns; HBM 100 bytes per ns without refresh; L2 100 ns, HBM 400 ns; launch 1000 ns, CTA start
/// 50 ns, tail 200 ns.
inline Chip round_chip() {
  return make_chip("round", {{"sms", 4},
                             {"clock", 1e9},
                             {"peak_float32", 1e12},
                             {"peak_float16", 4e12},
                             {"peak_bfloat16", 4e12},
                             {"peak_fp8", 8e12},
                             {"peak_int8", 8e12},
                             {"special_per_clock", 16},
                             {"shared_bytes_per_clock", 1e6},
                             {"port_bytes_per_clock", 1000},
                             {"store_bytes_per_clock", 1000},
                             {"matrix_latency", 0},
                             {"matrix_efficiency", 1},
                             {"shared_memory", 233472},
                             {"registers", 262144},
                             {"max_bytes_in_flight", 233472},
                             {"l2_capacity", 10e6},
                             {"l2_bandwidth", 1e12},
                             {"l2_latency", 100e-9},
                             {"hbm_generation", 3},
                             {"hbm_stacks", 1},
                             {"hbm_bandwidth", 1e11},
                             {"hbm_latency", 400e-9},
                             {"hbm_refresh_time", 350e-9},
                             {"hbm_capacity", 80e9},
                             {"launch_overhead", 1e-6},
                             {"cta_start", 50e-9},
                             {"kernel_tail", 200e-9},
                             {"energy_tensor_flop", 1e-12},
                             {"energy_vector_flop", 2e-12},
                             {"energy_special", 5e-12},
                             {"energy_l2_byte", 8e-12},
                             {"energy_hbm_byte", 36e-12},
                             {"idle_power", 100},
                             {"tdp", 700},
                             {"model_refresh", 0}});
}

/// Proportions of an H100 SXM.
inline Chip large_chip() {
  Chip chip = round_chip();
  for (const auto& [key, value] :
       std::initializer_list<std::pair<const char*, double>>{{"sms", 132},
                                                             {"clock", 1.83e9},
                                                             {"peak_float32", 67e12},
                                                             {"peak_float16", 989e12},
                                                             {"peak_bfloat16", 989e12},
                                                             {"peak_fp8", 1979e12},
                                                             {"peak_int8", 1979e12},
                                                             {"shared_bytes_per_clock", 128},
                                                             {"port_bytes_per_clock", 64},
                                                             {"store_bytes_per_clock", 32},
                                                             {"matrix_issue", 1},
                                                             {"matrix_latency", 10e-9},
                                                             {"matrix_efficiency", 0.86},
                                                             {"multicast", 2},
                                                             {"overlaps_softmax", 1},
                                                             {"persistent_kernels", 1},
                                                             {"l2_capacity", 37e6},
                                                             {"l2_bandwidth", 8.3e12},
                                                             {"l2_latency", 211e-9},
                                                             {"hbm_stacks", 5},
                                                             {"hbm_bandwidth", 3.35e12},
                                                             {"hbm_latency", 373e-9},
                                                             {"model_refresh", 1}}) {
    chip.parameters.set(key, plain(value));
  }
  chip.name = "large";
  return chip;
}

inline Chip with(Chip chip, const char* key, double value) {
  chip.parameters.set(key, plain(value));
  return chip;
}

inline GpuParams params_of(const Chip& chip) {
  return resolve(chip, Software{});
}

}  // namespace tandem::gpu
