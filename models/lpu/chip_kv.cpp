// What a request left on the chip, between the chip's layout and the one in which chips exchange
// it.
#include <algorithm>
#include <cstring>

#include "models/lpu/chip_host.hpp"
#include "models/lpu/compiler/delta_layout.hpp"
#include "models/lpu/compiler/image.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

float load(const KvBlock& block, ElementType type, std::int64_t byte) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, block.bytes.data() + byte, index_of(bytes_of(type)));
  return decode_element(type, bits);
}

void store(KvBlock& block, ElementType type, std::int64_t byte, float value) {
  const std::uint32_t bits = encode_element(type, value);
  std::memcpy(block.bytes.data() + byte, &bits, index_of(bytes_of(type)));
}

/// Channels of a pack's key vector: lane, and channel of all heads' keys side by side.
struct LaneChannel {
  int lane;
  std::int64_t channel;
};

std::vector<LaneChannel> run_of(std::int64_t first_channel, int count, int first_lane = 0) {
  std::vector<LaneChannel> lanes;
  for (int i = 0; i < count; ++i) lanes.push_back({first_lane + i, first_channel + i});
  return lanes;
}

/// Which elements of a layer's tables lie in the vectors of a pack. A latent's key and value hold
/// the same values: exchanged are the key's rotated part as K and the value as V.
struct PackChannels {
  std::vector<LaneChannel> keys;         ///< of K, by lane of key vectors
  std::vector<LaneChannel> latent_keys;  ///< of V, by lane of key vectors
  std::vector<LaneChannel> values;       ///< of V, by row of value tiles
};

PackChannels channels_of_pack(const StageLayout& layout, int pack) {
  if (!layout.latent) {
    const StageShape& shape = layout.shape;
    const auto lanes =
        run_of(std::int64_t{pack} * shape.channels(), shape.heads_in_pack(pack) * shape.head_dim);
    return {lanes, {}, lanes};
  }
  const LatentPlan& plan = *layout.latent;
  PackChannels channels;
  if (pack == plan.key_vectors - 1) channels.keys = run_of(0, plan.rope, plan.rope_lane);
  if (pack >= plan.latent_vectors) return channels;
  channels.latent_keys = run_of(std::int64_t{pack} * plan.lanes, plan.latent_lanes(pack));
  channels.values = channels.latent_keys;
  return channels;
}

Rows moved(Rows rows, std::int64_t further) {
  for (Place& place : rows) place.row += static_cast<int>(further);
  return rows;
}

/// A vector of a recurrent layer's memory with where its elements lie in a block, from the layer's
/// first byte on; -1: in no table.
struct StateVector {
  Rows rows;
  std::vector<std::int64_t> bytes;  ///< by lane
};

constexpr std::int64_t state_bytes = 4;  // fp32

/// All vectors of a Gated DeltaNet layer's memory after `tokens` tokens. Row i of a pack's state
/// has S[head][i][j] in the lane of channel j of that head.
std::vector<StateVector> state_vectors(const DeltaPlan& plan, const DeltaLayerRows& layer, int slot,
                                       std::int64_t tokens) {
  const ops::GatedDeltaShape& d = plan.shape;
  std::vector<StateVector> vectors;
  for (int p = 0; p < static_cast<int>(plan.packs.size()); ++p) {
    const std::vector<std::int64_t> channels = plan.value_channels(p);
    for (int i = 0; i < plan.key_dim(); ++i) {
      StateVector vector{
          moved(delta_state_row(layer, p, i), delta_state_offset(plan, slot, tokens)), {}};
      for (const std::int64_t c : channels) {
        const std::int64_t element =
            (c / d.value_dim * d.key_dim + i) * d.value_dim + c % d.value_dim;
        vector.bytes.push_back(c < 0 ? -1 : element * state_bytes);
      }
      vectors.push_back(std::move(vector));
    }
  }
  std::int64_t table = d.state_elements();
  const auto add_inputs = [&](const std::vector<DeltaChannels>& all, std::int64_t width,
                              const auto& channels_of) {
    for (int v = 0; v < static_cast<int>(all.size()); ++v) {
      const std::vector<std::int64_t> channels = channels_of(v);
      for (std::int64_t row = 0; row + 1 < d.conv_taps; ++row) {
        const std::int64_t token = tokens - d.conv_taps + 1 + row;
        StateVector vector{moved(all[index_of(v)].ring, delta_ring_offset(plan, slot, token)), {}};
        for (const std::int64_t c : channels) {
          vector.bytes.push_back(c < 0 ? -1 : (table + row * width + c) * state_bytes);
        }
        vectors.push_back(std::move(vector));
      }
    }
    table += (d.conv_taps - 1) * width;
  };
  const auto key_channels = [&](int v) { return plan.key_channels(v); };
  add_inputs(layer.queries, d.key_heads * d.key_dim, key_channels);
  add_inputs(layer.keys, d.key_heads * d.key_dim, key_channels);
  add_inputs(layer.values, d.value_width(), [&](int p) { return plan.value_channels(p); });
  return vectors;
}

