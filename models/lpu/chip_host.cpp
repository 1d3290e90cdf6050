#include "models/lpu/chip_host.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "models/lpu/compiler/delta_layout.hpp"
#include "models/lpu/compiler/image.hpp"
#include "models/lpu/compiler/layer_support.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

// Registers by name, for one token after the other.
class PassRegisters {
 public:
  PassRegisters(const Geometry& geometry, const StageLayout& layout)
      : geometry_(geometry), layout_(layout) {}

  void set_token(const TokenRegisters& token, const TokenPlace& place) {
    const std::int64_t block = place.position / geometry_.lanes();
    const std::int64_t first_unit = std::int64_t{place.slot} * layout_.blocks_per_slot;
    if (block >= layout_.blocks_per_slot || place.slot >= layout_.slots) {
      throw ModelError("lpu.host: a position beyond the context or a slot that does not exist");
    }
    set(token.iterations, block / layout_.blocks_per_iteration);
    set(token.slot_base, first_unit * layout_.unit_rows);
    set(token.mask_start, layout_.blocks_per_slot - block);
    set_window(token, block, first_unit);
    const std::int64_t area = layout_.staging_area(place.slot, block);
    set_tail(token, first_unit + block, area);
    const auto column = static_cast<int>(place.position % geometry_.lanes());
    set_column(token, column, first_unit + block, area);
  }

  // What a token that only fills up its pass appends goes to the spare unit.
  void set_filler(const TokenRegisters& token) {
    set(token.mask_start, layout_.blocks_per_slot);
    set_window(token, 0, 0);
    set_tail(token, layout_.units(), layout_.staging_areas());
    set_column(token, nowhere, layout_.units(), layout_.staging_areas());
  }

  [[nodiscard]] const HostRegisters& values() const { return values_; }

 private:
  static constexpr int nowhere = -1;

  void set(int reg, std::int64_t value) {
    values_[index_of(reg)] = static_cast<std::uint16_t>(value);
  }
  void set_window(const TokenRegisters& token, std::int64_t block, std::int64_t first_unit) {
    const WindowLayout& window = layout_.window;
    if (!window.exists()) return;
    const std::int64_t first = window.first_block(block);
    set(token.window_iterations, (block - first) / window.blocks_per_iteration);
    set(token.window_base, (first_unit + first) * layout_.unit_rows);
    set(token.window_mask_start, window.mask_start(block));
  }
  void set_tail(const TokenRegisters& token, std::int64_t unit, std::int64_t area) {
    set(token.tail_base, unit * layout_.unit_rows);
    set(token.staging_base, area * layout_.staging_rows);
  }
  // One port takes the new column, the others write to the spare unit.
  void set_column(const TokenRegisters& token, int column, std::int64_t unit, std::int64_t area) {
    const int ports = geometry_.weight_streams_per_plane;
    const int issue = std::max(column, 0) / ports;
    for (int k = 0; k < ports; ++k) {
      const bool mine = column != nowhere && k == column % ports;
      set(token.key_ports + k, (mine ? unit : layout_.units()) * layout_.unit_rows + issue);
      set(token.value_ports + k,
          (mine ? area : layout_.staging_areas()) * layout_.staging_rows + issue);
    }
  }

  const Geometry& geometry_;
  const StageLayout& layout_;
  HostRegisters values_{};
};

void check_blocks(const Geometry& geometry, std::span<const TokenPlace> tokens) {
  for (const TokenPlace& a : tokens) {
    for (const TokenPlace& b : tokens) {
      if (a.slot == b.slot && a.position / geometry.lanes() != b.position / geometry.lanes()) {
        throw ModelError("lpu.host: tokens of one request in different KV blocks of one pass");
      }
    }
  }
}

}  // namespace

