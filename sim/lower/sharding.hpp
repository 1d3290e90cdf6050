// How the chips of a gang share the layers of a stage, and what one of them holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/describe/neural_network.hpp"

namespace tandem {

/// How a gang of ranks() chips shares a stage. Rank r is the tensor rank r % tensor, the context
/// rank r / tensor % context and belongs to the attention group r / (tensor * context).
///
/// - `tensor` chips share heads, widths of dense blocks and the vocabulary (Shoeybi et al., arXiv
///   1909.08053): each half of a layer ends with a sum over them.
/// - `context` chips share the cached tokens of every request: each holds every context-th one and
///   computes with as many heads for it as all of them together (Helix, arXiv 2507.07120). Outside
///   attention they share heads and widths like tensor ranks.
/// - `attention_data` groups of tensor * context chips run the attention of their own requests.
/// Dense
///   blocks and shared experts are held by every group.
/// - `expert` runs of chips hold different experts; the ranks() / expert chips of a run share the
///   width of each. With several attention groups every chip is a run of its own, owns its share of
///   its group's rows, and sends rows to the experts they chose.
struct Sharding {
  std::int64_t tensor = 1;
  std::int64_t context = 1;
  std::int64_t attention_data = 1;
  std::int64_t expert = 1;
  /// Further copies of experts, one each of those with the most rows (DeepSeek-V3, arXiv
  /// 2412.19437, section 3.4): rows of an expert are divided over its copies.
  std::int64_t redundant_experts = 0;
  /// Chips of an attention group.
  [[nodiscard]] std::int64_t group_ranks() const { return tensor * context; }
  [[nodiscard]] std::int64_t ranks() const { return group_ranks() * attention_data; }
  /// Rows of hidden states are owned by single chips around experts.
  [[nodiscard]] bool sends_rows() const { return attention_data > 1; }
  bool operator==(const Sharding&) const = default;
};

/// One chip's place in a gang.
struct Shard {
  Sharding of;
  std::int64_t rank = 0;
  [[nodiscard]] bool is_whole() const { return of.ranks() == 1; }
  [[nodiscard]] std::int64_t group() const { return rank / of.group_ranks(); }
  /// Place within the attention group.
  [[nodiscard]] std::int64_t group_rank() const { return rank % of.group_ranks(); }
  [[nodiscard]] std::int64_t context_rank() const { return group_rank() / of.tensor; }
  [[nodiscard]] std::int64_t expert_rank() const { return rank / (of.ranks() / of.expert); }
  bool operator==(const Shard&) const = default;
};

/// A run of something of which a chip has a part.
struct ShareRange {
  std::int64_t begin = 0, end = 0;
  [[nodiscard]] std::int64_t size() const { return end - begin; }
};
/// Part `index` of `parts` of `total` things, earlier parts at most one longer.
[[nodiscard]] ShareRange share_of(std::int64_t total, std::int64_t parts, std::int64_t index);

/// Why a network cannot be shared so; empty where it can. Each line names the key and what would
/// do.
[[nodiscard]] std::vector<std::string> sharding_problems(const NeuralNetwork& network,
                                                         const Sharding& sharding);

/// A layer as one chip of the gang has it; the network can be shared so.
[[nodiscard]] LayerKind shard_of(const LayerKind& kind, const Shard& shard);

/// The layers as one chip of the gang has them: its heads, widths and experts (Experts::held). KV
/// heads fewer than tensor ranks are held more than once. Throws ModelError with the first of
/// sharding_problems().
[[nodiscard]] NeuralNetwork shard_of(const NeuralNetwork& network, const Shard& shard);

/// The experts of a layer that the chip holds where none has copies.
[[nodiscard]] ShareRange held_experts(const Experts& experts, const Shard& shard);

}  // namespace tandem
