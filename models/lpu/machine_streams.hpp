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
  [[nodiscard]] std::uint8_t* at(std::uint32_t index) {
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
/// that no later call is for a cycle before c minus the largest latency given at construction.
class StreamRegisters {
 public:
  /// `horizon`: largest number of cycles by which a producer may be announced ahead of time.
  StreamRegisters(const Geometry& geometry, int horizon, bool functional);
  void clear();

  /// Puts a vector into the cell (stream, position) at `cycle`; it overwrites what passes there.
  /// Returns false where another producer writes the same cell in the same cycle. In functional
  /// runs `bytes` is then the place for the vector's bytes, else null.
  [[nodiscard]] bool produce(StreamRef stream, int position, std::int64_t cycle,
                             std::uint8_t*& bytes);
  /// Whether the cell holds a vector; in functional runs `bytes` is that vector.
  [[nodiscard]] bool consume(StreamRef stream, int position, std::int64_t cycle,
                             const std::uint8_t*& bytes);
  /// Moves of vectors from cell to cell so far, times the superlanes that move; each vector counted
  /// to the edge of the chip or to where another overwrites it.
  [[nodiscard]] std::int64_t superlane_hops() const { return hops_; }
  /// Superlanes that vectors produced from now on have.
  void set_superlanes(int superlanes) { superlanes_ = superlanes; }

 private:
  struct Entry {
    std::int16_t travelled;  // position along the direction of travel
    std::int16_t superlanes;
    std::uint32_t value;
  };
  struct Diagonal {
    std::int64_t key = INT64_MIN;
    std::vector<Entry> entries;  // in order of travel
  };
  [[nodiscard]] Diagonal& diagonal(StreamRef stream, std::int64_t key);

  int edge_;
  std::int64_t slots_;
  int streams_;
  bool functional_;
  int superlanes_;
  std::int64_t hops_ = 0;
  std::vector<Diagonal> diagonals_;
  VectorPool pool_;
};

}  // namespace tandem::lpu