HostRegisters pass_registers(const Geometry& geometry, const StageLayout& layout,
                             std::span<const TokenPlace> tokens) {
  if (tokens.empty() || static_cast<int>(tokens.size()) > layout.tokens) {
    throw ModelError("lpu.host: a pass of no tokens or more than its program has");
  }
  if (only_feeds_forward(layout.stage)) return {};
  check_blocks(geometry, tokens);
  PassRegisters registers(geometry, layout);
  for (int t = 0; t < layout.tokens; ++t) {
    const TokenRegisters token = token_registers(geometry, t);
    if (index_of(t) < tokens.size()) {
      registers.set_token(token, tokens[index_of(t)]);
    } else {
      registers.set_filler(token);
    }
  }
  HostRegisters values = registers.values();
  if (layout.delta) {
    const auto delta = delta_registers(*layout.delta, tokens[0].slot, tokens[0].position);
    std::ranges::copy(delta, values.begin() + host_register::delta_state);
  }
  return values;
}

HostRegisters pass_registers(const Geometry& geometry, const StageLayout& layout, int slot,
                             std::int64_t position) {
  const TokenPlace place{slot, position};
  return pass_registers(geometry, layout, {&place, 1});
}

ChipHost::ChipHost(const Geometry& geometry, const LatencyTable& latencies,
                   const CompiledStage& stage, const Weights& weights)
    : geometry_(geometry),
      stage_(&stage),
      own_(std::make_unique<Machine>(geometry, latencies, true)),
      machine_(own_.get()) {
  load_stage(weights);
}

ChipHost::ChipHost(const Geometry& geometry, const CompiledStage& stage, const Weights& weights,
                   Machine& machine)
    : geometry_(geometry), stage_(&stage), machine_(&machine) {
  load_stage(weights);
}

void ChipHost::load_stage(const Weights& weights) {
  const StageLayout& layout = stage_->layout;
  if (layout.stage.has_embedding && layout.network().learned_positions) {
    positions_ = weights.at("positions");
  }
  machine_->load(stage_->program, {});
  write_constants(geometry_, stage_->layout, weights,
                  [this](const Place& place, std::span<const std::uint8_t> bytes) {
                    machine_->write_row(place.slice, place.bank, place.row, bytes);
                  });
}

void ChipHost::use(const CompiledStage& stage) {
  if (stage_ == &stage) return;
  stage_ = &stage;
  machine_->load(stage.program, {});
}

void ChipHost::write_value(const Rows& rows, Type type, std::span<const float> values) {
  write_vector(geometry_, rows, type, values,
               [this](const Place& place, std::span<const std::uint8_t> bytes) {
                 machine_->write_row(place.slice, place.bank, place.row, bytes);
               });
}

std::vector<float> ChipHost::read_vector(const Rows& rows, Type type) const {
  std::vector<std::uint32_t> bits(index_of(geometry_.lanes()));
  for (std::size_t b = 0; b < rows.size(); ++b) {
    const auto bytes = machine_->read_row(rows[b].slice, rows[b].bank, rows[b].row);
    for (std::size_t lane = 0; lane < bits.size(); ++lane) {
      bits[lane] |= std::uint32_t{bytes[lane]} << (8 * b);
    }
  }
  std::vector<float> values;
  values.reserve(bits.size());
  for (const std::uint32_t b : bits) values.push_back(decode_element(element_type(type), b));
  return values;
}

