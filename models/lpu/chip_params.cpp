#include "models/lpu/chip_params.hpp"

#include <cmath>

#include "models/lpu/machine_vxm.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

ParameterSpec count(const char* name, const char* doc, double minimum, double maximum) {
  return {name, Dimension::Count, doc, std::nullopt, minimum, maximum};
}
ParameterSpec latency(const char* name, const char* doc) {
  return {name, Dimension::Count, doc, std::nullopt, 1, 4096};
}
// The machine's ALUs hold fewer results under way than that.
ParameterSpec alu_latency(const char* name, const char* doc) {
  return {name, Dimension::Count, doc, std::nullopt, 1, AluRegisters::in_flight - 1};
}
ParameterSpec energy(const char* name, const char* doc) {
  return {name, Dimension::Energy, doc, std::nullopt, 0, 1};
}

void add_geometry(ParameterSchema& schema) {
  schema.push_back(
      {"clock", Dimension::Frequency, "Clock of the whole chip.", std::nullopt, 1, 1e12});
  schema.push_back(count("superlanes", "Superlanes in use.", 1, 64));
  schema.push_back(count("lanes_per_superlane", "Lanes of one byte per superlane.", 16, 16));
  schema.push_back(count(
      "streams_per_direction",
      "General streams eastward, and as many westward: a rotation fills 16, a sum 4.", 20, 256));
  schema.push_back(
      count("mem_slices_per_hemisphere", "MEM slices on each side of the VXM.", 8, 512));
  schema.push_back(count("banks", "Banks per MEM slice, one access each per cycle.", 2, 2));
  schema.push_back(count("rows_per_bank", "Vectors per bank.", 64, 65535));
  schema.push_back(count("mem_slices_per_sr", "MEM slices between two stream registers.", 1, 16));
  schema.push_back(count("planes", "MXM planes.", 2, 16));
  schema.push_back(count("plane_columns",
                         "Rows and columns of a plane; equals the lanes of a vector.", 16, 1024));
  schema.push_back(
      count("weight_streams_per_plane", "Streams that load a plane's shadow columns.", 1, 256));
  schema.push_back(count("accumulators", "Accumulator vectors per plane.", 128, 128));
  schema.push_back(count("vxm_alus", "ALUs per lane; every fourth has special functions.", 16, 16));
  schema.push_back(count("sxm_queues", "Queues of each hemisphere's SXM.", 5, 64));
  schema.push_back(count("hac_period", "Cycles between two overflows of the HAC.", 1, 65535));
  schema.push_back(count("link_ports", "Chip-to-chip links that the compiler may use.", 2, 256));
  schema.push_back(count("link_interval", "Cycles between two vectors on a link.", 1, 65535));
  schema.push_back(count("link_latency", "Cycles from Send to the matching Recv.", 1, 1e6));
  schema.push_back({"tray_link_ports", Dimension::Count,
                    "Links to the chips of the same index in other trays, for gangs larger than "
                    "what the links above join.",
                    0, 0, 256});
  schema.push_back({"tray_link_interval", Dimension::Count,
                    "Cycles between two vectors on a link between trays.", 1, 1, 65535});
  schema.push_back({"tray_link_latency", Dimension::Count,
                    "Cycles from Send to the matching Recv between trays.", 1, 1, 1e6});
}

void add_latencies(ParameterSchema& schema) {
  schema.push_back(latency("latency_mem_read", "Read issue to the stream cell."));
  schema.push_back(
      latency("latency_mem_write_to_read", "Write issue to the first Read of the row."));
  schema.push_back(latency("latency_mem_gather", "Gather issue to the stream cell."));
  schema.push_back(
      alu_latency("latency_vxm_simple", "Issue to result of ordinary VXM operations."));
  schema.push_back(
      alu_latency("latency_vxm_special", "Issue to result of exp, rsqrt and the like."));
  schema.push_back(latency("latency_mxm_load", "LW to a valid shadow column."));
  schema.push_back(latency("latency_mxm_install", "IW to active weights."));
  schema.push_back(latency("latency_mxm_result", "ABC to the first ACC of its result."));
  schema.push_back(latency("latency_sxm_cross", "Shift, Permute and Sel3."));
  schema.push_back(latency("latency_sxm_distribute", "Distribute."));
  schema.push_back(latency("latency_sxm_transpose", "Transpose16."));
  schema.push_back(latency("latency_sxm_rotate", "Rotate."));
  schema.push_back(latency("latency_icu_fetch", "Ifetch to the first use of its words."));
  schema.push_back(latency("latency_barrier", "Notify to resume of all queues."));
}

