#include "models/lpu/compiler/memory_map.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace tandem::lpu {
namespace {

/// Collects places under names; one region per name and hemisphere, in the order of first mention.
class MapMaker {
 public:
  explicit MapMaker(const Geometry& geometry) : geometry_(geometry) {}
  [[nodiscard]] std::vector<MemoryRegion> take() { return std::move(regions_); }

  /// `rows` rows that follow each other from a place on.
  void add(const std::string& name, const Place& place, int rows = 1) {
    const Hemisphere side = geometry_.mem_hemisphere(place.slice);
    const int slice = place.slice % geometry_.mem_slices_per_hemisphere;
    auto region = std::find_if(regions_.begin(), regions_.end(), [&](const MemoryRegion& known) {
      return known.name == name && known.side == side;
    });
    if (region == regions_.end()) {
      regions_.push_back({name, side, slice, slice, 0, place.row, place.row, 0});
      region = std::prev(regions_.end());
    }
    region->first_slice = std::min(region->first_slice, slice);
    region->last_slice = std::max(region->last_slice, slice);
    region->banks |= 1U << static_cast<unsigned>(place.bank);
    region->first_row = std::min(region->first_row, place.row);
    region->last_row = std::max(region->last_row, place.row + rows - 1);
    region->rows += rows;
  }
  void add(const std::string& name, const Rows& value, int rows = 1) {
    for (const Place& place : value) add(name, place, rows);
  }
  void add(const std::string& name, const std::vector<Rows>& values) {
    for (const Rows& value : values) add(name, value);
  }
  void add(const std::string& name, const Activations& activations) {
    for (const auto& side : activations.side) add(name, side);
  }
  // One row for every LW issue in every port.
  void add(const std::string& name, const ColumnTile& tile) {
    const int width = geometry_.weight_streams_per_plane;
    for (int byte = 0; byte < tile.bytes; ++byte) {
      for (int k = 0; k < width; ++k) {
        add(name, tile.place(geometry_, byte, k), tile.constant_row ? 1 : geometry_.lw_issues());
      }
    }
  }
  void add(const std::string& name, const MatrixLayout& matrix) {
    for (const ColumnTile& tile : matrix.tiles) add(name, tile);
    add(name, matrix.scale);
  }
  // The same tile of every unit, `stride` rows apart.
  void add_units(const std::string& name, const ColumnTile& tile, int units, int stride) {
    for (int unit = 0; unit < units; ++unit) {
      ColumnTile moved = tile;
      moved.row += unit * stride;
      add(name, moved);
    }
  }

 private:
  const Geometry& geometry_;
  std::vector<MemoryRegion> regions_;
};

void add_layer(MapMaker& map, const LayerLayout& layer, std::size_t index) {
  const auto name = [&](const char* what) { return fmt::format("layer {}: {}", index, what); };
  map.add(name("q"), layer.q);
  map.add(name("k"), layer.k);
  map.add(name("v"), layer.v);
  map.add(name("output gate"), layer.output_gate);
  map.add(name("o"), layer.o);
  map.add(name("gate"), layer.gate);
  map.add(name("up"), layer.up);
  map.add(name("down"), layer.down);
  map.add(name("norms"), layer.attention_norm);
  map.add(name("norms"), layer.ffn_norm);
  for (const auto* norm : {&layer.attention_post_norm, &layer.ffn_post_norm, &layer.dense_post_norm,
                           &layer.experts_norm, &layer.experts_post_norm}) {
    map.add(name("norms"), *norm);
  }
  for (const auto* bias : {&layer.gate_bias, &layer.up_bias, &layer.down_bias}) {
    map.add(name("biases"), *bias);
  }
}

// Heads of one vector share their tiles of keys.
void add_latent(MapMaker& map, const StageLayout& layout) {
  for (std::size_t l = 0; l < layout.layers.size() && layout.latent; ++l) {
    const LatentMatrices& latent = layout.layers[l].latent;
    const auto name = [&](const char* what) { return fmt::format("layer {}: {}", l, what); };
    map.add(name("q down"), latent.query_down);
    map.add(name("q up"), latent.query_up);
    map.add(name("kv down"), latent.kv_down);
    for (const MatrixLayout& head : latent.key_up) {
      if (head.first_k % layout.latent->nope_heads != 0) continue;
      for (const ColumnTile& tile : head.tiles) map.add(name("k up"), tile);
    }
    for (const MatrixLayout& heads : latent.value_up) {
      for (const ColumnTile& tile : heads.tiles) map.add(name("v up"), tile);
    }
    map.add(name("norms"), latent.query_norm);
    map.add(name("norms"), latent.kv_norm);
  }
}

void add_cache(MapMaker& map, const StageLayout& layout) {
  for (const LayerLayout& layer : layout.layers) {
    for (const PackLayout& pack : layer.packs) {
      // Behind them the one for what must not be kept, and those that a last iteration may read.
      const int units = layout.units() + 1 + layout.spare_blocks;
      map.add_units("KV cache", pack.keys, units, layout.unit_rows);
      map.add_units("KV cache", pack.values, units, layout.unit_rows);
      if (layout.latent) continue;
      map.add_units("KV growing block", pack.staged, layout.staging_areas() + 1,
                    layout.staging_rows);
    }
  }
}

void add_token(MapMaker& map, const StageLayout& layout, const TokenBuffers& token) {
  map.add("residual stream", token.hidden);
  map.add("residual stream, to send", token.outgoing);
  map.add("hidden states given", token.given);
  map.add("joined", token.joined);
  map.add("hidden states handed on", token.handed_on);
  map.add("sum of a half", token.branch);
  map.add("sum of both blocks", token.blend);
  map.add("rotary vectors", token.cosine);
  map.add("rotary vectors", token.sine);
  const int blocks = layout.longest_loop() + layout.spare_blocks;
  for (const Rows& table : token.mask) {
    map.add("mask table", table, layout.blocks_per_slot + layout.spare_blocks + 1);
  }
  for (const Rows& table : token.window_mask) {
    map.add("mask table of windows", table, layout.window.blocks + layout.spare_blocks);
  }
  map.add("normed", token.normed);
  map.add("attended", token.attended);
  map.add("gated", token.gated);
  map.add("output gates", token.output_gates);
  map.add("best tokens of the head", token.top_logits);
  map.add("best tokens of the head", token.top_indices);
  map.add("q by head", token.q_heads);
  map.add("q by head", token.q_rests);
  for (const Rows& first : token.scores) {
    for (int block = 0; block < blocks; ++block) {
      Rows row = first;
      for (Place& place : row) place.row += block * layout.score_stride;
      map.add("scores", row);
    }
  }
  map.add("maxima", token.maxima);
  map.add("logits", token.logits);
  map.add("best of the head", token.best_value);
  map.add("best of the head", token.best_tile);
}

void add_exchange(MapMaker& map, const StageLayout& layout) {
  const StripedBlocks& blocks = layout.exchange;
  for (const VectorBlock* block :
       {&blocks.input[0], &blocks.input[1], &blocks.inbox, &blocks.output}) {
    map.add("exchange of the gang", block->first, block->vectors);
  }
  map.add("residual stream, to send", layout.shards.first, layout.shards.vectors);
}

std::vector<SliceFill> fill_of(const Geometry& geometry, const StageLayout& layout) {
  std::vector<SliceFill> fill;
  for (int slice = 0; slice < geometry.mem_slices(); ++slice) {
    int rows = 0;
    for (int bank = 0; bank < geometry.banks; ++bank) {
      const auto index = static_cast<std::size_t>(slice * geometry.banks + bank);
      rows = std::max(rows, layout.rows_used[index]);
    }
    const Hemisphere side = geometry.mem_hemisphere(slice);
    const int within = slice % geometry.mem_slices_per_hemisphere;
    if (!fill.empty() && fill.back().side == side && fill.back().rows == rows) {
      fill.back().last_slice = within;
    } else {
      fill.push_back({side, within, within, rows});
    }
  }
  return fill;
}

const char* side_letter(Hemisphere side) {
  return side == Hemisphere::East ? "E" : "W";
}

std::string banks_text(std::uint32_t banks) {
  std::string text;
  for (unsigned bank = 0; bank < 32; ++bank) {
    if ((banks >> bank & 1U) != 0) text += fmt::format("{}{}", text.empty() ? "" : " ", bank);
  }
  return text;
}

}  // namespace

