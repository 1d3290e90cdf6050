// A chip as the engine gets it from its file.
#pragma once

#include <utility>
#include <vector>

#include "models/lpu/chip_model.hpp"
#include "models/lpu/geometry.hpp"
#include "models/lpu/isa.hpp"

namespace tandem::test {

/// A chip file's parameters from a geometry, default latencies and round costs.
inline Chip chip_of(const lpu::Geometry& geometry) {
  Chip chip;
  chip.name = "test_lpu";
  chip.model = "lpu";
  const lpu::LatencyTable t;
  const lpu::LinkClass& link = geometry.links.front();
  const std::vector<std::pair<const char*, double>> values = {
      {"clock", geometry.clock.count()},
      {"superlanes", geometry.superlanes},
      {"lanes_per_superlane", geometry.lanes_per_superlane},
      {"streams_per_direction", geometry.streams_per_direction},
      {"mem_slices_per_hemisphere", geometry.mem_slices_per_hemisphere},
      {"banks", geometry.banks},
      {"rows_per_bank", geometry.rows_per_bank},
      {"mem_slices_per_sr", geometry.mem_slices_per_sr},
      {"planes", geometry.planes},
      {"plane_columns", geometry.plane_columns},
      {"weight_streams_per_plane", geometry.weight_streams_per_plane},
      {"accumulators", geometry.accumulators},
      {"vxm_alus", geometry.vxm_alus},
      {"sxm_queues", geometry.sxm_queues_per_hemisphere},
      {"hac_period", geometry.hac_period},
      {"link_ports", link.count},
      {"link_interval", link.cycles_per_vector},
      {"link_latency", link.latency},
      {"tray_link_ports", geometry.tray_links.count},
      {"tray_link_interval", geometry.tray_links.cycles_per_vector},
      {"tray_link_latency", geometry.tray_links.latency},
      {"latency_mem_read", t.mem_read},
      {"latency_mem_write_to_read", t.mem_write_to_read},
      {"latency_mem_gather", t.mem_gather},
      {"latency_vxm_simple", t.vxm_simple},
      {"latency_vxm_special", t.vxm_special},
      {"latency_mxm_load", t.mxm_load},
      {"latency_mxm_install", t.mxm_install},
      {"latency_mxm_result", t.mxm_result},
      {"latency_sxm_cross", t.sxm_cross},
      {"latency_sxm_distribute", t.sxm_distribute},
      {"latency_sxm_transpose", t.sxm_transpose},
      {"latency_sxm_rotate", t.sxm_rotate},
      {"latency_icu_fetch", t.icu_fetch},
      {"latency_barrier", t.barrier},
      {"host_bandwidth", 32e9},
      {"host_latency", 1e-6},
      {"static_power", 60}};
  for (const auto& [name, value] : values) {
    Parameter parameter;
    parameter.value = value;
    chip.parameters.set(name, parameter);
  }
  return chip;
}

}  // namespace tandem::test
