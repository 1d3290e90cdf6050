// How the operands of a matrix product are stored, and which tensor pipe multiplies them.
#pragma once

#include <cstdint>

#include "sim/core/units.hpp"
#include "sim/lower/kernel_shapes.hpp"
#include "sim/numerics/element.hpp"

namespace tandem {

/// Tensor pipes of a chip by the width and kind of the operands they take.
enum class MatrixPipe : std::uint8_t { Float32, Float16, Bfloat16, Fp8, Int8, Fp4 };

[[nodiscard]] const char* name_of(MatrixPipe pipe);
/// The pipe for operands of one element type. Throws ModelError for Int32.
[[nodiscard]] MatrixPipe pipe_of(ElementType type);

/// Storage of C[m,n] = A[m,k] B[n,k]^T. Bits count the elements alone; scales come on top.
struct ProductFormat {
  MatrixPipe pipe = MatrixPipe::Bfloat16;
  std::int64_t a_bits = 16, b_bits = 16;
  std::int64_t a_scale_bytes = 0, b_scale_bytes = 0;  ///< of one scale; 0: none that matter
  std::int64_t a_scale_k = 0, b_scale_k = 0;  ///< elements along k that share a scale; 0: all
  std::int64_t b_scale_n = 1;                 ///< rows of B that share a scale
  ElementType out = ElementType::Bfloat16;
  /// Bytes of `rows` rows of A (B: of n) over `k` elements, each row padded to whole bytes.
  [[nodiscard]] std::int64_t a_bytes(std::int64_t rows, std::int64_t k) const;
  [[nodiscard]] std::int64_t b_bytes(std::int64_t rows, std::int64_t k) const;
  [[nodiscard]] std::int64_t out_bytes(std::int64_t elements) const {
    return elements * bytes_of(out);
  }
};

/// With a precision: A and B as that precision stores them, C in `activations`. Weights that are
/// narrower than their inputs are widened on the way (weight-only precisions), so the wider operand
/// names the pipe.
[[nodiscard]] ProductFormat product_format(ElementType weights, ElementType activations,
                                           const formats::Precision* precision);
[[nodiscard]] inline ProductFormat product_format(const GemmKernel& gemm) {
  return product_format(gemm.weights, gemm.activations, gemm.precision);
}
[[nodiscard]] inline ProductFormat product_format(const BatchedGemmKernel& gemm) {
  return product_format(gemm.weights, gemm.activations, gemm.precision);
}
[[nodiscard]] inline ProductFormat product_format(const GroupedGemmKernel& gemm) {
  return product_format(gemm.weights, gemm.activations, gemm.precision);
}

}  // namespace tandem
