#include "sim/lower/kernel_work.hpp"

#include <algorithm>
#include <numeric>

#include "sim/lower/kv_codec_work.hpp"
#include "sim/lower/product_format.hpp"
#include "sim/numerics/formats/quant_format.hpp"

namespace tandem {
namespace work {

KernelWork of(const EmbeddingKernel& shape, std::int64_t width) {
  KernelWork work;
  const std::int64_t rows = shape.tokens * shape.hidden * width;
  work.read_bytes = Bytes(rows + shape.tokens * index_bytes);
  work.write_bytes = Bytes(rows);
  return work;
}

/// Root mean square, per element: square, add, times 1 / rms, times weight; per row one reciprocal
/// square root. Layer norm: add to the mean, subtract it, square, add, times 1 / deviation, times
/// weight, plus bias. Gate: silu(z) is an add and a multiply, an exponential and a division; one
/// multiply more with the normed value.
KernelWork of(const NormKernel& shape, std::int64_t width) {
  KernelWork work;
  const bool layer = shape.kind == NormKind::Layer;
  const std::int64_t elements = shape.tokens * shape.hidden;
  const std::int64_t weights = shape.weighted ? (layer ? 2 : 1) : 0;
  const std::int64_t per_element =
      (layer ? 5 : 3) + weights + (shape.gated ? 3 : 0) + (shape.adds_residual ? 1 : 0);
  const std::int64_t inputs = 1 + (shape.gated ? 1 : 0) + (shape.adds_residual ? 1 : 0);
  work.vector = Flops(per_element * elements);
  work.special = Flops(shape.tokens + (shape.gated ? 2 * elements : 0));
  work.weight_bytes = Bytes(weights * shape.hidden * width);
  work.read_bytes = Bytes(inputs * elements * width);
  work.write_bytes = Bytes(elements * width);
  return work;
}

KernelWork of(const GemmKernel& shape, std::int64_t) {
  KernelWork work;
  const ProductFormat format = product_format(shape);
  const std::int64_t result = shape.m * shape.n;
  const std::int64_t additions = (shape.adds_residual ? 1 : 0) + (shape.bias ? 1 : 0);
  work.matrix = Flops(2 * result * shape.k);
  work.vector = Flops(additions * result);
  work.weight_bytes =
      Bytes(format.b_bytes(shape.n, shape.k) + (shape.bias ? format.out_bytes(shape.n) : 0));
  work.read_bytes = Bytes(format.a_bytes(shape.m, shape.k) +
                          (shape.adds_residual ? format.out_bytes(result) : 0));
  work.write_bytes = Bytes(format.out_bytes(result));
  return work;
}

KernelWork of(const BatchedGemmKernel& shape, std::int64_t) {
  KernelWork work;
  const ProductFormat format = product_format(shape);
  work.matrix = Flops(2 * shape.batch * shape.m * shape.n * shape.k);
  work.weight_bytes = Bytes(shape.batch * format.b_bytes(shape.n, shape.k));
  work.read_bytes = Bytes(shape.batch * format.a_bytes(shape.m, shape.k));
  work.write_bytes = Bytes(shape.batch * format.out_bytes(shape.m * shape.n));
  return work;
}

/// Per element a magnitude and a comparison for the scale, a multiply and a conversion; per scale a
/// division. Reads the rows once, writes codes and scales.
KernelWork of(const QuantiseKernel& shape, std::int64_t width) {
  KernelWork work;
  const formats::QuantFormat& format = shape.precision->activation.value();
  const std::int64_t elements = shape.rows * shape.width;
  const std::int64_t rows = format.granularity.rows > 0 ? shape.rows : 1;
  const std::int64_t groups =
      format.granularity.cols > 0
          ? (shape.width + format.granularity.cols - 1) / format.granularity.cols
          : 1;
  work.vector = Flops(4 * elements);
  work.special = Flops(rows * groups);
  work.read_bytes = Bytes(elements * width);
  work.write_bytes = Bytes(formats::storage_bytes(format, shape.rows, shape.width));
  return work;
}

/// Per pair of rotated dimensions four multiplies and two adds. K and V leave in the cache's type,
/// q in place or in a type of its own; only the dimensions of q that rotate or change type move.
KernelWork of(const RopeKernel& shape, std::int64_t width) {
  KernelWork work;
  const std::int64_t rotated = shape.rotated_dims();
  const std::int64_t q = shape.tokens * shape.heads * rotated;
  const std::int64_t k = shape.tokens * shape.kv_heads * shape.head_dim;
  const std::int64_t kept = k * (shape.values ? 2 : 1) + shape.tokens * shape.extra;
  const CodecWork codec = encode_work(shape.slots) * (shape.tokens * shape.slots.per_token);
  work.vector = Flops(3 * (q + shape.tokens * shape.kv_heads * rotated) + codec.vector);
  work.special = Flops(codec.special);
  const std::int64_t carried = shape.tokens * shape.heads * shape.carried;
  const std::int64_t copies = shape.tokens * shape.key_copies * rotated;
  const std::int64_t q_width = shape.queries ? bytes_of(*shape.queries) : width;
  work.read_bytes = Bytes((q + carried + kept) * width);
  const std::int64_t appended = shape.slots.is_coded()
                                    ? shape.tokens * shape.slots.bytes_per_token()
                                    : kept * bytes_of(shape.kv);
  work.write_bytes = Bytes((q + carried) * q_width + copies * width + appended);
  return work;
}

KernelWork of(const CacheReadKernel& shape, std::int64_t width) {
  KernelWork work;
  const CodecWork codec = restore_work(shape.slots) * (shape.rows * shape.slots.per_token);
  work.vector = Flops(codec.vector);
  work.special = Flops(codec.special);
  work.read_bytes = Bytes(shape.slots.is_coded() ? shape.rows * shape.slots.bytes_per_token()
                                                 : shape.rows * shape.width * bytes_of(shape.kv));
  work.write_bytes = Bytes(shape.rows * shape.width * width);
  return work;
}

namespace {

struct PerElement {
  std::int64_t vector = 0, special = 0;
};

/// silu: x (1 / (1 + e^-x)): add, multiply; exponential, division.
/// gelu: (0.5 x) (1 + erf(x / sqrt 2)): three multiplies and an add; erf.
/// gelu with tanh: (0.5 x) (1 + tanh(x (c1 + c2 x^2))): x^2, times c2, plus c1, times x, plus 1,
/// 0.5 x, product; tanh.
/// Clamped swiglu: one limit of g, two of u, 1.702 g, 1 + e^-z, g sigmoid, u + 1, product;
/// exponential, division. The others take one multiply more where they are gated.
PerElement activation_cost(ActivationKind kind, bool gated) {
  const std::int64_t product = gated ? 1 : 0;
  switch (kind) {
    case ActivationKind::Silu:
      return {2 + product, 2};
    case ActivationKind::Gelu:
      return {4 + product, 1};
    case ActivationKind::GeluTanh:
      return {7 + product, 1};
    case ActivationKind::ClampedSwiglu:
      return {8, 2};
  }
  return {};
}

}  // namespace

KernelWork of(const ActivationKernel& shape, std::int64_t width) {
  KernelWork work;
  const std::int64_t elements = shape.tokens * shape.intermediate;
  const PerElement cost = activation_cost(shape.kind, shape.gated);
  work.vector = Flops(cost.vector * elements);
  work.special = Flops(cost.special * elements);
  work.read_bytes = Bytes((shape.gated ? 2 : 1) * elements * width);
  work.write_bytes = Bytes(elements * width);
  return work;
}

/// sigmoid(g) = 1 / (1 + e^-g): an add, an exponential, a division; then a multiply per element.
/// Soft cap: times 1 / c, tanh, times c.
KernelWork of(const ElementwiseKernel& shape, std::int64_t width) {
  KernelWork work;
  const std::int64_t elements = shape.tokens * shape.width;
  std::int64_t second = 0;  // elements of the other operand
  switch (shape.kind) {
    case ElementwiseKind::SigmoidGate:
      work.vector = Flops(2 * elements);
      work.special = Flops(2 * elements);
      second = elements;
      break;
    case ElementwiseKind::TokenGate:
      work.vector = Flops(elements + shape.tokens);
      work.special = Flops(2 * shape.tokens);
      second = shape.tokens;
      break;
    case ElementwiseKind::Scale:
      work.vector = Flops(elements);
      break;
    case ElementwiseKind::Softcap:
      work.vector = Flops(2 * elements);
      work.special = Flops(elements);
      break;
    case ElementwiseKind::Add:
      work.vector = Flops(elements);
      second = elements;
      break;
  }
  work.read_bytes = Bytes((elements + second) * width);
  work.write_bytes = Bytes(elements * width);
  return work;
}

/// The least any sampler does: look at every logit once.
KernelWork of(const SampleKernel& shape, std::int64_t width) {
  KernelWork work;
  work.vector = Flops(shape.tokens * shape.vocabulary);
  work.read_bytes = Bytes(shape.tokens * shape.vocabulary * width);
  work.write_bytes = Bytes(shape.tokens * index_bytes);
  return work;
}

}  // namespace work

KernelWork& KernelWork::operator+=(const KernelWork& other) {
  matrix += other.matrix;
  vector += other.vector;
  special += other.special;
  weight_bytes += other.weight_bytes;
  read_bytes += other.read_bytes;
  write_bytes += other.write_bytes;
  return *this;
}

KernelWork work_of(const Kernel& kernel) {
  const std::int64_t width = bytes_of(kernel.activations);
  return std::visit([&](const auto& shape) { return work::of(shape, width); }, kernel.shape);
}

}  // namespace tandem
