#include "models/gpu/attention_copies.hpp"

#include <algorithm>

#include "models/gpu/attention_tiling.hpp"

namespace tandem::gpu {
namespace {

/// A thread copies four elements of two bytes (PyTorch, aten/src/ATen/native/cuda/CUDALoops.cuh,
/// elementwise_kernel with 128 threads and 4 elements per thread).
constexpr std::int64_t copy_threads = 128;
constexpr std::int64_t cta_bytes = copy_threads * 4 * 2;
/// Large copies are simulated in at most this many CTAs.
constexpr std::int64_t most_ctas = 16'384;
/// Where the copy transposes, the place of an element in both tensors takes a division by a
/// precomputed reciprocal and two multiply-adds for each of four dimensions, a load and a store
/// (OffsetCalculator): multiply, add, shift, multiply, subtract.
constexpr std::int64_t instructions_per_element = 4 * (5 + 2) + 2;

class CopyProgram final : public CtaProgram {
 public:
  CopyProgram(Bytes bytes, bool strided, std::int64_t tile)
      : bytes_(bytes.count()),
        chunk_(std::max(cta_bytes, (bytes_ + most_ctas - 1) / most_ctas)),
        strided_(strided),
        tile_(tile) {}
  [[nodiscard]] std::int64_t ctas() const override { return (bytes_ + chunk_ - 1) / chunk_; }
  [[nodiscard]] std::int64_t tiles() const override { return tile_ + ctas(); }
  [[nodiscard]] int steps(std::int64_t) const override { return 1; }
  void step(std::int64_t cta, int, Step& out) const override {
    out.add({tile_ + cta, bytes_of_cta(cta), Operand::Activation, 1});
    if (strided_) out.issue = Flops(bytes_of_cta(cta).count() / 2 * instructions_per_element);
  }
  void epilogue(std::int64_t cta, Epilogue& out) const override { out.store = bytes_of_cta(cta); }

 private:
  [[nodiscard]] Bytes bytes_of_cta(std::int64_t cta) const {
    return Bytes(std::min(chunk_, bytes_ - cta * chunk_));
  }
  std::int64_t bytes_;
  std::int64_t chunk_;
  bool strided_;
  std::int64_t tile_;
};

}  // namespace

AttentionCopies attention_copies(const GpuParams& params, const AttentionKernel& shape) {
  AttentionCopies copies;
  if (!params.copies_grouped_heads || params.matrix_issue != MatrixIssue::Warp) return copies;
  if (shape.library != AttentionLibrary::Flash || shape.heads == shape.kv_heads ||
      shape.window > 0) {
    return copies;
  }
  std::int64_t queries = 0;
  for (const QuerySpan& span : shape.spans) {
    if (span.q_len > 1) return copies;
    queries += span.q_len;
  }
  const Bytes bytes(queries * shape.heads * shape.head_dim * bytes_of(shape.activations));
  copies.strided = queries > 1 && shape.kv_heads > 1;
  if (copies.strided) copies.before = bytes;
  copies.after = bytes;
  return copies;
}

PlanPhase copy_phase(const GpuParams& params, Bytes bytes, bool strided, std::int64_t tile) {
  PlanPhase phase;
  phase.program = std::make_shared<CopyProgram>(bytes, strided, tile);
  phase.ctas_per_sm = ctas_per_sm(params, {Bytes(0), Bytes(copy_threads * 32 * 4), copy_threads});
  phase.stages = 1;
  return phase;
}

}  // namespace tandem::gpu
