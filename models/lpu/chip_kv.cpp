// KV of a request between the chip's layout and the one in which chips exchange it.
#include <algorithm>
#include <cstring>

#include "models/lpu/chip_host.hpp"
#include "models/lpu/compiler/image.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

std::size_t index_of(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

float load(const KvBlock& block, std::size_t element) {
  const auto width = static_cast<std::size_t>(bytes_of(block.type));
  std::uint32_t bits = 0;
  for (std::size_t b = 0; b < width; ++b) {
    bits |= static_cast<std::uint32_t>(block.bytes[element * width + b]) << (8 * b);
  }
  return decode_element(block.type, bits);
}

void store(KvBlock& block, std::size_t element, float value) {
  const auto width = static_cast<std::size_t>(bytes_of(block.type));
  const std::uint32_t bits = encode_element(block.type, value);
  for (std::size_t b = 0; b < width; ++b) {
    block.bytes[element * width + b] = static_cast<std::byte>((bits >> (8 * b)) & 0xffU);
  }
}

void check_moves(const StageLayout& layout) {
  if (layout.delta) {
    throw ModelError("lpu.host: states of Gated DeltaNet do not move between chips");
  }
  if (layout.latent) throw ModelError("lpu.host: latents do not move between chips yet");
}

}  // namespace

Rows ChipHost::key_rows(const PackLayout& pack, int slot, std::int64_t token) const {
  const StageLayout& layout = stage_->layout;
  const auto unit = std::int64_t{slot} * layout.blocks_per_slot + token / geometry_.lanes();
  Rows rows;
  for (int byte = 0; byte < pack.keys.bytes; ++byte) {
    rows.push_back(pack.keys.place(geometry_, byte, static_cast<int>(token % geometry_.lanes())));
    rows.back().row += static_cast<int>(unit) * layout.unit_rows;
  }
  return rows;
}

Rows ChipHost::value_rows(const PackLayout& pack, int slot, std::int64_t block, int channel) const {
  const StageLayout& layout = stage_->layout;
  const auto unit = std::int64_t{slot} * layout.blocks_per_slot + block;
  Rows rows;
  for (int byte = 0; byte < pack.values.bytes; ++byte) {
    rows.push_back(pack.values.place(geometry_, byte, channel));
    rows.back().row += static_cast<int>(unit) * layout.unit_rows;
  }
  return rows;
}

Rows ChipHost::staged_rows(const PackLayout& pack, int slot, std::int64_t token) const {
  Rows rows;
  for (int byte = 0; byte < pack.staged.bytes; ++byte) {
    rows.push_back(pack.staged.place(geometry_, byte, static_cast<int>(token % geometry_.lanes())));
    rows.back().row += slot * stage_->layout.staging_rows;
  }
  return rows;
}

KvBlock ChipHost::read_kv(int slot, std::int64_t tokens) const {
  const StageLayout& layout = stage_->layout;
  check_moves(layout);
  const StageShape& shape = layout.shape;
  KvBlock block;
  block.type = element_type(shape.kv);
  block.rope_layout = layout.rope.layout;
  block.first_layer = layout.stage.first_layer;
  block.layers = layout.stage.layers;
  block.tokens = tokens;
  block.kv_heads = shape.kv_heads;
  block.head_dim = shape.head_dim;
  block.bytes.resize(index_of(block.expected_size().count()));
  const std::int64_t width = std::int64_t{shape.kv_heads} * shape.head_dim;
  for (std::int64_t l = 0; l < block.layers; ++l) {
    for (int j = 0; j < shape.packs; ++j) {
      const PackLayout& pack = layout.layers[index_of(l)].packs[index_of(j)];
      const std::int64_t first = std::int64_t{j} * shape.channels();
      const int channels = shape.heads_in_pack(j) * shape.head_dim;
      for (std::int64_t t = 0; t < tokens; ++t) {
        const auto key = read_value(key_rows(pack, slot, t));
        for (int c = 0; c < channels; ++c) {
          store(block, index_of((2 * l * tokens + t) * width + first + c), key[index_of(c)]);
        }
      }
      for (std::int64_t b = 0; b * geometry_.lanes() < tokens; ++b) {
        const std::int64_t begin = b * geometry_.lanes();
        for (int c = 0; c < channels; ++c) {
          const auto value = read_value(value_rows(pack, slot, b, c));
          for (std::int64_t t = begin; t < std::min(tokens, begin + geometry_.lanes()); ++t) {
            store(block, index_of(((2 * l + 1) * tokens + t) * width + first + c),
                  value[index_of(t - begin)]);
          }
        }
      }
    }
  }
  return block;
}

void ChipHost::write_layer_kv(const LayerLayout& layer, int slot, std::int64_t tokens,
                              std::span<const float> keys, std::span<const float> values) {
  const StageShape& shape = stage_->layout.shape;
  const std::int64_t width = std::int64_t{shape.kv_heads} * shape.head_dim;
  const std::int64_t lanes = geometry_.lanes();
  for (int j = 0; j < shape.packs; ++j) {
    const PackLayout& pack = layer.packs[index_of(j)];
    const std::int64_t first = std::int64_t{j} * shape.channels();
    const int channels = shape.heads_in_pack(j) * shape.head_dim;
    for (std::int64_t t = 0; t < tokens; ++t) {
      const auto at = index_of(t * width + first);
      write_value(key_rows(pack, slot, t), shape.kv, keys.subspan(at, index_of(channels)));
      if (t >= tokens / lanes * lanes) {
        write_value(staged_rows(pack, slot, t), shape.kv, values.subspan(at, index_of(channels)));
      }
    }
    for (std::int64_t b = 0; b * lanes < tokens; ++b) {
      for (int c = 0; c < channels; ++c) {
        std::vector<float> column;
        for (std::int64_t t = b * lanes; t < std::min(tokens, (b + 1) * lanes); ++t) {
          column.push_back(values[index_of(t * width + first + c)]);
        }
        write_value(value_rows(pack, slot, b, c), shape.kv, column);
      }
    }
  }
}

void ChipHost::write_kv(int slot, const KvBlock& block) {
  const StageLayout& layout = stage_->layout;
  const StageShape& shape = layout.shape;
  check_moves(layout);
  const bool fits =
      block.type == element_type(shape.kv) && block.rope_layout == layout.rope.layout &&
      block.first_layer == layout.stage.first_layer && block.layers == layout.stage.layers &&
      block.kv_heads == shape.kv_heads && block.head_dim == shape.head_dim &&
      block.tokens <= std::int64_t{layout.blocks_per_slot} * geometry_.lanes() &&
      static_cast<std::int64_t>(block.bytes.size()) == block.expected_size().count();
  if (!fits) throw ModelError("lpu.host: KV of another stage, format or size");
  const auto elements = index_of(block.tokens * shape.kv_heads * shape.head_dim);
  std::vector<float> keys(elements), values(elements);
  for (std::int64_t l = 0; l < block.layers; ++l) {
    for (std::size_t i = 0; i < elements; ++i) {
      keys[i] = load(block, index_of(2 * l) * elements + i);
      values[i] = load(block, index_of(2 * l + 1) * elements + i);
    }
    write_layer_kv(layout.layers[index_of(l)], slot, block.tokens, keys, values);
  }
}

}  // namespace tandem::lpu
