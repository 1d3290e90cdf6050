// Kernels: the operators of a forward pass with their shapes, and what they compulsorily cost.
// Chips turn a kernel into a plan; nothing here knows any chip.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/lower/batch.hpp"
#include "sim/lower/exchange.hpp"
#include "sim/lower/kernel_shapes.hpp"
#include "sim/lower/routing_load.hpp"
#include "sim/numerics/element.hpp"

namespace tandem {

/// One operator of a forward pass. `role` is stable over layers ("qkv_projection"); `layer` is -1
/// outside the decoder layers; `depends_on` are indices of earlier kernels in the graph.
struct Kernel {
  std::string_view role;
  std::int64_t layer = -1;
  ElementType activations = ElementType::Bfloat16;
  KernelShape shape;
  std::vector<std::int32_t> depends_on;
  bool repeats_weights = false;  ///< an earlier kernel of the pass reads the same weights
};

/// What a kernel must do whatever the chip: arithmetic by unit, and distinct bytes in and out.
struct KernelWork {
  Flops matrix;        ///< multiply-adds of matrix products, two each
  Flops vector;        ///< element-wise arithmetic
  Flops special;       ///< exponentials and the like
  Bytes weight_bytes;  ///< distinct weight bytes
  Bytes read_bytes;    ///< distinct activation, KV and state bytes read
  Bytes write_bytes;
  [[nodiscard]] Bytes bytes() const { return weight_bytes + read_bytes + write_bytes; }
  KernelWork& operator+=(const KernelWork& other);
};

/// Closed forms, one per kernel kind. For causal attention only visible (query, key) pairs count.
[[nodiscard]] KernelWork work_of(const Kernel& kernel);

/// Name of the kernel's kind ("gemm", "gated_delta"), for messages and tables.
[[nodiscard]] std::string_view kind_name(const Kernel& kernel);

/// Content key of the shape: equal keys cost equal time on equal chips.
[[nodiscard]] std::uint64_t key_of(const Kernel& kernel);

/// The kernels of one forward pass of a stage in issue order.
struct KernelGraph {
  std::vector<Kernel> kernels;
  std::vector<Exchange> exchanges;  ///< of a chip in a gang, in order
};

/// Lowers a batch over a stage. Roles of a dense layer, in order: attention_norm, qkv_projection,
/// rope, attention, output_projection, ffn_norm, gate_up_projection, activation, down_projection;
/// around the layers embedding, and final_norm, lm_head, sample. docs/kernels.md lists the roles of
/// the other layers. Residual additions ride on the last kernel of each half.
///
/// A slice decodes where it has a context and one new token, or the few of a round of speculative
/// decoding; all others prefill. Latent attention runs absorbed for slices that decode and naive
/// for the others (with an indexer absorbed for all: sparse attention works on latents); the gated
/// delta rule runs recurrent for slices that decode and chunked for the others. All other kernels
/// take the whole batch at once. A network that joins_hidden starts with the norms and the product
/// that join the batch's tokens with hidden states. Experts get the rows that expert_rows() gives.
/// Throws ModelError for a slice without new tokens.
///
/// Of a stage that a gang shares, the kernels of the one chip stage.shard: `batch` is that of the
/// whole gang, and the chip runs the attention of its group's slices. Kernels without rows are left
/// out; exchanges are not.
[[nodiscard]] KernelGraph lower(const Stage& stage, const Batch& batch,
                                const RoutingLoad& load = {});

/// One application of a multi-token-prediction module to every token of a batch: h' = W
/// [norm(embedding(next)); norm(h)], a layer, and the stage's share of the head (DeepSeek-V3, arXiv
/// 2412.19437, section 2.2). `layer` of its kernels is network.layers(). Its layer keeps a cache of
/// its own of equal context. Throws ModelError for a network without such modules.
[[nodiscard]] KernelGraph lower_mtp(const Stage& stage, const Batch& batch,
                                    const RoutingLoad& load = {});

}  // namespace tandem
