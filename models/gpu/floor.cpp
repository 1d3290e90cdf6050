#include "models/gpu/floor.hpp"

#include <algorithm>
#include <cmath>

namespace tandem::gpu {

KernelSizes sizes_of(const Kernel& kernel) {
  const KernelWork work = work_of(kernel);
  OperandBytes bytes{work.weight_bytes, work.read_bytes, Bytes(0), work.write_bytes};
  if (const auto* attention = std::get_if<AttentionKernel>(&kernel.shape)) {
    std::int64_t queries = 0;
    for (const auto& span : attention->spans) queries += span.q_len;
    bytes.activations =
        Bytes(queries * attention->heads * attention->head_dim * bytes_of(attention->activations));
    bytes.kv = work.read_bytes - bytes.activations;
  }
  if (const auto* latent = std::get_if<LatentAttentionKernel>(&kernel.shape)) {
    std::int64_t keys = 0;
    for (const QuerySpan& span : latent->spans) {
      keys += latent->selected > 0 ? std::min(span.kv_len, latent->selected) : span.kv_len;
    }
    bytes.kv = Bytes(keys * latent->bytes_per_key());
    bytes.activations = work.read_bytes - bytes.kv;
  }
  // The rows of an embedding table are weights, wherever they happen to lie in it.
  if (std::holds_alternative<EmbeddingKernel>(kernel.shape)) {
    bytes.weights = work.read_bytes;
    bytes.activations = Bytes(0);
  }
  return {work, bytes};
}

OperandBytes operand_bytes(const Kernel& kernel) {
  return sizes_of(kernel).operands;
}

Residency measured_alone(const GpuParams& params, const Kernel& kernel, bool warm,
                         std::int64_t weight_copies) {
  Residency residency;
  if (!warm || !params.model_l2) return residency;
  const OperandBytes bytes = operand_bytes(kernel);
  Bytes room = params.l2_capacity;
  const auto take = [&](Bytes amount) {
    if (amount > room) return 0.0;
    room -= amount;
    return 1.0;
  };
  residency.activations = take(bytes.activations);
  residency.output = take(bytes.output);
  residency.kv = take(bytes.kv);
  residency.weights = take(bytes.weights * weight_copies);
  return residency;
}

Residency inside_pass(const GpuParams& params, const Kernel& kernel) {
  Residency residency;
  if (!params.model_l2) return residency;
  const OperandBytes bytes = operand_bytes(kernel);
  residency.activations = residency.output =
      (bytes.activations + bytes.output) * 2 <= params.l2_capacity ? 1 : 0;
  return residency;
}

Peaks peaks_of(const GpuParams& params) {
  Peaks peaks;
  const std::pair<MatrixPipe, FlopsPerSecond> rates[] = {
      {MatrixPipe::Float32, params.peak_float32},   {MatrixPipe::Float16, params.peak_float16},
      {MatrixPipe::Bfloat16, params.peak_bfloat16}, {MatrixPipe::Fp8, params.peak_fp8},
      {MatrixPipe::Int8, params.peak_int8},         {MatrixPipe::Fp4, params.peak_fp4}};
  for (const auto& [pipe, rate] : rates) {
    if (rate.count() > 0) peaks.matrix.emplace(pipe, rate);
  }
  peaks.vector = params.peak_float32;
  peaks.special = params.special_peak();
  peaks.memory = params.hbm.bandwidth;
  return peaks;
}

Picoseconds floor_of(const GpuParams& params, const Kernel& kernel, const Residency& residency) {
  return floor_of(params, peaks_of(params), kernel, sizes_of(kernel), residency);
}

Picoseconds floor_of(const GpuParams& params, const Peaks& peaks, const Kernel& kernel,
                     const KernelSizes& sizes, const Residency& residency) {
  const auto part = [](Bytes whole, double share) {
    return Bytes(static_cast<std::int64_t>(std::ceil(static_cast<double>(whole.count()) * share)));
  };
  const OperandBytes& bytes = sizes.operands;
  const Bytes cached = part(bytes.weights, residency.weights) +
                       part(bytes.activations, residency.activations) +
                       part(bytes.kv, residency.kv) + part(bytes.output, residency.output);
  return std::max(floor_of(kernel, sizes.work, peaks, cached),
                  sizes.work.bytes() / params.l2_bandwidth);
}

}  // namespace tandem::gpu
