// Counts what an operator does when its loops are walked one step at a time: operations by unit and
// the distinct elements that it touches.
#pragma once

#include <array>
#include <cstdint>
#include <map>

#include "sim/lower/kernel.hpp"

namespace tandem::test {

class Tally {
 public:
  /// A multiply-add of a matrix product.
  void multiply_add() { matrix_ += 2; }
  void vector(std::int64_t operations = 1) { vector_ += operations; }
  void special(std::int64_t operations = 1) { special_ += operations; }

  // One element of a buffer, named by up to three indices.
  void weight(std::int64_t bytes, char buffer, std::int64_t a, std::int64_t b = 0,
              std::int64_t c = 0) {
    weights_[{buffer, a, b, c}] = bytes;
  }
  void read(std::int64_t bytes, char buffer, std::int64_t a, std::int64_t b = 0,
            std::int64_t c = 0) {
    read_[{buffer, a, b, c}] = bytes;
  }
  void write(std::int64_t bytes, char buffer, std::int64_t a, std::int64_t b = 0,
             std::int64_t c = 0) {
    written_[{buffer, a, b, c}] = bytes;
  }

  [[nodiscard]] KernelWork work() const {
    KernelWork work;
    work.matrix = Flops(matrix_);
    work.vector = Flops(vector_);
    work.special = Flops(special_);
    work.weight_bytes = sum(weights_);
    work.read_bytes = sum(read_);
    work.write_bytes = sum(written_);
    return work;
  }

 private:
  using Touched = std::map<std::array<std::int64_t, 4>, std::int64_t>;
  static Bytes sum(const Touched& touched) {
    Bytes total;
    for (const auto& [element, bytes] : touched) total += Bytes(bytes);
    return total;
  }
  std::int64_t matrix_ = 0, vector_ = 0, special_ = 0;
  Touched weights_, read_, written_;
};

}  // namespace tandem::test