void add_costs(ParameterSchema& schema) {
  schema.push_back({"host_bandwidth", Dimension::Bandwidth, "Host to SRAM, per direction.",
                    std::nullopt, 1, 1e15});
  schema.push_back({"host_latency", Dimension::Time, "Host to chip or back, once per exchange.",
                    std::nullopt, 0, 1});
  schema.push_back({"static_power", Dimension::Power, "Leakage, clock tree and idle links.",
                    std::nullopt, 0, 1e5});
  schema.push_back(energy("energy_mem_read", "One vector read from SRAM."));
  schema.push_back(energy("energy_mem_write", "One vector written to SRAM."));
  schema.push_back(energy("energy_stream_hop", "One vector moved by one stream register."));
  schema.push_back(energy("energy_mac", "One multiply-accumulate of a plane."));
  schema.push_back(energy("energy_weight_vector", "One column vector installed in a plane."));
  schema.push_back(energy("energy_vxm_op", "One VXM operation on a vector."));
  schema.push_back(energy("energy_sxm_op", "One SXM operation on a stream group."));
  schema.push_back(energy("energy_instruction", "One instruction issued."));
}

int whole(const Chip& chip, const char* name) {
  return static_cast<int>(chip.parameters.count(name));
}

}  // namespace

ParameterSchema lpu_schema() {
  ParameterSchema schema;
  add_geometry(schema);
  add_latencies(schema);
  add_costs(schema);
  return schema;
}

LatencyTable latencies_of(const Chip& chip) {
  LatencyTable table;
  table.mem_read = whole(chip, "latency_mem_read");
  table.mem_write_to_read = whole(chip, "latency_mem_write_to_read");
  table.mem_gather = whole(chip, "latency_mem_gather");
  table.vxm_simple = whole(chip, "latency_vxm_simple");
  table.vxm_special = whole(chip, "latency_vxm_special");
  table.mxm_load = whole(chip, "latency_mxm_load");
  table.mxm_install = whole(chip, "latency_mxm_install");
  table.mxm_result = whole(chip, "latency_mxm_result");
  table.sxm_cross = whole(chip, "latency_sxm_cross");
  table.sxm_distribute = whole(chip, "latency_sxm_distribute");
  table.sxm_transpose = whole(chip, "latency_sxm_transpose");
  table.sxm_rotate = whole(chip, "latency_sxm_rotate");
  table.icu_fetch = whole(chip, "latency_icu_fetch");
  table.barrier = whole(chip, "latency_barrier");
  return table;
}

Geometry geometry_of(const Chip& chip) {
  Geometry geometry;
  geometry.clock = Hertz(chip.parameters.value("clock"));
  geometry.superlanes = whole(chip, "superlanes");
  geometry.lanes_per_superlane = whole(chip, "lanes_per_superlane");
  geometry.streams_per_direction = whole(chip, "streams_per_direction");
  geometry.mem_slices_per_hemisphere = whole(chip, "mem_slices_per_hemisphere");
  geometry.banks = whole(chip, "banks");
  geometry.rows_per_bank = whole(chip, "rows_per_bank");
  geometry.mem_slices_per_sr = whole(chip, "mem_slices_per_sr");
  geometry.planes = whole(chip, "planes");
  geometry.plane_rows = geometry.plane_columns = whole(chip, "plane_columns");
  geometry.weight_streams_per_plane = whole(chip, "weight_streams_per_plane");
  geometry.accumulators = whole(chip, "accumulators");
  geometry.vxm_alus = whole(chip, "vxm_alus");
  geometry.sxm_queues_per_hemisphere = whole(chip, "sxm_queues");
  geometry.hac_period = whole(chip, "hac_period");
  geometry.links = {{"c2c", whole(chip, "link_ports"), whole(chip, "link_interval"),
                     whole(chip, "link_latency")}};
  geometry.tray_links = {"tray", whole(chip, "tray_link_ports"), whole(chip, "tray_link_interval"),
                         whole(chip, "tray_link_latency")};
  if (geometry.plane_columns % geometry.weight_streams_per_plane != 0) {
    throw ModelError("chip '" + chip.name +
                     "': weight_streams_per_plane must divide plane_columns");
  }
  return geometry;
}

HostLink host_link_of(const Chip& chip) {
  return {BytesPerSecond(chip.parameters.value("host_bandwidth")),
          from_seconds(chip.parameters.value("host_latency"))};
}

}  // namespace tandem::lpu
