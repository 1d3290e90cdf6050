// Kernels: the operators of a forward pass with their shapes, and what they compulsorily cost.
// Chips turn a kernel into a plan; nothing here knows any chip.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/lower/batch.hpp"
#include "sim/numerics/element.hpp"

namespace tandem {

/// Table look-up: tokens rows of width hidden.
struct EmbeddingKernel {
  std::int64_t tokens = 0, hidden = 0;
};
/// y = w * x / rms(x), row-wise.
struct NormKernel {
  std::int64_t tokens = 0, hidden = 0;
};
/// C[m,n] (+)= A[m,k] B[n,k]^T; `adds_residual` reads and writes C's shape once more.
struct GemmKernel {
  std::int64_t m = 0, n = 0, k = 0;
  ElementType weights = ElementType::Bfloat16;
  ElementType activations = ElementType::Bfloat16;
  bool adds_residual = false;
};
/// Rotates q and k in place and appends k and v to the cache.
struct RopeKernel {
  std::int64_t tokens = 0, heads = 0, kv_heads = 0, head_dim = 0;
  ElementType kv = ElementType::Bfloat16;
};
/// Causal attention of each slice's new tokens over its context and themselves.
struct AttentionKernel {
  struct Span {
    std::int64_t q_len = 0, kv_len = 0;  ///< kv_len counts the new tokens too
    bool operator==(const Span&) const = default;
  };
  std::vector<Span> spans;
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t window = 0;  ///< 0: full
  bool causal = true;
  ElementType activations = ElementType::Bfloat16;
  ElementType kv = ElementType::Bfloat16;
};
/// silu(gate) * up over [tokens, intermediate].
struct ActivationKernel {
  std::int64_t tokens = 0, intermediate = 0;
};
/// Greedy or temperature sampling over [tokens, vocabulary] logits.
struct SampleKernel {
  std::int64_t tokens = 0, vocabulary = 0;
};

using KernelShape = std::variant<EmbeddingKernel, NormKernel, GemmKernel, RopeKernel,
                                 AttentionKernel, ActivationKernel, SampleKernel>;

/// One operator of a forward pass. `role` is stable over layers ("qkv_projection"); `layer` is -1
/// outside the decoder layers; `depends_on` are indices of earlier kernels in the graph.
struct Kernel {
  std::string_view role;
  std::int64_t layer = -1;
  ElementType activations = ElementType::Bfloat16;
  KernelShape shape;
  std::vector<std::int32_t> depends_on;
};

/// What a kernel must do whatever the chip: arithmetic by unit, and distinct bytes in and out.
struct KernelWork {
  Flops matrix;        ///< multiply-adds of matrix products, two each
  Flops vector;        ///< element-wise arithmetic
  Flops special;       ///< exponentials and the like
  Bytes weight_bytes;  ///< distinct weight bytes
  Bytes read_bytes;    ///< distinct activation and KV bytes read
  Bytes write_bytes;
  [[nodiscard]] Bytes bytes() const { return weight_bytes + read_bytes + write_bytes; }
};

/// Closed forms, one per kernel kind. For causal attention only visible (query, key) pairs count.
[[nodiscard]] KernelWork work_of(const Kernel& kernel);

/// Content key of the shape: equal keys cost equal time on equal chips.
[[nodiscard]] std::uint64_t key_of(const Kernel& kernel);

/// The kernels of one forward pass of a stage in issue order.
struct KernelGraph {
  std::vector<Kernel> kernels;
};

/// Lowers a batch over a stage. Roles, in order: embedding; per layer attention_norm,
/// qkv_projection, rope, attention, output_projection, ffn_norm, gate_up_projection, activation,
/// down_projection; final_norm, lm_head, sample. Residual additions ride on the projections.
[[nodiscard]] KernelGraph lower(const Stage& stage, const Batch& batch);

}  // namespace tandem
