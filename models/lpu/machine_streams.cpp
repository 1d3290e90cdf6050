#include "models/lpu/machine_streams.hpp"

#include <bit>

namespace tandem::lpu {

std::uint32_t VectorPool::take() {
  if (!free_.empty()) {
    const std::uint32_t index = free_.back();
    free_.pop_back();
    return index;
  }
  if (size_ % chunk_vectors == 0) {
    chunks_.push_back(std::make_unique<std::uint8_t[]>(chunk_vectors * vector_bytes_));
  }
  return size_++;
}

StreamRegisters::StreamRegisters(const Geometry& geometry, int horizon, bool functional)
    : edge_(geometry.mxm_position(Hemisphere::East)),
      streams_(geometry.total_streams_per_direction()),
      functional_(functional),
      superlanes_(static_cast<std::uint8_t>(geometry.superlanes)),
      pool_(static_cast<std::size_t>(geometry.vector_bytes())) {
  // Diagonals alive at once: every position now, and every position up to the horizon.
  constexpr std::int64_t least_lookahead = 32;
  const std::int64_t alive = 2 * edge_ + 1 + horizon + 1;
  slots_ =
      static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(alive + least_lookahead)));
  lookahead_ = slots_ - alive;
  constexpr std::size_t padding = 4;
  stride_ = static_cast<std::size_t>(slots_) + padding;
  diagonals_.resize(static_cast<std::size_t>(2 * streams_) * stride_, {INT64_MIN, {}});
  rest_.resize(diagonals_.size());
}

void StreamRegisters::empty(std::size_t place) {
  Diagonal& line = diagonals_[place];
  if (line.key == INT64_MIN) return;
  pool_.give_back(line.first.value);
  if (line.first.followed) {
    for (const Entry& entry : rest_[place]) pool_.give_back(entry.value);
  }
  line.key = INT64_MIN;
}

void StreamRegisters::clear() {
  for (std::size_t place = 0; place < diagonals_.size(); ++place) {
    if (functional_) empty(place);
    diagonals_[place].key = INT64_MIN;
  }
  hops_ = 0;
}

std::int64_t StreamRegisters::produce_run(StreamRef stream, int position, std::int64_t cycle,
                                          std::int64_t count, std::int64_t interval) {
  const int travelled = stream.direction == Direction::East ? position : -position;
  const std::size_t base = place(stream, 0);
  const Entry entry{static_cast<std::int16_t>(travelled), superlanes_, false, 0};
  const std::int64_t hops = std::int64_t{edge_ - travelled} * superlanes_;
  std::int64_t key = cycle - travelled;
  for (std::int64_t i = 0; i < count; ++i, key += interval) {
    const std::size_t at = base + static_cast<std::size_t>(key & (slots_ - 1));
    Diagonal& line = diagonals_[at];
    if (line.key == key) {
      if (!insert(at, entry)) return i;
      continue;
    }
    line = {key, entry};
    hops_ += hops;
  }
  return count;
}

int StreamRegisters::held(StreamRef first, int count, int position, std::int64_t cycle) const {
  const int travelled = first.direction == Direction::East ? position : -position;
  const std::int64_t key = cycle - travelled;
  std::size_t at = place(first, key);
  for (int i = 0; i < count; ++i, at += stride_) {
    const Diagonal& line = diagonals_[at];
    if (line.key != key || line.first.travelled > travelled) return i;
  }
  return count;
}

// A further vector on a diagonal that carries one already.
bool StreamRegisters::insert(std::size_t place, Entry entry) {
  Entry& first = diagonals_[place].first;
  std::vector<Entry>& rest = rest_[place];
  if (!first.followed) rest.clear();
  if (entry.travelled < first.travelled) {
    hops_ += std::int64_t{first.travelled - entry.travelled} * entry.superlanes;
    rest.insert(rest.begin(), first);
    first = entry;
    first.followed = true;
    return true;
  }
  std::size_t after = 0;
  while (after < rest.size() && rest[after].travelled <= entry.travelled) ++after;
  const Entry& upstream = after == 0 ? first : rest[after - 1];
  if (upstream.travelled == entry.travelled) return false;
  const int end = after == rest.size() ? edge_ : rest[after].travelled;
  // The vector upstream stops where this one begins.
  hops_ += std::int64_t{end - entry.travelled} * (entry.superlanes - upstream.superlanes);
  rest.insert(rest.begin() + static_cast<std::ptrdiff_t>(after), entry);
  first.followed = true;
  return true;
}

}  // namespace tandem::lpu
