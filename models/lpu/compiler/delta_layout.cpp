#include "models/lpu/compiler/delta_layout.hpp"

#include <algorithm>
#include <functional>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::lpu {
namespace {

int rows_of_pack(const DeltaPlan& plan) {
  return (plan.key_dim() + delta_state_groups - 1) / delta_state_groups;
}

// Alternates between the hemispheres, so that operands of one operation rarely share a port.
class Buffers {
 public:
  explicit Buffers(RowAllocator& allocator) : allocator_(allocator) {}
  Rows one() {
    turn_ = !turn_;
    return allocator_.buffer(turn_ ? Hemisphere::East : Hemisphere::West, 4);
  }
  std::vector<Rows> many(int count) {
    std::vector<Rows> rows;
    for (int i = 0; i < count; ++i) rows.push_back(one());
    return rows;
  }

 private:
  RowAllocator& allocator_;
  bool turn_ = false;
};

class LayerMaker {
 public:
  LayerMaker(const DeltaPlan& plan, RowAllocator& allocator, int slots)
      : plan_(plan), allocator_(allocator), buffers_(allocator), slots_(slots) {}

  DeltaLayerRows make() {
    DeltaLayerRows layer;
    for (int i = 0; i < plan_.key_vectors; ++i) {
      layer.queries.push_back(channels());
      layer.keys.push_back(channels());
    }
    for (std::size_t i = 0; i < plan_.packs.size(); ++i) layer.values.push_back(channels());
    layer.dt_bias = buffers_.many(plan_.gate_vectors);
    layer.rate = buffers_.many(plan_.gate_vectors);
    layer.norm = buffers_.one();
    make_state(layer);
    return layer;
  }

 private:
  DeltaChannels channels() {
    DeltaChannels result;
    result.weights = buffers_.many(plan_.taps());
    ring_turn_ = (ring_turn_ + 1) % (2 * allocator_.table_pairs());
    const Hemisphere side = ring_turn_ % 2 == 0 ? Hemisphere::West : Hemisphere::East;
    result.ring = allocator_.table(side, ring_turn_ / 2, slots_ * plan_.ring());
    for (Place& place : result.ring) {
      place.reg = host_register::delta_ring;
      place.alone = true;
    }
    return result;
  }

  // Packs take turns between two sets of groups; those of the next request follow behind all.
  void make_state(DeltaLayerRows& layer) {
    const int rows = rows_of_pack(plan_);
    std::array<std::array<Rows, delta_state_groups>, 2> sets;
    for (int set = 0; set < 2; ++set) {
      for (int group = 0; group < delta_state_groups; ++group) {
        const Hemisphere side = group % 2 == 0 ? Hemisphere::West : Hemisphere::East;
        const int pair = (2 * set + group / 2) % allocator_.table_pairs();
        Rows table = allocator_.table(side, pair, slots_ * plan_.states * delta_state_rows(plan_));
        for (Place& place : table) place.reg = host_register::delta_state;
        sets[index_of(set)][index_of(group)] = std::move(table);
      }
    }
    for (std::size_t pack = 0; pack < plan_.packs.size(); ++pack) {
      auto& set = sets[pack % 2];
      layer.state.push_back(set);
      for (Rows& group : set) {
        for (Place& place : group) place.row += rows;
      }
    }
  }

  const DeltaPlan& plan_;
  RowAllocator& allocator_;
  Buffers buffers_;
  int slots_;
  int ring_turn_ = 0;
};

// The same sums on the same pair of planes, as two-byte tiles: ones are exact.
SumTile sum_tile(RowAllocator& allocator, int plane) {
  return {allocator.weights(plane, Type::Bfloat16), plane};
}

void write_tile(const Geometry& geometry, const SumTile& sum, std::span<const float> columns,
                const RowWriter& write) {
  const auto lanes = index_of(geometry.lanes());
  for (std::size_t column = 0; column < lanes; ++column) {
    Rows rows;
    for (int byte = 0; byte < sum.tile.bytes; ++byte) {
      rows.push_back(sum.tile.place(geometry, byte, static_cast<int>(column)));
    }
    write_vector(geometry, rows, Type::Bfloat16, columns.subspan(column * lanes, lanes), write);
  }
}

class DeltaConstantWriter {
 public:
  DeltaConstantWriter(const Geometry& geometry, const DeltaPlan& plan,
                      const DeltaConstants& constants, const RowWriter& write)
      : geometry_(geometry), plan_(plan), constants_(constants), write_(write) {}

