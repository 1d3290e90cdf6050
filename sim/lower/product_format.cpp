#include "sim/lower/product_format.hpp"

#include <string>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/numerics/formats/quant_format.hpp"

namespace tandem {
namespace {

std::int64_t operand_bytes(std::int64_t rows, std::int64_t k, std::int64_t bits) {
  return rows * ceil_div(k * bits, 8);
}

MatrixPipe pipe_of(formats::CodeType code) {
  switch (code) {
    case formats::CodeType::Fp8E4m3:
    case formats::CodeType::Fp8E5m2:
      return MatrixPipe::Fp8;
    case formats::CodeType::E2m1:
      return MatrixPipe::Fp4;
    default:
      return MatrixPipe::Int8;
  }
}

}  // namespace

const char* name_of(MatrixPipe pipe) {
  switch (pipe) {
    case MatrixPipe::Float32:
      return "float32";
    case MatrixPipe::Float16:
      return "float16";
    case MatrixPipe::Bfloat16:
      return "bfloat16";
    case MatrixPipe::Fp8:
      return "fp8";
    case MatrixPipe::Int8:
      return "int8";
    case MatrixPipe::Fp4:
      return "fp4";
  }
  return "";
}

MatrixPipe pipe_of(ElementType type) {
  switch (type) {
    case ElementType::Float32:
      return MatrixPipe::Float32;
    case ElementType::Float16:
      return MatrixPipe::Float16;
    case ElementType::Bfloat16:
      return MatrixPipe::Bfloat16;
    case ElementType::Fp8E4m3:
    case ElementType::Fp8E5m2:
      return MatrixPipe::Fp8;
    case ElementType::Int8:
      return MatrixPipe::Int8;
    case ElementType::Int32:
      break;
  }
  throw ModelError("no matrix unit multiplies " + std::string(name_of(type)));
}

std::int64_t ProductFormat::a_bytes(std::int64_t rows, std::int64_t k) const {
  const std::int64_t scales =
      a_scale_bytes == 0 ? 0 : rows * (a_scale_k > 0 ? ceil_div(k, a_scale_k) : 1) * a_scale_bytes;
  return operand_bytes(rows, k, a_bits) + scales;
}

std::int64_t ProductFormat::b_bytes(std::int64_t rows, std::int64_t k) const {
  const std::int64_t scales =
      b_scale_bytes == 0 ? 0
                         : ceil_div(rows, b_scale_n) *
                               (b_scale_k > 0 ? ceil_div(k, b_scale_k) : 1) * b_scale_bytes;
  return operand_bytes(rows, k, b_bits) + scales;
}

ProductFormat product_format(ElementType weights, ElementType activations,
                             const formats::Precision* precision) {
  ProductFormat format;
  format.out = activations;
  if (precision == nullptr) {
    format.pipe = pipe_of(bytes_of(weights) > bytes_of(activations) ? weights : activations);
    format.a_bits = 8 * bytes_of(activations);
    format.b_bits = 8 * bytes_of(weights);
    return format;
  }
  format.pipe = pipe_of(activations);
  format.a_bits = format.b_bits = 8 * bytes_of(activations);
  if (const auto& weight = precision->weight) {
    format.b_bits = bits_of(weight->code);
    format.b_scale_bytes = bytes_of(weight->scale) * (weight->has_zero_point() ? 2 : 1);
    format.b_scale_k = weight->granularity.cols;
    format.b_scale_n = weight->granularity.rows;
    if (weight->granularity == formats::per_tensor) format.b_scale_bytes = 0;
  }
  if (const auto& activation = precision->activation) {
    const formats::CodeType wider =
        precision->weight && bits_of(precision->weight->code) > bits_of(activation->code)
            ? precision->weight->code
            : activation->code;
    format.pipe = pipe_of(wider);
    format.a_bits = bits_of(activation->code);
    format.a_scale_bytes = bytes_of(activation->scale);
    format.a_scale_k = activation->granularity.cols;
    if (activation->granularity == formats::per_tensor) format.a_scale_bytes = 0;
  }
  return format;
}

}  // namespace tandem
