// Shapes of the operators of a forward pass. What each must compute and move is in work_of()
// (kernel.hpp); the formulas stand beside the closed forms in kernel_work*.cpp. Chips turn shapes
// into plans; nothing here knows any chip.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "sim/describe/kv_slots.hpp"
#include "sim/describe/neural_network.hpp"
#include "sim/numerics/element.hpp"

namespace tandem::formats {
struct Precision;
}

namespace tandem {

/// One sequence's queries and the keys they may see, itself included.
struct QuerySpan {
  std::int64_t q_len = 0, kv_len = 0;  ///< kv_len counts the new tokens too
  [[nodiscard]] std::int64_t earlier() const { return kv_len > q_len ? kv_len - q_len : 0; }
  bool operator==(const QuerySpan&) const = default;
};

/// Table look-up: tokens rows of width hidden.
struct EmbeddingKernel {
  std::int64_t tokens = 0, hidden = 0;
};

/// Row-wise normalisation of `tokens` rows (for QK norms: tokens * heads) of width `hidden`:
/// y = w x / rms(x), or (x - mean) / deviation w + b. A weight stored as 1 + w costs the same: the
/// sum is made once.
struct NormKernel {
  std::int64_t tokens = 0, hidden = 0;
  NormKind kind = NormKind::Rms;
  bool weighted = true;        ///< has a weight (and for layer norm a bias)
  bool gated = false;          ///< y = silu(z) (w x / rms(x)): reads z as well
  bool adds_residual = false;  ///< adds rows of the same shape to the result
};

/// C[m,n] (+)= A[m,k] B[n,k]^T (+ bias[n]); `adds_residual` reads C's shape once more.
struct GemmKernel {
  std::int64_t m = 0, n = 0, k = 0;
  ElementType weights = ElementType::Bfloat16;
  ElementType activations = ElementType::Bfloat16;
  bool adds_residual = false;
  bool bias = false;
  /// Quantised operands: one of formats::precisions(); A arrives quantised, C leaves in
  /// `activations`. Null: operands are stored as `weights` and `activations`.
  const formats::Precision* precision = nullptr;
};

/// `batch` products, each with weights of its own: C_b[m,n] = A_b[m,k] B_b[n,k]^T (the absorbed
/// projections of latent attention, one per head).
struct BatchedGemmKernel {
  std::int64_t batch = 0, m = 0, n = 0, k = 0;
  ElementType weights = ElementType::Bfloat16;
  ElementType activations = ElementType::Bfloat16;
  const formats::Precision* precision = nullptr;  ///< as in GemmKernel
};

/// One product per expert over the rows sent to it: C_e[rows_e,n] = A_e[rows_e,k] B_e[n,k]^T.
/// Experts without rows cost nothing.
struct GroupedGemmKernel {
  std::vector<std::int64_t> rows;  ///< per expert
  std::int64_t n = 0, k = 0;
  ElementType weights = ElementType::Bfloat16;
  ElementType activations = ElementType::Bfloat16;
  bool bias = false;
  const formats::Precision* precision = nullptr;  ///< as in GemmKernel
  /// Rows of every expert for which the library chose its schedule beforehand; 0: these rows.
  std::int64_t tuned_rows = 0;
  /// Rows per expert cannot be known at launch: row tiles are launched for these choices over these
  /// experts of all ranks, and those without rows return at once. 0: only tiles with rows.
  std::int64_t launched_choices = 0, launched_experts = 0;
  /// Each expert's operands have copy descriptors of their own, which a CTA rewrites in memory
  /// before it loads the next tile (CUTLASS grouped GEMM); else one descriptor spans all experts.
  bool writes_descriptors = false;
};

/// Where the scales of quantised activations come from.
enum class ScaleOrigin : std::uint8_t {
  Rows,    ///< found on the way, per row or group of a row: one pass
  Tensor,  ///< largest magnitude of the tensor: cleared, searched in one pass, used in the next
  Known    ///< a number of the checkpoint: one pass without a search
};

/// Turns `rows` rows of `width` activations into what `precision` multiplies: codes and scales. How
/// the passes are cut into CTAs and accesses is the framework's habit; 0 and 16 are what a careful
/// one does.
struct QuantiseKernel {
  std::int64_t rows = 0, width = 0;
  const formats::Precision* precision = nullptr;  ///< with an activation format
  ScaleOrigin scales = ScaleOrigin::Rows;
  std::int64_t search_ctas = 0;      ///< CTAs that search a tensor's scale; 0: one per row
  std::int64_t search_access = 16;   ///< bytes that a thread of the search loads at once
  std::int64_t convert_access = 16;  ///< bytes that a thread of the conversion loads at once
  /// The conversion's grid: 0: as many CTAs as a turn of all its threads covers the rows with.
  std::int64_t convert_ctas = 0;         ///< of the whole grid
  std::int64_t convert_ctas_per_sm = 0;  ///< of a grid as wide as the chip
  std::int64_t convert_threads = 256;    ///< of a CTA
  std::int64_t convert_unroll = 1;       ///< loads that a thread keeps outstanding
};

/// Rotates q and k in place and appends k and v to the cache. Windows do not matter: what a window
/// forgets was written first.
struct RopeKernel {
  static constexpr std::int64_t whole_head = -1;
  std::int64_t tokens = 0, heads = 0, kv_heads = 0, head_dim = 0;
  ElementType kv = ElementType::Bfloat16;
  std::int64_t rotated = whole_head;  ///< dimensions per head that rotate; 0: none, k is only kept
  bool values = true;                 ///< appends v, as wide as k
  std::int64_t extra = 0;  ///< further elements per token that go to the cache (MLA: the latent)
  std::int64_t key_copies = 0;  ///< times k is also written beside q (naive MLA: to every head)
  std::int64_t carried = 0;     ///< elements per query head that change type together with it
  std::optional<ElementType> queries = std::nullopt;  ///< type in which q leaves; none: as it came
  KvSlots slots = {};  ///< coded: what each token's key and value become instead of elements
  [[nodiscard]] std::int64_t rotated_dims() const {
    return rotated == whole_head ? head_dim : rotated;
  }
};

/// Reads `rows` cached rows of `width` elements into activations: earlier latents before naive
/// latent attention makes keys and values of them.
struct CacheReadKernel {
  std::int64_t rows = 0, width = 0;
  ElementType kv = ElementType::Bfloat16;
  KvSlots slots = {};  ///< coded: of each row
};

/// Whose attention kernels a framework launches: FlashAttention's, or those of TensorRT-LLM
/// (fmha_v2 for prefill, XQA and masked multi-head attention for decode).
enum class AttentionLibrary : std::uint8_t { Flash, TensorRt };

/// Attention of each span's new tokens over its context and themselves.
struct AttentionKernel {
  using Span = QuerySpan;
  std::vector<Span> spans;
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t window = 0;  ///< 0: full
  bool causal = true;
  ElementType activations = ElementType::Bfloat16;
  ElementType kv = ElementType::Bfloat16;
  std::int64_t value_dim = 0;       ///< width of a value head; 0: head_dim
  std::int64_t shared_key_dim = 0;  ///< part of every key that all heads share (MLA: rotated part)
  bool sinks = false;               ///< a learned logit per head joins the softmax
  bool softcap = false;             ///< scores become c tanh(score / c)
  bool cached = true;  ///< earlier keys and values come from the cache, not from this pass
  AttentionLibrary library = AttentionLibrary::Flash;
  KvSlots slots = {};  ///< coded: keys and values are read as slots and decoded to `kv`
  /// Adds what each key draws from all queries of a KV head to a running sum beside it (H2O). The
  /// sums of rows are known at the end only: a second sweep makes the scores again.
  bool sums_keys = false;
  [[nodiscard]] std::int64_t value_width() const { return value_dim > 0 ? value_dim : head_dim; }
  /// Bytes that all KV heads have in memory per key.
  [[nodiscard]] std::int64_t bytes_per_key() const;
  /// The same of one KV head, what heads share included.
  [[nodiscard]] std::int64_t head_bytes_per_key() const;
};

/// Latent attention in absorbed form: every head attends over the cached latents themselves.
struct LatentAttentionKernel {
  std::vector<QuerySpan> spans;
  std::int64_t heads = 0, kv_rank = 0, rope_dim = 0;
  std::int64_t selected = 0;  ///< keys that a query sees at most, chosen by an indexer; 0: all
  ElementType activations = ElementType::Bfloat16;
  ElementType kv = ElementType::Bfloat16;
  std::optional<ElementType> queries = std::nullopt;  ///< type of q where it was quantised
  bool deal_kernel = false;  ///< a launch before it deals requests out to SMs, in every layer
  KvSlots slots = {};        ///< as in AttentionKernel
  bool sums_keys = false;    ///< as in AttentionKernel: one sum per key, of all heads
  [[nodiscard]] std::int64_t bytes_per_key() const;
  [[nodiscard]] ElementType query_type() const { return queries.value_or(activations); }
};

/// The indexer of sparse attention: scores all visible keys and keeps the top_k of each query.
struct IndexerKernel {
  std::vector<QuerySpan> spans;
  std::int64_t heads = 0, head_dim = 0, top_k = 0;
  ElementType activations = ElementType::Bfloat16;
  ElementType kv = ElementType::Bfloat16;  ///< of the cached index keys
};

/// Depthwise causal convolution and silu; the last taps - 1 inputs of a sequence are its state, in
/// the activations' type and kept as a ring.
struct ShortConvolutionKernel {
  std::vector<QuerySpan> spans;
  std::int64_t channels = 0, taps = 0;
};

/// Gates of gated delta layers (beta and log decay per value head, in float) and the l2 norm of q
/// and k per head, in place.
struct DeltaGateKernel {
  std::int64_t tokens = 0, key_heads = 0, value_heads = 0, key_dim = 0;
};

/// How a gated delta rule runs: token by token, or in chunks of matrix products.
enum class DeltaPhase : std::uint8_t { Recurrent, Chunked };

/// The gated delta rule over new tokens; the state [value_heads][key_dim][value_dim] is float, read
/// once per sequence that has one and written once.
struct GatedDeltaKernel {
  std::vector<QuerySpan> spans;
  ops::GatedDeltaShape shape;
  DeltaPhase phase = DeltaPhase::Recurrent;
};

/// Mamba-2's state-space scan in chunks (Dao and Gu, arXiv 2405.21060): S_i = e^(A dt_i) S_(i-1) +
/// dt_i x_i B_i^T, y_i = S_i C_i + D x_i, with B and C shared by the heads of a group; the state
/// [heads][head_dim][state_dim] is float, read once per sequence that has one and written once.
struct StateSpaceScanKernel {
  std::vector<QuerySpan> spans;
  std::int64_t heads = 0, head_dim = 0, groups = 0, state_dim = 0;
  std::int64_t chunk = 128;
};

/// From logits [tokens, experts] to top_k experts and weights per token.
struct RouterKernel {
  std::int64_t tokens = 0;
  ops::Router router;
  bool expert_scale = false;  ///< a learned factor per expert on its weight
};

/// One pass of sorting (token, expert) choices by expert: reads the chosen indices of all tokens
/// and writes a place for each choice and the first row of each of the rank's experts.
struct ExpertSortKernel {
  std::int64_t tokens = 0, top_k = 0, experts = 0;
};

/// How a library's kernel visits rows that are sorted by expert. Its CTAs take one row at a time,
/// and a row begins with a read of where it belongs.
struct RowWalk {
  std::int64_t ctas_per_sm =
      0;                     ///< of the grid, at most one per row; 0: no walk, rows are streamed
  std::int64_t access = 16;  ///< bytes of a row that a thread writes at once
  bool searches_expert =
      false;  ///< each thread finds the row's expert by halving the table of sizes
  /// Rows behind those of each expert whose scales are set to zero, as bytes of scales per row.
  std::int64_t padding_rows = 0, padding_bytes = 0;
  std::int64_t idle_ctas = 0;  ///< launched for rows that the rank does not have
};

/// Copies each token's row once per chosen expert, sorted by expert. A rank that holds only some of
/// the experts makes `copies` of them.
struct DispatchKernel {
  static constexpr std::int64_t every_choice = -1;
  std::int64_t tokens = 0, top_k = 0, hidden = 0;
  std::int64_t copies = every_choice;
  RowWalk walk = {};
  [[nodiscard]] std::int64_t rows() const {
    return copies == every_choice ? tokens * top_k : copies;
  }
};

/// y = sum over the token's experts of weight * row (+ shared row) (+ residual).
struct CombineKernel {
  std::int64_t tokens = 0, top_k = 0, hidden = 0;
  bool shared = false;
  bool adds_residual = false;
  std::int64_t copies = DispatchKernel::every_choice;  ///< rows that the rank has
  [[nodiscard]] std::int64_t rows() const {
    return copies == DispatchKernel::every_choice ? tokens * top_k : copies;
  }
};

/// act(gate) * up over [tokens, intermediate], or act(up) alone.
struct ActivationKernel {
  std::int64_t tokens = 0, intermediate = 0;
  ActivationKind kind = ActivationKind::Silu;
  bool gated = true;
  RowWalk walk = {};
};

enum class ElementwiseKind : std::uint8_t {
  SigmoidGate,  ///< x sigmoid(g), a gate per element (attention's output gate)
  TokenGate,    ///< x sigmoid(g), a gate per row (the shared expert's)
  Scale,        ///< x times a constant (embeddings)
  Softcap,      ///< c tanh(x / c)
  Add,          ///< x + y (position tables, branches)
};

/// Element-wise work over [tokens, width].
struct ElementwiseKernel {
  ElementwiseKind kind = ElementwiseKind::Add;
  std::int64_t tokens = 0, width = 0;
};

/// Greedy or temperature sampling over [tokens, vocabulary] logits.
struct SampleKernel {
  std::int64_t tokens = 0, vocabulary = 0;
};

using KernelShape =
    std::variant<EmbeddingKernel, NormKernel, GemmKernel, RopeKernel, AttentionKernel,
                 ActivationKernel, SampleKernel, BatchedGemmKernel, GroupedGemmKernel,
                 CacheReadKernel, LatentAttentionKernel, IndexerKernel, ShortConvolutionKernel,
                 DeltaGateKernel, GatedDeltaKernel, RouterKernel, DispatchKernel, CombineKernel,
                 ElementwiseKernel, QuantiseKernel, ExpertSortKernel, StateSpaceScanKernel>;

}  // namespace tandem