  void write(const DeltaLayerRows& layer) {
    const std::int64_t keys = plan_.shape.key_heads * plan_.shape.key_dim;
    for (int v = 0; v < plan_.key_vectors; ++v) {
      convolution(layer.queries[index_of(v)], plan_.key_channels(v), 0);
      convolution(layer.keys[index_of(v)], plan_.key_channels(v), keys);
    }
    for (std::size_t p = 0; p < plan_.packs.size(); ++p) {
      convolution(layer.values[p], plan_.value_channels(static_cast<int>(p)), 2 * keys);
    }
    for (int g = 0; g < plan_.gate_vectors; ++g) {
      const auto heads = plan_.gate_channels(g, false);
      lanes(layer.dt_bias[index_of(g)], heads,
            [this](std::int64_t head) { return constants_.dt_bias[index_of(head)]; });
      lanes(layer.rate[index_of(g)], heads,
            [this](std::int64_t head) { return -special::exp(constants_.a_log[index_of(head)]); });
    }
    std::vector<std::int64_t> channels(index_of(plan_.lanes), -1);
    for (int lane = 0; lane < plan_.value_lanes(); ++lane) {
      channels[index_of(lane)] = lane % plan_.value_dim();
    }
    lanes(layer.norm, channels,
          [this](std::int64_t channel) { return constants_.norm[index_of(channel)]; });
  }

 private:
  void lanes(const Rows& rows, const std::vector<std::int64_t>& channels,
             const std::function<float(std::int64_t)>& value) {
    std::vector<float> values(channels.size(), 0.0F);
    for (std::size_t lane = 0; lane < channels.size(); ++lane) {
      if (channels[lane] >= 0) values[lane] = value(channels[lane]);
    }
    write_vector(geometry_, rows, Type::Float32, values, write_);
  }

  void convolution(const DeltaChannels& rows, const std::vector<std::int64_t>& channels,
                   std::int64_t first) {
    for (int tap = 0; tap < plan_.taps(); ++tap) {
      lanes(rows.weights[index_of(tap)], channels, [&](std::int64_t channel) {
        return constants_.conv[index_of((first + channel) * plan_.taps() + tap)];
      });
    }
  }

  const Geometry& geometry_;
  const DeltaPlan& plan_;
  const DeltaConstants& constants_;
  const RowWriter& write_;
};

}  // namespace

int delta_state_rows(const DeltaPlan& plan) {
  return (static_cast<int>(plan.packs.size()) + 1) / 2 * rows_of_pack(plan);
}

DeltaLayerRows make_delta_layer(const DeltaPlan& plan, RowAllocator& allocator, int slots) {
  if (plan.taps() > delta_taps_limit) {
    throw ModelError("lpu.compiler: a convolution longer than five taps");
  }
  return LayerMaker(plan, allocator, slots).make();
}

DeltaBuffers make_delta_buffers(const Geometry& geometry, const DeltaPlan& plan,
                                RowAllocator& allocator) {
  DeltaBuffers b;
  const int packs = static_cast<int>(plan.packs.size());
  const int views = static_cast<int>(plan.views.size());
  for (std::size_t i = 0; i < plan.patterns.size(); ++i) {
    b.key_sums.push_back(sum_tile(allocator, 0));
  }
  b.value_sums = sum_tile(allocator, geometry.planes - 2);
  // Keys and queries are spread by one switch unit each, a row in every cycle: away from the
  // states.
  for (int v = 0; v < plan.key_vectors; ++v) {
    const auto row = [&](Hemisphere side) {
      return v % 2 == 0 ? allocator.score_table(side, 1) : allocator.mask_table(side, 1);
    };
    b.keys.push_back(row(Hemisphere::West));
    b.queries.push_back(row(Hemisphere::East));
  }
  Buffers buffers(allocator);
  b.values = buffers.many(packs);
  b.decay_by_head = buffers.many(plan.gate_vectors);
  b.strength_by_head = buffers.many(plan.gate_vectors);
  b.decay = buffers.many(packs);
  b.strength = buffers.many(packs);
  b.key_scale = buffers.many(views);
  b.query_scale = buffers.many(views);
  b.overlap = buffers.many(views);
  b.seen = buffers.many(packs);
  b.answered = buffers.many(packs);
  // Read in every cycle of an update, two packs at a time.
  for (int pack = 0; pack < packs; ++pack) {
    b.change.push_back(pack % 2 == 0 ? allocator.score_table(Hemisphere::East, 1)
                                     : allocator.mask_table(Hemisphere::East, 1));
  }
  b.mixed = buffers.many(packs);
  b.gate = buffers.many(packs);
  return b;
}

int delta_state_offset(const DeltaPlan& plan, int slot, std::int64_t tokens) {
  return (slot * plan.states + static_cast<int>(tokens % plan.states)) * delta_state_rows(plan);
}

int delta_ring_offset(const DeltaPlan& plan, int slot, std::int64_t token) {
  return slot * plan.ring() + static_cast<int>((token + plan.ring()) % plan.ring());
}

