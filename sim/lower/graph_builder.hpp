// Builds the kernel graph of a pass piece by piece; lower() and lower_mtp() drive it.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/core/integers.hpp"
#include "sim/lower/cascade.hpp"
#include "sim/lower/kernel.hpp"

namespace tandem {

/// Appends kernels and remembers which one made the hidden rows that flow on.
class GraphBuilder {
 public:
  static constexpr std::int64_t no_layer = -1;

  GraphBuilder(const Stage& stage, const Batch& batch, const RoutingLoad& load);

  void add_embedding();
  /// Norms of the next token's embedding and of the hidden rows, and the product that joins them.
  void add_mtp_input(std::int64_t layer);
  void add_layer(std::int64_t layer, const LayerKind& kind);
  void add_head();
  /// The final norm of rows that only modules of multi-token prediction need.
  void add_handed_on();
  [[nodiscard]] KernelGraph take() { return std::move(graph_); }

 private:
  using Index = std::int32_t;
  static constexpr Index no_kernel = -1;

  Index add(std::string_view role, KernelShape shape, std::vector<Index> depends_on);
  void mark_repeated(Index kernel, bool repeats_weights) {
    if (kernel != no_kernel) graph_.kernels[index_of(kernel)].repeats_weights = repeats_weights;
  }
  /// A point where the chip meets others, after the kernels so far; nothing where it is alone.
  void exchange(std::string_view role, CollectiveOp op, RankGroup group, std::int64_t rows,
                std::int64_t width, bool adds_residual = false);
  void exchange_experts(std::string_view role, CollectiveOp op, const Experts& experts,
                        ElementType type);
  /// The sum over the attention group that ends half a layer; the residual joins it there.
  void reduce_hidden(std::string_view role, bool adds_residual);
  [[nodiscard]] bool shares_layers() const { return shard_.of.group_ranks() > 1; }
  [[nodiscard]] bool shares_tokens() const { return shard_.of.context > 1; }
  [[nodiscard]] GemmKernel gemm(std::int64_t m, std::int64_t n, std::int64_t k,
                                bool adds_residual = false, bool bias = false) const;
  /// A product of weights that have no format: routers and gates.
  [[nodiscard]] GemmKernel plain_gemm(std::int64_t m, std::int64_t n, std::int64_t k) const;
  /// Type of the elements of the current part's weights.
  [[nodiscard]] ElementType stored_type() const;
  /// Rows as products of the current part's weights take them.
  Index quantised(Index from, std::int64_t rows, std::int64_t width);
  /// What products of the current part's weights and rows are multiplied in; null: as they are
  /// stored.
  [[nodiscard]] const formats::Precision* products() const;
  [[nodiscard]] BatchedGemmKernel batched(std::int64_t batch, std::int64_t m, std::int64_t n,
                                          std::int64_t k) const;
  /// The network's norm over rows of hidden states.
  [[nodiscard]] NormKernel hidden_norm(std::int64_t rows, bool adds_residual = false) const;

  void add_mixer_half(const LayerKind& own);
  [[nodiscard]] bool owns_rows(const LayerKind& own) const;
  void gather_rows();

  // Mixers: from the normed rows of `norm` to the rows that the output projection makes, with the
  // residual where `adds_residual`.
  Index add_mixer(const GroupedAttention& attention, Index norm, bool adds_residual);
  Index add_mixer(const LatentAttention& attention, Index norm, bool adds_residual);
  Index add_mixer(const GatedDelta& delta, Index norm, bool adds_residual);
  Index add_mixer(const MixerElsewhere&, Index norm, bool) { return norm; }
  Index add_output(std::int64_t width, std::vector<Index> from, bool adds_residual, bool bias);
  std::vector<Index> add_qk_norms(const GroupedAttention& attention, Index qkv);
  Index add_attention(const GroupedAttention& attention, const std::vector<QuerySpan>& spans,
                      Index rope);
  Index add_own_attention(const GroupedAttention& attention, Index rope);
  [[nodiscard]] std::vector<QuerySpan> kept_spans(const Mixer& mixer,
                                                  std::vector<QuerySpan> spans) const;
  [[nodiscard]] bool sums_keys(const Mixer& mixer) const;
  Index add_restored_attention(const GroupedAttention& attention, Index rope);
  Index add_cascade(const GroupedAttention& attention, Index rope);
  Index add_shared_attention(const GroupedAttention& attention, Index rope);
  Index add_cache_write(const GroupedAttention& attention, std::vector<Index> from);
  /// Query, and what the cache keeps of the new tokens, of latent attention.
  struct LatentInputs {
    Index query_input, rope;
  };
  LatentInputs add_latent_inputs(const LatentAttention& attention, Index norm);
  Index add_indexer(const LatentAttention& attention, const LatentInputs& in, Index norm);
  Index add_naive(const LatentAttention& attention, const LatentInputs& in);
  Index add_absorbed(const LatentAttention& attention, const LatentInputs& in, Index chosen,
                     const std::vector<QuerySpan>& spans, bool repeats_weights);

  Index add_ffn(const LayerKind& kind);
  struct FfnRoles;
  Index add_dense(const FfnRoles& roles, const FeedForward& ffn, std::int64_t width, bool bias,
                  Index from, bool adds_residual);
  Index add_experts(const FeedForward& ffn, Index from, bool adds_residual);
  Index add_routed(const FeedForward& ffn, Index from, Index router);
  Index add_sent(const FeedForward& ffn, Index router);
  /// Type in which rows go to experts of other chips.
  [[nodiscard]] ElementType sent_type() const;
  Index add_expert_products(const FeedForward& ffn, std::vector<std::int64_t> rows, Index from);
  /// Rows of each expert that the chip holds; layers with equal routers have equal rows.
  [[nodiscard]] const std::vector<std::int64_t>& held_rows(const Experts& experts);
  Index add_shared(const FeedForward& ffn, Index from);
  Index add_sent_experts(const FeedForward& ffn, Index from, Index router, bool adds_residual);

  const Stage& stage_;
  const NeuralNetwork& network_;
  const RoutingLoad& load_;
  Shard shard_;
  std::int64_t all_tokens_;  ///< of all attention groups
  std::int64_t tokens_;      ///< of this chip's
  std::int64_t rows_;        ///< hidden rows at hand: tokens_, or those that the chip owns
  bool rows_are_whole_ = true;
  std::int64_t sampled_;
  bool all_decode_ = true;                ///< no slice of any attention group is a prompt's
  std::vector<QuerySpan> spans_;          ///< of all slices
  std::vector<QuerySpan> prefill_spans_;  ///< of those that do not decode
  std::vector<QuerySpan> decode_spans_;
  Cascade cascade_;
  std::vector<std::int64_t> held_rows_;  ///< of the last router asked for
  ops::Router held_of_;
  std::int64_t layer_ = no_layer;
  WeightPart part_ = WeightPart::Rest;  ///< whose products are being added
  Index hidden_from_ = no_kernel;
  KernelGraph graph_;
};

}  // namespace tandem
