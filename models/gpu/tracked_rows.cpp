#include "models/gpu/tracked_rows.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {

TrackedRows::TrackedRows(std::string name, std::int64_t rows, std::int64_t width)
    : name_(std::move(name)), width_(width) {
  grow(rows);
}

void TrackedRows::grow(std::int64_t count) {
  const auto rows = static_cast<std::size_t>(this->rows() + count);
  values_.resize(rows * static_cast<std::size_t>(width_));
  ready_.resize(rows);
  version_.resize(rows);
}

void TrackedRows::shrink(std::int64_t rows) {
  grow(rows - this->rows());
}

void TrackedRows::copy(std::int64_t from, std::int64_t to) {
  const auto source = static_cast<std::size_t>(from);
  const auto target = static_cast<std::size_t>(to);
  std::copy_n(values_.begin() + from * width_, width_, values_.begin() + to * width_);
  ready_[target] = ready_[source];
  version_[target] = version_[source];
}

std::span<const float> TrackedRows::read(std::int64_t row, Picoseconds now) const {
  const auto index = static_cast<std::size_t>(row);
  if (row < 0 || row >= rows() || version_[index] == 0) {
    throw ModelError(fmt::format("gpu: row {} of '{}' is read but never written", row, name_));
  }
  if (ready_[index] > now) {
    throw ModelError(fmt::format("gpu: row {} of '{}' is read at {} ps but ready at {} ps", row,
                                 name_, now.count(), ready_[index].count()));
  }
  const auto width = static_cast<std::size_t>(width_);
  return {values_.data() + index * width, width};
}

std::span<float> TrackedRows::write(std::int64_t row, Picoseconds ready) {
  const auto index = static_cast<std::size_t>(row);
  ready_[index] = ready;
  ++version_[index];
  const auto width = static_cast<std::size_t>(width_);
  return {values_.data() + index * width, width};
}

void TrackedRows::settle() {
  std::fill(ready_.begin(), ready_.end(), Picoseconds(0));
}

}  // namespace tandem::gpu
