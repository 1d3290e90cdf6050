#include "models/gpu/l2_cache.hpp"

#include <algorithm>

namespace tandem::gpu {

L2Cache::L2Cache(Bytes capacity, std::int64_t tiles)
    : capacity_(capacity), entries_(static_cast<std::size_t>(tiles)) {}

void L2Cache::unlink(std::int32_t tile) {
  Entry& entry = at(tile);
  (entry.newer >= 0 ? at(entry.newer).older : newest_) = entry.older;
  (entry.older >= 0 ? at(entry.older).newer : oldest_) = entry.newer;
  entry.is_listed = false;
}

void L2Cache::link_newest(std::int32_t tile) {
  Entry& entry = at(tile);
  entry.newer = -1;
  entry.older = newest_;
  (newest_ >= 0 ? at(newest_).newer : oldest_) = tile;
  newest_ = tile;
  entry.is_listed = true;
}

L2Cache::Look L2Cache::find(std::int64_t tile, Bytes bytes, double resident) {
  const auto index = static_cast<std::int32_t>(tile);
  Entry& entry = at(index);
  const Bytes here(static_cast<std::int64_t>(static_cast<double>(bytes.count()) * resident));
  if (!entry.was_touched) {
    entry.was_touched = true;
    if (here.count() > 0) insert(tile, here, Picoseconds(0));
  } else if (entry.is_listed && entry.bytes < here.count()) {
    insert(tile, here, entry.ready);
  }
  if (entry.is_listed && newest_ != index) {
    unlink(index);
    link_newest(index);
  }
  const std::int64_t present = entry.is_listed ? entry.bytes : 0;
  return {Bytes(std::max<std::int64_t>(0, bytes.count() - present)),
          entry.is_listed ? entry.ready : Picoseconds(0)};
}

void L2Cache::insert(std::int64_t tile, Bytes bytes, Picoseconds ready, bool dirty) {
  const auto index = static_cast<std::int32_t>(tile);
  if (bytes > capacity_) {
    if (dirty) written_back_ += bytes;
    return;
  }
  Entry& entry = at(index);
  entry.was_touched = true;
  entry.is_dirty = dirty || (entry.is_listed && entry.is_dirty);
  if (entry.is_listed) {
    used_ -= Bytes(entry.bytes);
    unlink(index);
  }
  while (used_ + bytes > capacity_) {
    const Entry& leaving = at(oldest_);
    used_ -= Bytes(leaving.bytes);
    if (leaving.is_dirty) written_back_ += Bytes(leaving.bytes);
    unlink(oldest_);
  }
  entry.bytes = bytes.count();
  entry.ready = ready;
  used_ += bytes;
  link_newest(index);
}

Bytes L2Cache::take_written_back() {
  const Bytes bytes = written_back_;
  written_back_ = Bytes(0);
  return bytes;
}

}  // namespace tandem::gpu
