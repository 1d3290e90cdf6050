#include "models/lpu/machine_streams.hpp"

#include <bit>
#include <iterator>

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
      // Diagonals alive at once: every position now, and every position up to the horizon.
      slots_(static_cast<std::int64_t>(
          std::bit_ceil(static_cast<std::uint64_t>(2 * edge_ + 1 + horizon + 1)))),
      streams_(geometry.total_streams_per_direction()),
      functional_(functional),
      superlanes_(geometry.superlanes),
      diagonals_(static_cast<std::size_t>(2 * streams_ * slots_)),
      pool_(static_cast<std::size_t>(geometry.vector_bytes())) {}

void StreamRegisters::clear() {
  for (Diagonal& diagonal : diagonals_) {
    if (functional_) {
      for (const Entry& entry : diagonal.entries) pool_.give_back(entry.value);
    }
    diagonal.entries.clear();
    diagonal.key = INT64_MIN;
  }
  hops_ = 0;
}

StreamRegisters::Diagonal& StreamRegisters::diagonal(StreamRef stream, std::int64_t key) {
  const std::int64_t lane = stream.id + (stream.direction == Direction::East ? 0 : streams_);
  return diagonals_[static_cast<std::size_t>(lane * slots_ + (key & (slots_ - 1)))];
}

bool StreamRegisters::produce(StreamRef stream, int position, std::int64_t cycle,
                              std::uint8_t*& bytes) {
  const int travelled = stream.direction == Direction::East ? position : -position;
  const std::int64_t key = cycle - travelled;
  Diagonal& line = diagonal(stream, key);
  if (line.key != key) {
    if (functional_) {
      for (const Entry& entry : line.entries) pool_.give_back(entry.value);
    }
    line.entries.clear();
    line.key = key;
  }
  auto after = line.entries.begin();
  while (after != line.entries.end() && after->travelled < travelled) ++after;
  if (after != line.entries.end() && after->travelled == travelled) return false;
  const int end = after == line.entries.end() ? edge_ : after->travelled;
  hops_ += std::int64_t{end - travelled} * superlanes_;
  if (after != line.entries.begin()) {  // the one upstream stops here
    hops_ -= std::int64_t{end - travelled} * std::prev(after)->superlanes;
  }
  const std::uint32_t value = functional_ ? pool_.take() : 0;
  line.entries.insert(
      after, {static_cast<std::int16_t>(travelled), static_cast<std::int16_t>(superlanes_), value});
  bytes = functional_ ? pool_.at(value) : nullptr;
  return true;
}

bool StreamRegisters::consume(StreamRef stream, int position, std::int64_t cycle,
                              const std::uint8_t*& bytes) {
  const int travelled = stream.direction == Direction::East ? position : -position;
  const std::int64_t key = cycle - travelled;
  const Diagonal& line = diagonal(stream, key);
  if (line.key != key) return false;
  const Entry* found = nullptr;
  for (const Entry& entry : line.entries) {
    if (entry.travelled > travelled) break;
    found = &entry;
  }
  if (found == nullptr) return false;
  bytes = functional_ ? pool_.at(found->value) : nullptr;
  return true;
}

}  // namespace tandem::lpu
