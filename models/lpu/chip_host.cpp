#include "models/lpu/chip_host.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "models/lpu/compiler/delta_layout.hpp"
#include "models/lpu/compiler/image.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

std::size_t index_of(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

// Llama 3.1: long wavelengths are stretched by `factor`, the ones between interpolate.
double scaled_frequency(double frequency, const ops::Llama3Scaling& scaling) {
  const double pi = 3.14159265358979323846;
  const double wavelength = 2 * pi / frequency;
  const auto original = static_cast<double>(scaling.original_context);
  const double low = original / scaling.low_frequency_factor;
  const double high = original / scaling.high_frequency_factor;
  if (wavelength < high) return frequency;
  if (wavelength > low) return frequency / scaling.factor;
  const double smooth = (original / wavelength - scaling.low_frequency_factor) /
                        (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

}  // namespace

void rotary_vectors(const ops::Rope& rope, const StageShape& shape, std::int64_t position,
                    std::vector<float>& cosine, std::vector<float>& sine) {
  cosine.assign(index_of(shape.lanes), 0.0F);
  sine.assign(index_of(shape.lanes), 0.0F);
  const int half = shape.head_dim / 2;
  const auto* scaling = std::get_if<ops::Llama3Scaling>(&rope.scaling);
  for (int lane = 0; lane < shape.channels(); ++lane) {
    const int within = lane % shape.head_dim;
    const bool interleaved = rope.layout == RopeLayout::Interleaved;
    const int pair = interleaved ? within / 2 : within % half;
    const bool first = interleaved ? within % 2 == 0 : within < half;
    double frequency = std::pow(rope.theta, -2.0 * pair / shape.head_dim);
    if (scaling != nullptr) frequency = scaled_frequency(frequency, *scaling);
    const double angle = static_cast<double>(position) * frequency;
    cosine[index_of(lane)] = static_cast<float>(std::cos(angle));
    const auto s = static_cast<float>(std::sin(angle));
    sine[index_of(lane)] = first ? -s : s;
  }
}

HostRegisters pass_registers(const Geometry& geometry, const StageLayout& layout, int slot,
                             std::int64_t position) {
  HostRegisters registers{};
  const auto set = [&](int reg, std::int64_t value) {
    registers[index_of(reg)] = static_cast<std::uint16_t>(value);
  };
  const std::int64_t block = position / geometry.lanes();
  const int column = static_cast<int>(position % geometry.lanes());
  const std::int64_t first_unit = std::int64_t{slot} * layout.blocks_per_slot;
  if (block >= layout.blocks_per_slot || slot >= layout.slots) {
    throw ModelError("lpu.host: a position beyond the context or a slot that does not exist");
  }
  set(host_register::iterations, block);
  set(host_register::slot_base, first_unit * layout.unit_rows);
  set(host_register::tail_base, (first_unit + block) * layout.unit_rows);
  set(host_register::staging_base, std::int64_t{slot} * layout.staging_rows);
  set(host_register::mask_start, layout.blocks_per_slot - block);
  const int ports = geometry.weight_streams_per_plane;
  const int issue = column / ports;
  for (int k = 0; k < ports; ++k) {
    const bool mine = k == column % ports;
    const std::int64_t unit = mine ? first_unit + block : layout.units();
    const std::int64_t area = mine ? slot : layout.slots;
    set(host_register::column_ports + k, unit * layout.unit_rows + issue);
    set(host_register::column_ports + ports + k, area * layout.staging_rows + issue);
  }
  if (layout.delta) {
    const auto delta = delta_registers(*layout.delta, slot, position);
    std::ranges::copy(delta, registers.begin() + host_register::delta_state);
  }
  return registers;
}

ChipHost::ChipHost(const Geometry& geometry, const LatencyTable& latencies,
                   const CompiledStage& stage, const Weights& weights)
    : geometry_(geometry), stage_(&stage), machine_(geometry, latencies, true) {
  machine_.load(stage.program, {});
  write_constants(geometry, stage.layout, weights,
                  [this](const Place& place, std::span<const std::uint8_t> bytes) {
                    machine_.write_row(place.slice, place.bank, place.row, bytes);
                  });
}

void ChipHost::write_value(const Rows& rows, Type type, std::span<const float> values) {
  write_vector(geometry_, rows, type, values,
               [this](const Place& place, std::span<const std::uint8_t> bytes) {
                 machine_.write_row(place.slice, place.bank, place.row, bytes);
               });
}

std::vector<float> ChipHost::read_value(const Rows& rows) const {
  std::vector<std::uint32_t> bits(index_of(geometry_.lanes()));
  for (std::size_t b = 0; b < rows.size(); ++b) {
    const auto bytes = machine_.read_row(rows[b].slice, rows[b].bank, rows[b].row);
    for (std::size_t lane = 0; lane < bits.size(); ++lane) {
      bits[lane] |= std::uint32_t{bytes[lane]} << (8 * b);
    }
  }
  const ElementType type =
      rows.size() == 4 ? ElementType::Float32 : element_type(stage_->layout.shape.kv);
  std::vector<float> values;
  values.reserve(bits.size());
  for (const std::uint32_t b : bits) values.push_back(decode_element(type, b));
  return values;
}

// A new request begins with states and inputs of convolutions of zeros.
void ChipHost::clear_states(int slot) {
  const StageLayout& layout = stage_->layout;
  if (!layout.delta) return;
  for (const LayerLayout& layer : layout.layers) {
    for (const Rows& rows : delta_request_rows(*layout.delta, layer.delta_rows, slot)) {
      write_value(rows, Type::Float32, {});
    }
  }
}

void ChipHost::write_descriptor(std::int64_t position, std::span<const float> hidden) {
  const StageLayout& layout = stage_->layout;
  const auto lanes = index_of(geometry_.lanes());
  if (layout.stage.has_embedding) {
    for (std::size_t k = 0; k < layout.hidden.size(); ++k) {
      write_value(layout.hidden[k], Type::Float32,
                  hidden.subspan(k * lanes, std::min(lanes, hidden.size() - k * lanes)));
    }
  }
  if (layout.layers.empty()) return;
  std::vector<float> cosine, sine;
  rotary_vectors(layout.rope, layout.shape, position, cosine, sine);
  write_value(layout.cosine, Type::Float32, cosine);
  write_value(layout.sine, Type::Float32, sine);
  std::vector<float> mask(lanes, -std::numeric_limits<float>::infinity());
  std::fill_n(mask.begin(), position % geometry_.lanes() + 1, 0.0F);
  for (Rows rows : layout.mask) {
    for (Place& place : rows) place.row += layout.blocks_per_slot;
    write_value(rows, Type::Float32, mask);
  }
}

std::vector<LinkVector> ChipHost::arrivals(std::span<const float> hidden) const {
  std::vector<LinkVector> vectors;
  const auto lanes = index_of(geometry_.lanes());
  for (std::size_t i = 0; i < stage_->receive_cycles.size(); ++i) {
    LinkVector vector{stage_->links.receive_link, stage_->receive_cycles[i],
                      std::vector<std::uint8_t>(lanes)};
    const std::size_t first = i / 4 * lanes;
    for (std::size_t lane = 0; lane < lanes && first + lane < hidden.size(); ++lane) {
      const auto bits = std::bit_cast<std::uint32_t>(hidden[first + lane]);
      vector.bytes[lane] = static_cast<std::uint8_t>(bits >> (8 * (i % 4)));
    }
    vectors.push_back(std::move(vector));
  }
  return vectors;
}

void ChipHost::read_results(PassResult& result) const {
  const StageLayout& layout = stage_->layout;
  const auto lanes = index_of(geometry_.lanes());
  if (!result.run.outbound.empty()) {
    std::vector<std::uint32_t> bits(layout.hidden.size() * lanes);
    for (std::size_t i = 0; i < result.run.outbound.size(); ++i) {
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        bits[i / 4 * lanes + lane] |= std::uint32_t{result.run.outbound[i].bytes[lane]}
                                      << (8 * (i % 4));
      }
    }
    bits.resize(index_of(layout.network().hidden));
    for (const std::uint32_t b : bits) result.hidden.push_back(std::bit_cast<float>(b));
  }
  if (!layout.stage.has_head()) return;
  for (const Rows& rows : layout.logits) {
    const auto values = read_value(rows);
    result.logits.insert(result.logits.end(), values.begin(), values.end());
  }
  result.logits.resize(index_of(layout.stage.head_end - layout.stage.head_begin));
  const auto best = read_value(layout.best_value);
  const auto tile = read_value(layout.best_tile);
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    const auto token = static_cast<std::int32_t>(
        layout.stage.head_begin + static_cast<std::int64_t>(tile[lane]) * geometry_.lanes() +
        static_cast<std::int64_t>(lane));
    const bool better = result.best_token < 0 || best[lane] > result.best_logit ||
                        (best[lane] == result.best_logit && token < result.best_token);
    if (!better || std::isinf(best[lane])) continue;
    result.best_token = token;
    result.best_logit = best[lane];
  }
}

PassResult ChipHost::run_token(int slot, std::int64_t position, std::span<const float> hidden) {
  if (position == 0) clear_states(slot);
  write_descriptor(position, hidden);
  const HostRegisters registers = pass_registers(geometry_, stage_->layout, slot, position);
  for (int reg = 1; reg < host_registers; ++reg) {
    machine_.set_register(reg, registers[index_of(reg)]);
  }
  PassResult result;
  result.run = machine_.run(arrivals(hidden));
  read_results(result);
  return result;
}

}  // namespace tandem::lpu
