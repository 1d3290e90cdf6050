#include "models/gpu/floor.hpp"

#include <algorithm>

namespace tandem::gpu {
namespace {

ElementType math_of(const Kernel& kernel) {
  if (const auto* gemm = std::get_if<GemmKernel>(&kernel.shape)) {
    return math_type(gemm->weights, gemm->activations);
  }
  if (const auto* attention = std::get_if<AttentionKernel>(&kernel.shape)) {
    return math_type(attention->kv, attention->activations);
  }
  return kernel.activations;
}

}  // namespace

OperandBytes operand_bytes(const Kernel& kernel) {
  const KernelWork work = work_of(kernel);
  OperandBytes bytes{work.weight_bytes, work.read_bytes, Bytes(0), work.write_bytes};
  if (const auto* attention = std::get_if<AttentionKernel>(&kernel.shape)) {
    std::int64_t queries = 0;
    for (const auto& span : attention->spans) queries += span.q_len;
    bytes.activations =
        Bytes(queries * attention->heads * attention->head_dim * bytes_of(attention->activations));
    bytes.kv = work.read_bytes - bytes.activations;
  }
  // The rows of an embedding table are weights, wherever they happen to lie in it.
  if (std::holds_alternative<EmbeddingKernel>(kernel.shape)) {
    bytes.weights = work.read_bytes;
    bytes.activations = Bytes(0);
  }
  return bytes;
}

Residency measured_alone(const GpuParams& params, const Kernel& kernel, bool warm) {
  Residency residency;
  if (!warm || !params.model_l2) return residency;
  const OperandBytes bytes = operand_bytes(kernel);
  Bytes room = params.l2_capacity;
  const auto take = [&](Bytes amount) {
    if (amount > room) return false;
    room -= amount;
    return true;
  };
  residency.activations = take(bytes.activations);
  residency.output = take(bytes.output);
  residency.kv = take(bytes.kv);
  residency.weights = take(bytes.weights);
  return residency;
}

Residency inside_pass(const GpuParams& params, const Kernel& kernel) {
  Residency residency;
  if (!params.model_l2) return residency;
  const OperandBytes bytes = operand_bytes(kernel);
  residency.activations = residency.output =
      (bytes.activations + bytes.output) * 2 <= params.l2_capacity;
  return residency;
}

Picoseconds floor_of(const GpuParams& params, const Kernel& kernel, const Residency& residency) {
  const KernelWork work = work_of(kernel);
  const OperandBytes bytes = operand_bytes(kernel);
  Bytes memory(0);
  if (!residency.weights) memory += bytes.weights;
  if (!residency.activations) memory += bytes.activations;
  if (!residency.kv) memory += bytes.kv;
  if (!residency.output) memory += bytes.output;
  Picoseconds bound =
      std::max({memory / params.hbm.bandwidth, work.bytes() / params.l2_bandwidth,
                work.vector / params.peak_float32, work.special / params.special_peak()});
  if (work.matrix.count() > 0) {
    bound = std::max(bound, work.matrix / params.matrix_peak(math_of(kernel)));
  }
  return bound;
}

}  // namespace tandem::gpu
