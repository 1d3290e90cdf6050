// What the kernels of one functional pass work on: the stage, its requests, and rows of activations
// by buffer.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "models/gpu/loaded_stage.hpp"
#include "models/gpu/request_cache.hpp"
#include "models/gpu/rotary.hpp"
#include "models/gpu/stage_weights.hpp"
#include "models/gpu/tracked_rows.hpp"

namespace tandem::gpu {

/// When a kernel runs.
struct TimeSpan {
  Picoseconds start, end;
};

/// A stage on a chip: all that no pass changes.
struct StageOnChip {
  const GpuChip& chip;
  Stage stage;
  NeuralNetwork network;  ///< as this chip has it
  StageWeights weights;
  std::vector<RopeTable> rotations;  ///< by kind of layer
  std::int64_t max_context = 0;
  CtaOrder order = CtaOrder::Canonical;
  SumOrder sums = SumOrder::Fixed;
  /// By kind of layer; none: keys and values are elements.
  std::vector<std::optional<formats::KvCodec>> codecs = {};

  [[nodiscard]] ElementType type() const { return stage.precision.activations; }
  [[nodiscard]] ElementType kv_type() const { return stage.precision.kv_cache; }
  /// Type of products with what is cached.
  [[nodiscard]] ElementType kv_math() const;
  /// 0, 1, ... in the order in which CTAs execute.
  [[nodiscard]] std::vector<std::int64_t> order_of(std::int64_t ctas) const;
};

/// Rows that kernels of a pass hand on to each other. What they hold is said where they are
/// written.
enum class Buffer : std::uint8_t {
  Hidden,    ///< the residual stream
  Given,     ///< hidden states that a module of multi-token prediction goes on from
  Joined,    ///< what it joins: embeddings, then these, both normed
  HandedOn,  ///< behind the final norm, for such modules
  Normed,
  Mixed,   ///< what a half of a layer adds to the residual stream
  Branch,  ///< the dense block's, where experts stand beside it
  Qkv,
  QkSums,
  SinkQuery,  ///< queries rotated to their places within an evicted cache
  Attended,
  Query,
  Latent,
  QueryLatent,
  LatentRead,
  LatentUp,
  Absorbed,
  LatentMixed,
  IndexQuery,
  IndexKey,
  IndexWeights,
  Chosen,
  DeltaInput,
  DeltaGates,
  Convolved,
  DeltaOut,
  Inner,  ///< before the activation of a dense block, and behind it
  Activated,
  RouterInput,
  RouterLogits,
  Routes,
  Sent,
  ExpertInner,
  ExpertActivated,
  ExpertOut,
  SharedInner,
  SharedActivated,
  Shared,
  SharedGate,
  Final,
  Logits
};

/// One sequence of the pass on this chip, and where its rows begin.
struct SliceOnChip {
  SequenceSlice slice;
  std::int64_t first_row = 0;  ///< among the chip's rows
  std::int64_t first_in = 0;   ///< among those of the whole batch
  RequestCache* cache = nullptr;
  /// Of a tree of drafts: its root, and for each new token the places in the cache of the nodes
  /// from there on to it.
  std::int64_t root = 0;
  std::vector<std::vector<std::int64_t>> paths = {};

  [[nodiscard]] bool is_tree() const { return !paths.empty(); }
  /// Which token of the text a new one is.
  [[nodiscard]] std::int64_t position(std::int64_t i) const;
  /// Place of the node that new token `i` of a tree follows; that of the text's last token where it
  /// follows none.
  [[nodiscard]] std::int64_t parent(std::int64_t i) const;
};

/// Lays a slice out along a tree. Throws ModelError where the tree ends elsewhere than the slice.
void follow_tree(const TokenTree& tree, SliceOnChip& slice);

/// Rows on their way through the experts that the chip holds: expert e has [first[e], first[e+1]).
struct ExpertRows {
  struct Place {
    std::int64_t peer = 0;    ///< that sent it; 0 where the row is the chip's own
    std::int64_t row = 0;     ///< of its sender's
    std::int64_t choice = 0;  ///< which of the token's experts this is
  };
  std::vector<std::int64_t> first;
  std::vector<Place> places;
  int products_done = 0;  ///< of the three kernels that experts are
  /// Of each row of the chip's own, by choice: its place, or -1.
  [[nodiscard]] std::vector<std::vector<std::int64_t>> by_choice(std::int64_t rows,
                                                                 std::int64_t top_k) const;
};

/// The state of one pass.
struct PassState {
  StageOnChip& on;
  const StageData& in;
  std::vector<SliceOnChip> slices;
  std::int64_t tokens = 0;   ///< of these
  std::int64_t sampled = 0;  ///< slices that want logits
  std::map<Buffer, TrackedRows> buffers;
  ExpertRows experts;

  /// Empties a buffer: rows that nobody has written since cannot be read.
  TrackedRows& fresh(Buffer buffer, std::int64_t rows, std::int64_t width);
  /// Throws ModelError for a buffer that no kernel has made.
  [[nodiscard]] TrackedRows& at(Buffer buffer);
};

/// A kernel at work.
struct KernelCall {
  const Kernel& kernel;
  TimeSpan span;
  PassState& pass;

  [[nodiscard]] const StageOnChip& on() const { return pass.on; }
  [[nodiscard]] std::size_t layer() const {
    return static_cast<std::size_t>(kernel.layer - on().stage.first_layer);
  }
  [[nodiscard]] const LayerKind& kind() const { return on().network.layer(kernel.layer); }
  [[nodiscard]] const RopeTable& rotation() const {
    const NeuralNetwork& network = on().network;
    return on().rotations[static_cast<std::size_t>(
        network.pattern[static_cast<std::size_t>(kernel.layer)])];
  }
  /// How the kernel's layer stores slots; null: as elements.
  [[nodiscard]] const formats::KvCodec* codec() const;
  /// Of the kernel's layer, or those around the layers.
  [[nodiscard]] const RoleWeights& weights() const {
    return kernel.layer < 0 ? on().weights.outer : on().weights.layers[layer()];
  }
  [[nodiscard]] const WeightMatrix& own_weights() const { return weights().at(kernel.role); }
  [[nodiscard]] LayerCache& cache(const SliceOnChip& slice) const {
    return slice.cache->layers[layer()];
  }
};

/// Row `index` of consecutive rows of `width` elements.
template <class T>
[[nodiscard]] std::span<T> part_of(std::span<T> values, std::int64_t index, std::int64_t width) {
  return values.subspan(static_cast<std::size_t>(index * width), static_cast<std::size_t>(width));
}

}  // namespace tandem::gpu