std::vector<float> ChipHost::read_value(const Rows& rows) const {
  return read_vector(rows, rows.size() == 4 ? Type::Float32 : stage_->layout.shape.kv);
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

void ChipHost::write_descriptor(const TokenBuffers& token, std::int64_t position,
                                std::span<const float> hidden) {
  const StageLayout& layout = stage_->layout;
  const std::size_t width = std::min(hidden.size(), index_of(layout.network().hidden));
  if (layout.stage.has_embedding) write_embedding(token, position, hidden.first(width));
  write_fp32(token.given, hidden.subspan(width));
  if (!layout.mixes()) return;
  std::vector<float> cosine, sine;
  rotary_vectors(layout.rope, layout.shape, position, cosine, sine);
  if (layout.latent) {
    std::ranges::rotate(cosine, cosine.end() - layout.latent->rope_lane);
    std::ranges::rotate(sine, sine.end() - layout.latent->rope_lane);
  }
  write_value(token.cosine, Type::Float32, cosine);
  write_value(token.sine, Type::Float32, sine);
  write_mask(token, position);
}

// The row of the table, scaled, and that of the position where those are learned.
void ChipHost::write_embedding(const TokenBuffers& token, std::int64_t position,
                               std::span<const float> row) {
  const auto scale = static_cast<float>(stage_->layout.network().embedding_scale);
  std::vector<float> hidden(row.begin(), row.end());
  for (std::size_t i = 0; i < hidden.size(); ++i) {
    hidden[i] *= scale;
    if (positions_.shape().empty()) continue;
    hidden[i] += positions_.load(position * positions_.dim(1) + static_cast<std::int64_t>(i));
  }
  write_fp32(token.hidden, hidden);
}

void ChipHost::write_fp32(const std::vector<Rows>& to, std::span<const float> values) {
  const auto lanes = index_of(geometry_.lanes());
  for (std::size_t k = 0; k < to.size(); ++k) {
    const std::size_t first = std::min(k * lanes, values.size());
    write_value(to[k], Type::Float32,
                values.subspan(first, std::min(lanes, values.size() - first)));
  }
}

void ChipHost::write_mask(const TokenBuffers& token, std::int64_t position) {
  std::vector<float> mask(index_of(geometry_.lanes()), -std::numeric_limits<float>::infinity());
  std::fill_n(mask.begin(), position % geometry_.lanes() + 1, 0.0F);
  for (Rows rows : token.mask) {
    for (Place& place : rows) place.row += stage_->layout.blocks_per_slot;
    write_value(rows, Type::Float32, mask);
  }
  const WindowLayout& window = stage_->layout.window;
  for (const Rows& table : token.window_mask) {
    if (table.empty()) continue;
    for (const int row : window.changing_rows()) {
      Rows rows = table;
      for (Place& place : rows) place.row += row;
      write_value(rows, Type::Float32, window.mask(row, position, geometry_.lanes()));
    }
  }
}

std::vector<LinkVector> ChipHost::arrivals(
    const std::vector<std::span<const float>>& hidden) const {
  std::vector<LinkVector> vectors;
  const auto lanes = index_of(geometry_.lanes());
  const std::size_t per_token = stage_->receive_cycles.size() / index_of(stage_->tokens);
  for (std::size_t i = 0; i < stage_->receive_cycles.size(); ++i) {
    LinkVector vector{stage_->links.receive_link, stage_->receive_cycles[i],
                      std::vector<std::uint8_t>(lanes)};
    const std::size_t token = i / per_token;
    const std::size_t first = i % per_token / 4 * lanes;
    for (std::size_t lane = 0; lane < lanes && token < hidden.size(); ++lane) {
      if (first + lane >= hidden[token].size()) break;
      const auto bits = std::bit_cast<std::uint32_t>(hidden[token][first + lane]);
      vector.bytes[lane] = static_cast<std::uint8_t>(bits >> (8 * (i % 4)));
    }
    vectors.push_back(std::move(vector));
  }
  return vectors;
}

std::vector<float> ChipHost::sent_hidden(int token, const RunResult& run) const {
  const StageLayout& layout = stage_->layout;
  const auto lanes = index_of(geometry_.lanes());
  // What the chips of a gang exchange leaves over links too.
  if (layout.ranks > 1) return {};
  const std::size_t per_token = run.outbound.size() / index_of(stage_->tokens);
  std::vector<std::uint32_t> bits(per_token / 4 * lanes);
  for (std::size_t i = 0; i < per_token; ++i) {
    const auto& vector = run.outbound[index_of(token) * per_token + i];
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      bits[i / 4 * lanes + lane] |= std::uint32_t{vector.bytes[lane]} << (8 * (i % 4));
    }
  }
  bits.resize(std::min(bits.size(), index_of(layout.network().hidden)));
  std::vector<float> values;
  for (const std::uint32_t b : bits) values.push_back(std::bit_cast<float>(b));
  return values;
}

