// The stream registers of the whole chip. A vector on a stream keeps one number constant while it
// travels, cycle - position (eastward) or cycle + position (westward): its diagonal. Cells are
// therefore stored by diagonal, and a vector that moves costs nothing until somebody reads it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "models/lpu/geometry.hpp"
#include "models/lpu/isa.hpp"

namespace tandem::lpu {

/// Fixed-size blocks with stable addresses, taken and given back in any order.
class VectorPool {
 public:
  explicit VectorPool(std::size_t vector_bytes) : vector_bytes_(vector_bytes) {}
  [[nodiscard]] std::uint32_t take();
  void give_back(std::uint32_t index) { free_.push_back(index); }
  [[nodiscard]] std::uint8_t* at(std::uint32_t index) const {
    return chunks_[index / chunk_vectors].get() + (index % chunk_vectors) * vector_bytes_;
  }

 private:
  static constexpr std::uint32_t chunk_vectors = 256;
  std::size_t vector_bytes_;
  std::uint32_t size_ = 0;
  std::vector<std::unique_ptr<std::uint8_t[]>> chunks_;
  std::vector<std::uint32_t> free_;
};

/// All stream cells of a chip.
///
/// Contract: cycles of calls never go back by more than they came forward: a call at cycle c means
/// that no later call is for a cycle before c minus the largest latency given at construction minus
/// lookahead().
class StreamRegisters {
 public:
  /// `horizon`: largest number of cycles between an issue and the cell that it fills.
  StreamRegisters(const Geometry& geometry, int horizon, bool functional);
  void clear();
  /// Cycles by which an issue that only produces may be executed before its time.
  [[nodiscard]] std::int64_t lookahead() const { return lookahead_; }

  /// Puts a vector into the cell (stream, position) at `cycle`; it overwrites what passes there.
  /// Returns false where another producer writes the same cell in the same cycle. In functional
  /// runs `bytes` is then the place for the vector's bytes, else null.
  [[nodiscard]] bool produce(StreamRef stream, int position, std::int64_t cycle,
                             std::uint8_t*& bytes);
  /// Whether the cell holds a vector; in functional runs `bytes` is that vector.
  [[nodiscard]] bool consume(StreamRef stream, int position, std::int64_t cycle,
                             const std::uint8_t*& bytes) const;
  /// Timed runs: `count` vectors into the same cell, `interval` cycles apart. Returns how many
  /// before the first that another producer is in the way of.
  [[nodiscard]] std::int64_t produce_run(StreamRef stream, int position, std::int64_t cycle,
                                         std::int64_t count, std::int64_t interval);
  /// Timed runs: how many of `count` streams from `first` on hold a vector, up to the first that
  /// does not.
  [[nodiscard]] int held(StreamRef first, int count, int position, std::int64_t cycle) const;
  /// Moves of vectors from cell to cell so far, times the superlanes that move; each vector counted
  /// to the edge of the chip or to where another overwrites it.
  [[nodiscard]] std::int64_t superlane_hops() const { return hops_; }
  /// Superlanes that vectors produced from now on have.
  void set_superlanes(int superlanes) { superlanes_ = static_cast<std::uint8_t>(superlanes); }

 private:
  /// Vectors that follow each other on one diagonal, in order of travel: where the next one was
  /// produced, the one before it ended. Mostly there is one; the others are in `rest_`.
  struct Entry {
    std::int16_t travelled;  // position along the direction of travel
    std::uint8_t superlanes;
    bool followed;  // of the first entry: whether `rest_` holds more of its diagonal
    std::uint32_t value;
  };
  struct Diagonal {
    std::int64_t key;
    Entry first;
  };
  [[nodiscard]] std::size_t place(StreamRef stream, std::int64_t key) const {
    const int lane = stream.id + (stream.direction == Direction::East ? 0 : streams_);
    return static_cast<std::size_t>(lane) * stride_ + static_cast<std::size_t>(key & (slots_ - 1));
  }
  [[nodiscard]] bool insert(std::size_t place, Entry entry);
  void empty(std::size_t place);

  int edge_;
  std::int64_t slots_;
  std::int64_t lookahead_;
  std::size_t stride_;  // slots and a few, so that streams do not share cache sets
  int streams_;
  bool functional_;
  std::uint8_t superlanes_;
  std::int64_t hops_ = 0;
  std::vector<Diagonal> diagonals_;
  std::vector<std::vector<Entry>> rest_;  // beside each diagonal
  VectorPool pool_;
};

inline bool StreamRegisters::produce(StreamRef stream, int position, std::int64_t cycle,
                                     std::uint8_t*& bytes) {
  const int travelled = stream.direction == Direction::East ? position : -position;
  const std::int64_t key = cycle - travelled;
  const std::size_t at = place(stream, key);
  Diagonal& line = diagonals_[at];
  Entry entry{static_cast<std::int16_t>(travelled), superlanes_, false, 0};
  if (functional_) {
    entry.value = pool_.take();
    bytes = pool_.at(entry.value);
  }
  if (line.key == key) return insert(at, entry);
  if (functional_) empty(at);
  line = {key, entry};
  hops_ += std::int64_t{edge_ - travelled} * superlanes_;
  return true;
}

inline bool StreamRegisters::consume(StreamRef stream, int position, std::int64_t cycle,
                                     const std::uint8_t*& bytes) const {
  const int travelled = stream.direction == Direction::East ? position : -position;
  const std::int64_t key = cycle - travelled;
  const std::size_t at = place(stream, key);
  const Diagonal& line = diagonals_[at];
  if (line.key != key || line.first.travelled > travelled) return false;
  if (!functional_) return true;
  std::uint32_t value = line.first.value;
  if (line.first.followed) {
    for (const Entry& entry : rest_[at]) {
      if (entry.travelled <= travelled) value = entry.value;
    }
  }
  bytes = pool_.at(value);
  return true;
}

}  // namespace tandem::lpu
