#include "models/lpu/compiler/delta_plan.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "models/lpu/compiler/pieces.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

constexpr std::uint16_t no_lane = 0xffff;

}  // namespace

DeltaPlan::DeltaPlan(const ops::GatedDeltaShape& wanted, int width, std::int64_t revocable)
    : shape(wanted), lanes(width), states(1 + static_cast<int>(revocable)) {
  ops::check_gated_delta(shape);
  if (shape.key_dim > lanes || shape.value_dim > lanes) {
    throw ModelError(fmt::format(
        "lpu.compiler: gated delta heads of {} and {} channels do not fit a vector of {}",
        shape.key_dim, shape.value_dim, lanes));
  }
  keys_per_vector =
      static_cast<int>(std::min<std::int64_t>(shape.key_heads, lanes / shape.key_dim));
  key_vectors = pieces_of(shape.key_heads, keys_per_vector);
  gate_heads = static_cast<int>(std::min<std::int64_t>(shape.value_heads, lanes / 2));
  make_packs();
}

// A pack ends where its key vector does, and where a vector of gates is full.
void DeltaPlan::make_packs() {
  const int per_key_vector = keys_per_vector * heads_per_key();
  const int most = std::min(lanes / value_dim(), gate_heads);
  int head = 0;
  while (head < shape.value_heads) {
    const int end =
        std::min((head / per_key_vector + 1) * per_key_vector, static_cast<int>(shape.value_heads));
    const int heads = std::min(most, end - head);
    add_pack(head, heads);
    head += heads;
  }
  std::vector<int> order(views.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  std::stable_sort(order.begin(), order.end(), [this](int a, int b) {
    return views[index_of(a)].pattern < views[index_of(b)].pattern;
  });
  std::vector<DeltaView> sorted;
  for (const int old : order) sorted.push_back(views[index_of(old)]);
  for (DeltaPack& pack : packs) {
    pack.view = static_cast<int>(std::find(order.begin(), order.end(), pack.view) - order.begin());
  }
  views = std::move(sorted);
}

void DeltaPlan::add_pack(int first_head, int heads) {
  DeltaPack pack;
  pack.first_head = first_head;
  pack.heads = heads;
  if (!packs.empty()) {
    pack.gate_vector = packs.back().gate_vector;
    pack.gate_lane = packs.back().gate_lane + packs.back().heads;
    if (pack.gate_lane + heads > gate_heads) {
      ++pack.gate_vector;
      pack.gate_lane = 0;
    }
  }
  gate_vectors = pack.gate_vector + 1;
  const int key_vector = first_head / heads_per_key() / keys_per_vector;
  std::vector<int> pattern;
  for (int p = 0; p < heads; ++p) {
    pattern.push_back((first_head + p) / heads_per_key() - key_vector * keys_per_vector);
  }
  auto known = std::find(patterns.begin(), patterns.end(), pattern);
  if (known == patterns.end()) known = patterns.insert(patterns.end(), pattern);
  const int index = static_cast<int>(known - patterns.begin());
  const auto same = [&](const DeltaView& view) {
    return view.key_vector == key_vector && view.pattern == index;
  };
  auto view = std::find_if(views.begin(), views.end(), same);
  if (view == views.end()) view = views.insert(views.end(), DeltaView{key_vector, index});
  pack.view = static_cast<int>(view - views.begin());
  packs.push_back(pack);
}

int DeltaPlan::value_lanes() const {
  int heads = 0;
  for (const DeltaPack& pack : packs) heads = std::max(heads, pack.heads);
  return heads * value_dim();
}

std::vector<std::int64_t> DeltaPlan::key_channels(int key_vector) const {
  std::vector<std::int64_t> channels(index_of(lanes), -1);
  const std::int64_t first = std::int64_t{key_vector} * key_lanes();
  const std::int64_t all = shape.key_heads * shape.key_dim;
  for (int lane = 0; lane < key_lanes() && first + lane < all; ++lane) {
    channels[index_of(lane)] = first + lane;
  }
  return channels;
}

std::vector<std::int64_t> DeltaPlan::value_channels(int pack) const {
  std::vector<std::int64_t> channels(index_of(lanes), -1);
  const DeltaPack& p = packs[index_of(pack)];
  for (int lane = 0; lane < p.heads * value_dim(); ++lane) {
    channels[index_of(lane)] = std::int64_t{p.first_head} * value_dim() + lane;
  }
  return channels;
}

std::vector<std::int64_t> DeltaPlan::gate_channels(int gate_vector, bool is_b) const {
  std::vector<std::int64_t> channels(index_of(lanes), -1);
  for (const DeltaPack& pack : packs) {
    if (pack.gate_vector != gate_vector) continue;
    for (int p = 0; p < pack.heads; ++p) {
      channels[index_of(pack.gate_lane + p + (is_b ? gate_heads : 0))] = pack.first_head + p;
    }
  }
  return channels;
}

std::vector<std::uint16_t> DeltaPlan::spread_map(int pattern, int i) const {
  std::vector<std::uint16_t> map(index_of(lanes), no_lane);
  const std::vector<int>& slots = patterns[index_of(pattern)];
  for (std::size_t p = 0; p < slots.size(); ++p) {
    const int source = slots[p] * key_dim() + i;
    std::fill_n(map.begin() + static_cast<std::ptrdiff_t>(p) * value_dim(), value_dim(),
                static_cast<std::uint16_t>(source));
  }
  return map;
}

std::vector<std::uint16_t> DeltaPlan::gate_map(int pack, bool is_b) const {
  std::vector<std::uint16_t> map(index_of(lanes), no_lane);
  const DeltaPack& p = packs[index_of(pack)];
  for (int head = 0; head < p.heads; ++head) {
    const int source = p.gate_lane + head + (is_b ? gate_heads : 0);
    std::fill_n(map.begin() + std::ptrdiff_t{head} * value_dim(), value_dim(),
                static_cast<std::uint16_t>(source));
  }
  return map;
}

std::vector<float> DeltaPlan::key_sums(int pattern) const {
  std::vector<float> ones(index_of(std::int64_t{lanes} * lanes), 0.0F);
  const std::vector<int>& slots = patterns[index_of(pattern)];
  for (std::size_t column = 0; column < slots.size() * index_of(value_dim()); ++column) {
    const int slot = slots[column / index_of(value_dim())];
    const std::size_t first = column * index_of(lanes) + index_of(slot * key_dim());
    std::fill_n(ones.begin() + static_cast<std::ptrdiff_t>(first), key_dim(), 1.0F);
  }
  return ones;
}

std::vector<float> DeltaPlan::value_sums() const {
  std::vector<float> ones(index_of(std::int64_t{lanes} * lanes), 0.0F);
  for (int column = 0; column < value_lanes(); ++column) {
    const int first = column * lanes + column / value_dim() * value_dim();
    std::fill_n(ones.begin() + first, value_dim(), 1.0F);
  }
  return ones;
}

}  // namespace tandem::lpu