void ChipHost::read_best(const TokenBuffers& token, TokenResult& result) const {
  const auto best = read_value(token.best_value);
  const auto tile = read_value(token.best_tile);
  for (std::size_t lane = 0; lane < index_of(geometry_.lanes()); ++lane) {
    const auto id =
        static_cast<std::int32_t>(stage_->layout.stage.head_begin +
                                  static_cast<std::int64_t>(tile[lane]) * geometry_.lanes() +
                                  static_cast<std::int64_t>(lane));
    const bool better = result.best_token < 0 || best[lane] > result.best_logit ||
                        (best[lane] == result.best_logit && id < result.best_token);
    if (!better || std::isinf(best[lane])) continue;
    result.best_token = id;
    result.best_logit = best[lane];
  }
}

TokenResult ChipHost::read_results(int token, const RunResult& run) const {
  const StageLayout& layout = stage_->layout;
  const TokenBuffers& buffers = layout.token(token);
  TokenResult result;
  result.hidden = sent_hidden(token, run);
  if (!layout.stage.has_head()) return result;
  for (const Rows& rows : buffers.handed_on) {
    const auto values = read_value(rows);
    result.hidden.insert(result.hidden.end(), values.begin(), values.end());
  }
  if (!buffers.handed_on.empty()) result.hidden.resize(index_of(layout.network().hidden));
  for (const Rows& rows : buffers.logits) {
    const auto values = read_value(rows);
    result.logits.insert(result.logits.end(), values.begin(), values.end());
  }
  result.logits.resize(index_of(layout.stage.head_end - layout.stage.head_begin));
  read_best(buffers, result);
  for (std::size_t i = 0; i < buffers.top_logits.size(); ++i) {
    const auto index = static_cast<std::int64_t>(read_value(buffers.top_indices[i]).front());
    result.top.emplace_back(static_cast<std::int32_t>(layout.stage.head_begin + index),
                            read_value(buffers.top_logits[i]).front());
  }
  return result;
}

void ChipHost::prepare(std::span<const TokenPlace> places,
                       const std::vector<std::span<const float>>& hidden) {
  const StageLayout& layout = stage_->layout;
  if (static_cast<int>(places.size()) > stage_->tokens) {
    throw ModelError("lpu.host: more tokens than the program has");
  }
  const HostRegisters registers = pass_registers(geometry_, layout, places);
  for (int t = 0; t < stage_->tokens; ++t) {
    const bool is_filler = index_of(t) >= places.size();
    if (!is_filler && places[index_of(t)].position == 0) clear_states(places[index_of(t)].slot);
    write_descriptor(layout.token(t), is_filler ? 0 : places[index_of(t)].position,
                     is_filler ? std::span<const float>{} : hidden.at(index_of(t)));
  }
  for (int reg = 1; reg < host_registers; ++reg) {
    machine_->set_register(reg, registers[index_of(reg)]);
  }
}

BatchResult ChipHost::results(int tokens, RunResult run) const {
  BatchResult result;
  result.run = std::move(run);
  for (int t = 0; t < tokens; ++t) result.tokens.push_back(read_results(t, result.run));
  return result;
}

BatchResult ChipHost::run_tokens(std::span<const TokenPlace> places,
                                 const std::vector<std::span<const float>>& hidden) {
  prepare(places, hidden);
  return results(static_cast<int>(places.size()), machine_->run(arrivals(hidden)));
}

PassResult ChipHost::run_token(int slot, std::int64_t position, std::span<const float> hidden) {
  const TokenPlace place{slot, position};
  BatchResult batch = run_tokens({&place, 1}, {hidden});
  PassResult result;
  static_cast<TokenResult&>(result) = std::move(batch.tokens.front());
  result.run = std::move(batch.run);
  return result;
}

}  // namespace tandem::lpu