std::int64_t bytes_of_layer(const KvBlock& block, std::size_t layer) {
  std::int64_t bytes = 0;
  for (const MemoryTable& table : tables_of(block.layers[layer], block.tokens, block.type)) {
    bytes += table.bytes();
  }
  return bytes;
}

}  // namespace

Rows ChipHost::key_rows(const PackLayout& pack, int slot, std::int64_t token) const {
  const StageLayout& layout = stage_->layout;
  const auto unit = std::int64_t{slot} * layout.blocks_per_slot + token / geometry_.lanes();
  Rows rows;
  for (int byte = 0; byte < pack.keys.bytes; ++byte) {
    rows.push_back(pack.keys.place(geometry_, byte, static_cast<int>(token % geometry_.lanes())));
  }
  return moved(std::move(rows), unit * layout.unit_rows);
}

Rows ChipHost::value_rows(const PackLayout& pack, int slot, std::int64_t block, int channel) const {
  const StageLayout& layout = stage_->layout;
  const auto unit = std::int64_t{slot} * layout.blocks_per_slot + block;
  Rows rows;
  for (int byte = 0; byte < pack.values.bytes; ++byte) {
    rows.push_back(pack.values.place(geometry_, byte, channel));
  }
  return moved(std::move(rows), unit * layout.unit_rows);
}

Rows ChipHost::staged_rows(const PackLayout& pack, int slot, std::int64_t token) const {
  Rows rows;
  for (int byte = 0; byte < pack.staged.bytes; ++byte) {
    rows.push_back(pack.staged.place(geometry_, byte, static_cast<int>(token % geometry_.lanes())));
  }
  const StageLayout& layout = stage_->layout;
  const std::int64_t area = layout.staging_area(slot, token / geometry_.lanes());
  return moved(std::move(rows), area * layout.staging_rows);
}

void ChipHost::read_layer_kv(const LayerLayout& layer, int slot, std::int64_t at,
                             KvBlock& block) const {
  const auto kv = std::get<KvShape>(memory_of(layer.kind.mixer));
  const std::int64_t element = bytes_of(block.type);
  const std::int64_t key_width = kv.heads * kv.key_dim, value_width = kv.heads * kv.value_dim;
  const std::int64_t values_at = at + block.tokens * key_width * element;
  const std::int64_t lanes = geometry_.lanes();
  for (std::size_t j = 0; j < layer.packs.size(); ++j) {
    const PackChannels channels = channels_of_pack(stage_->layout, static_cast<int>(j));
    for (std::int64_t t = 0; t < block.tokens && !channels.keys.empty(); ++t) {
      const auto key = read_value(key_rows(layer.packs[j], slot, t));
      for (const auto& [lane, channel] : channels.keys) {
        store(block, block.type, at + (t * key_width + channel) * element, key[index_of(lane)]);
      }
    }
    for (std::int64_t b = 0; b * lanes < block.tokens; ++b) {
      for (const auto& [lane, channel] : channels.values) {
        const auto value = read_value(value_rows(layer.packs[j], slot, b, lane));
        for (std::int64_t t = b * lanes; t < std::min(block.tokens, (b + 1) * lanes); ++t) {
          store(block, block.type, values_at + (t * value_width + channel) * element,
                value[index_of(t % lanes)]);
        }
      }
    }
  }
}