MemoryMap memory_map(const Geometry& geometry, const StageLayout& layout) {
  MapMaker maker(geometry);
  for (std::size_t l = 0; l < layout.layers.size(); ++l) add_layer(maker, layout.layers[l], l);
  add_latent(maker, layout);
  maker.add("head", layout.head);
  maker.add("join", layout.combine);
  add_cache(maker, layout);
  maker.add("final norm", layout.final_norm);
  for (const auto& norm : layout.join_norms) maker.add("norms of the join", norm);
  maker.add("masks of heads", layout.head_mask);
  for (const auto& side : layout.one_hot) maker.add("one-hot vectors", side);
  maker.add("mask of the vocabulary", layout.logit_mask);
  for (int token = 0; token < layout.tokens; ++token) add_token(maker, layout, layout.token(token));
  add_exchange(maker, layout);
  MemoryMap map;
  map.regions = maker.take();
  map.fill = fill_of(geometry, layout);
  for (const int rows : layout.rows_used) map.rows_used += rows;
  map.rows_there = std::int64_t{geometry.mem_slices()} * geometry.banks * geometry.rows_per_bank;
  return map;
}

std::string memory_page(const Geometry& geometry, const MemoryMap& map) {
  const auto kilobytes = [&](std::int64_t rows) {
    return static_cast<double>(rows * geometry.vector_bytes()) / 1e3;
  };
  std::string page = fmt::format(
      "SRAM: {} slices x {} banks x {} rows x {} B, {:.1f} % handed out\n"
      "{:<28} {:<10} {:<9} {:<5} {:<13} {:>12}\n",
      geometry.mem_slices(), geometry.banks, geometry.rows_per_bank, geometry.vector_bytes(),
      100.0 * static_cast<double>(map.rows_used) / static_cast<double>(map.rows_there), "what",
      "hemisphere", "slices", "banks", "rows", "KB");
  for (const MemoryRegion& region : map.regions) {
    page += fmt::format(
        "{:<28} {:<10} {:<9} {:<5} {:<13} {:>12.1f}\n", region.name, side_letter(region.side),
        fmt::format("{}..{}", region.first_slice, region.last_slice), banks_text(region.banks),
        fmt::format("{}..{}", region.first_row, region.last_row), kilobytes(region.rows));
  }
  std::int64_t listed = 0;
  for (const MemoryRegion& region : map.regions) listed += region.rows;
  page += fmt::format("{:<69} {:>12.1f}\n", "other: experts, routing, exchange in gangs, alignment",
                      kilobytes(map.rows_used - listed));
  page += "rows of the fuller bank, by slice from the VXM outwards:";
  for (const SliceFill& fill : map.fill) {
    page += fmt::format(" {}{}..{}: {}", side_letter(fill.side), fill.first_slice, fill.last_slice,
                        fill.rows);
  }
  return page + "\n";
}

}  // namespace tandem::lpu
