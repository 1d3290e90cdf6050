// Rows of a tensor on the chip, each with the time from which it may be read. Reading a row that no
// kernel has written, or before its producer is done, is an error of the schedule.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sim/core/units.hpp"

namespace tandem::gpu {

/// [rows, width] floats (already rounded to the tensor's type) with a ready time and a version per
/// row. Version 0: never written.
class TrackedRows {
 public:
  TrackedRows() = default;
  TrackedRows(std::string name, std::int64_t rows, std::int64_t width);
  /// Appends `count` unwritten rows.
  void grow(std::int64_t count);
  /// Keeps the first `rows` rows.
  void shrink(std::int64_t rows);
  /// Row `to` becomes what row `from` is.
  void copy(std::int64_t from, std::int64_t to);
  /// The row as seen by a kernel that starts at `now`. Throws ModelError when it is not ready.
  [[nodiscard]] std::span<const float> read(std::int64_t row, Picoseconds now) const;
  /// The row for a kernel that is done at `ready`; raises its version.
  [[nodiscard]] std::span<float> write(std::int64_t row, Picoseconds ready);
  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(ready_.size()); }
  [[nodiscard]] std::int64_t width() const { return width_; }
  [[nodiscard]] std::uint32_t version(std::int64_t row) const {
    return version_[static_cast<std::size_t>(row)];
  }
  /// Makes all rows ready at time zero: a pass begins when the last one has ended.
  void settle();

 private:
  std::string name_;
  std::int64_t width_ = 0;
  std::vector<float> values_;
  std::vector<Picoseconds> ready_;
  std::vector<std::uint32_t> version_;
};

}  // namespace tandem::gpu