void ChipHost::write_layer_kv(const LayerLayout& layer, int slot, std::int64_t at,
                              const KvBlock& block) {
  const auto kv = std::get<KvShape>(memory_of(layer.kind.mixer));
  const std::int64_t element = bytes_of(block.type);
  const std::int64_t key_width = kv.heads * kv.key_dim, value_width = kv.heads * kv.value_dim;
  const std::int64_t values_at = at + block.tokens * key_width * element;
  const auto key = [&](std::int64_t t, std::int64_t channel) {
    return load(block, block.type, at + (t * key_width + channel) * element);
  };
  const auto value = [&](std::int64_t t, std::int64_t channel) {
    return load(block, block.type, values_at + (t * value_width + channel) * element);
  };
  const Type type = stage_->layout.shape.kv;
  const std::int64_t lanes = geometry_.lanes();
  for (std::size_t j = 0; j < layer.packs.size(); ++j) {
    const PackLayout& pack = layer.packs[j];
    const PackChannels channels = channels_of_pack(stage_->layout, static_cast<int>(j));
    // Values of a latent are turned from its keys.
    const bool is_staged = !channels.values.empty() && channels.latent_keys.empty();
    const bool has_keys = !channels.keys.empty() || !channels.latent_keys.empty();
    for (std::int64_t t = 0; t < block.tokens; ++t) {
      std::vector<float> keys(index_of(lanes)), staged(index_of(lanes));
      for (const auto& [lane, channel] : channels.keys) keys[index_of(lane)] = key(t, channel);
      for (const auto& [lane, channel] : channels.latent_keys) {
        keys[index_of(lane)] = value(t, channel);
      }
      for (const auto& [lane, channel] : channels.values) {
        staged[index_of(lane)] = value(t, channel);
      }
      if (has_keys) write_value(key_rows(pack, slot, t), type, keys);
      if (is_staged && t >= block.tokens / lanes * lanes) {
        write_value(staged_rows(pack, slot, t), type, staged);
      }
    }
    for (std::int64_t b = 0; b * lanes < block.tokens; ++b) {
      for (const auto& [lane, channel] : channels.values) {
        std::vector<float> column;
        for (std::int64_t t = b * lanes; t < std::min(block.tokens, (b + 1) * lanes); ++t) {
          column.push_back(value(t, channel));
        }
        write_value(value_rows(pack, slot, b, lane), type, column);
      }
    }
  }
}

KvBlock ChipHost::read_kv(int slot, std::int64_t tokens) const {
  const StageLayout& layout = stage_->layout;
  const Stage& stage = layout.stage;
  KvBlock block = empty_block(stage.network, stage.first_layer, stage.layers,
                              element_type(layout.shape.kv), tokens);
  std::int64_t at = 0;
  for (std::size_t l = 0; l < block.layers.size(); ++l) {
    const LayerLayout& layer = layout.layers[l];
    if (std::holds_alternative<KvShape>(block.layers[l])) read_layer_kv(layer, slot, at, block);
    if (std::holds_alternative<ops::GatedDeltaShape>(block.layers[l])) {
      for (const StateVector& vector :
           state_vectors(*layout.delta, layer.delta_rows, slot, tokens)) {
        const std::vector<float> values = read_vector(vector.rows, Type::Float32);
        for (std::size_t lane = 0; lane < vector.bytes.size(); ++lane) {
          if (vector.bytes[lane] < 0) continue;
          store(block, ElementType::Float32, at + vector.bytes[lane], values[lane]);
        }
      }
    }
    at += bytes_of_layer(block, l);
  }
  return block;
}

void ChipHost::write_kv(int slot, const KvBlock& block) {
  const StageLayout& layout = stage_->layout;
  const Stage& stage = layout.stage;
  const KvBlock own = empty_block(stage.network, stage.first_layer, stage.layers,
                                  element_type(layout.shape.kv), block.tokens);
  const bool keeps_tokens = std::ranges::any_of(block.layers, [](const LayerMemory& layer) {
    return std::holds_alternative<KvShape>(layer);
  });
  const bool has_room =
      !keeps_tokens || block.tokens <= std::int64_t{layout.blocks_per_slot} * geometry_.lanes();
  if (!block.has_shape_of(own) || !block.has_expected_size() || !has_room) {
    throw ModelError("lpu.host: KV of another stage, format or size");
  }
  clear_states(slot);
  std::int64_t at = 0;
  for (std::size_t l = 0; l < block.layers.size(); ++l) {
    const LayerLayout& layer = layout.layers[l];
    if (std::holds_alternative<KvShape>(block.layers[l])) write_layer_kv(layer, slot, at, block);
    if (std::holds_alternative<ops::GatedDeltaShape>(block.layers[l])) {
      for (const StateVector& vector :
           state_vectors(*layout.delta, layer.delta_rows, slot, block.tokens)) {
        std::vector<float> values(vector.bytes.size(), 0.0F);
        for (std::size_t lane = 0; lane < values.size(); ++lane) {
          if (vector.bytes[lane] < 0) continue;
          values[lane] = load(block, ElementType::Float32, at + vector.bytes[lane]);
        }
        write_value(vector.rows, Type::Float32, values);
      }
    }
    at += bytes_of_layer(block, l);
  }
}

}  // namespace tandem::lpu
