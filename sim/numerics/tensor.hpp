// A dense row-major tensor that owns its bytes in a stated element type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/numerics/element.hpp"

namespace tandem {

/// Row-major, contiguous. Elements are read and written as float and stored as `type()`.
class Tensor {
 public:
  Tensor() = default;
  Tensor(ElementType type, std::vector<std::int64_t> shape);  ///< zero filled
  [[nodiscard]] ElementType type() const { return type_; }
  [[nodiscard]] const std::vector<std::int64_t>& shape() const { return shape_; }
  [[nodiscard]] std::int64_t dim(std::size_t axis) const { return shape_[axis]; }
  [[nodiscard]] std::int64_t elements() const;
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] std::span<std::byte> bytes() { return bytes_; }
  [[nodiscard]] float load(std::int64_t index) const;
  void store(std::int64_t index, float value);
  /// The elements in place; only for Float32.
  [[nodiscard]] std::span<const float> floats() const;
  [[nodiscard]] std::span<float> floats();
  /// The same values stored as another type, each rounded once.
  [[nodiscard]] Tensor converted(ElementType type) const;
  bool operator==(const Tensor&) const = default;

 private:
  ElementType type_ = ElementType::Float32;
  std::vector<std::int64_t> shape_;
  std::vector<std::byte> bytes_;
};

}  // namespace tandem