Rows delta_state_row(const DeltaLayerRows& layer, int pack, int i) {
  Rows rows = layer.state[index_of(pack)][index_of(i % delta_state_groups)];
  for (Place& place : rows) place.row += i / delta_state_groups;
  return rows;
}

Rows delta_next_state_row(const DeltaPlan& plan, const DeltaLayerRows& layer, int pack, int i) {
  Rows rows = delta_state_row(layer, pack, i);
  for (Place& place : rows) {
    if (plan.states == 1) continue;
    place.reg = host_register::delta_next_state;
    place.alone = true;
  }
  return rows;
}

std::vector<Rows> delta_request_rows(const DeltaPlan& plan, const DeltaLayerRows& layer, int slot) {
  std::vector<Rows> all;
  const auto add = [&all](Rows rows, int further) {
    for (Place& place : rows) place.row += further;
    all.push_back(std::move(rows));
  };
  for (std::size_t pack = 0; pack < layer.state.size(); ++pack) {
    for (int i = 0; i < plan.key_dim(); ++i) {
      for (int state = 0; state < plan.states; ++state) {
        add(delta_state_row(layer, static_cast<int>(pack), i),
            delta_state_offset(plan, slot, state));
      }
    }
  }
  for (const auto* channels : {&layer.queries, &layer.keys, &layer.values}) {
    for (const DeltaChannels& c : *channels) {
      for (int row = 0; row < plan.ring(); ++row) add(c.ring, delta_ring_offset(plan, slot, row));
    }
  }
  return all;
}

std::vector<std::uint16_t> delta_registers(const DeltaPlan& plan, int slot, std::int64_t position) {
  std::vector<std::uint16_t> values;
  const auto add = [&values](int row) { values.push_back(static_cast<std::uint16_t>(row)); };
  add(delta_state_offset(plan, slot, position));
  for (int ago = 0; ago < delta_taps_limit; ++ago) {
    add(ago < plan.taps() ? delta_ring_offset(plan, slot, position - ago) : 0);
  }
  add(delta_state_offset(plan, slot, position + 1));
  return values;
}

std::vector<std::uint16_t> delta_register_limits(const DeltaPlan& plan, int slots) {
  const auto state =
      static_cast<std::uint16_t>(delta_state_offset(plan, slots, 0) - delta_state_rows(plan));
  std::vector<std::uint16_t> limits(delta_taps_limit + 2, 0);
  std::fill_n(limits.begin() + 1, plan.taps(), static_cast<std::uint16_t>(slots * plan.ring() - 1));
  limits.front() = limits.back() = state;
  return limits;
}

DeltaChannelMaps delta_channel_maps(const DeltaPlan& plan) {
  DeltaChannelMaps maps;
  const auto add = [](std::vector<std::int64_t>& to, const std::vector<std::int64_t>& channels,
                      std::int64_t first) {
    for (const std::int64_t c : channels) to.push_back(c < 0 ? c : first + c);
  };
  const std::int64_t keys = plan.shape.key_heads * plan.shape.key_dim;
  for (const std::int64_t first : {keys, std::int64_t{0}}) {
    for (int v = 0; v < plan.key_vectors; ++v) add(maps.qkv, plan.key_channels(v), first);
  }
  for (int p = 0; p < static_cast<int>(plan.packs.size()); ++p) {
    add(maps.qkv, plan.value_channels(p), 2 * keys);
    add(maps.values, plan.value_channels(p), 0);
  }
  for (int g = 0; g < plan.gate_vectors; ++g) {
    std::vector<std::int64_t> both = plan.gate_channels(g, false);
    const std::vector<std::int64_t> b = plan.gate_channels(g, true);
    for (std::size_t lane = 0; lane < both.size(); ++lane) {
      if (b[lane] >= 0) both[lane] = plan.shape.value_heads + b[lane];
    }
    add(maps.gates, both, 0);
  }
  return maps;
}

void write_delta_layer(const Geometry& geometry, const DeltaPlan& plan, const DeltaLayerRows& layer,
                       const DeltaConstants& constants, const RowWriter& write) {
  DeltaConstantWriter(geometry, plan, constants, write).write(layer);
}

void write_delta_buffers(const Geometry& geometry, const DeltaPlan& plan,
                         const DeltaBuffers& buffers, const RowWriter& write) {
  for (std::size_t pattern = 0; pattern < plan.patterns.size(); ++pattern) {
    write_tile(geometry, buffers.key_sums[pattern], plan.key_sums(static_cast<int>(pattern)),
               write);
  }
  write_tile(geometry, buffers.value_sums, plan.value_sums(), write);
}

}  // namespace tandem::lpu
