#include "sim/lower/sharding.hpp"

#include <algorithm>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

/// Collects what does not divide.
class Divider {
 public:
  explicit Divider(std::string name) : name_(std::move(name)) {}
  void demand(std::string_view what, std::int64_t count, std::string_view parts_name,
              std::int64_t parts) {
    if (count % parts == 0) return;
    std::string text = name_ + " has " + std::to_string(count) + " ";
    text.append(what).append(", which ").append(parts_name);
    add(text + " = " + std::to_string(parts) + " does not divide");
  }
  void add(const std::string& problem) {
    if (std::find(problems_.begin(), problems_.end(), problem) == problems_.end()) {
      problems_.push_back(problem);
    }
  }
  [[nodiscard]] std::vector<std::string> take() { return std::move(problems_); }

 private:
  std::string name_;
  std::vector<std::string> problems_;
};

constexpr std::string_view group_name = "tensor x context";

void check_mixer(const GroupedAttention& a, const Sharding& s, Divider& divider) {
  divider.demand("attention heads", a.shape.heads, group_name, s.group_ranks());
  const std::int64_t kv = a.shape.kv_heads;
  if (kv % s.tensor != 0 && s.tensor % kv != 0) divider.demand("KV heads", kv, "tensor", s.tensor);
}

void check_mixer(const LatentAttention& a, const Sharding& s, Divider& divider) {
  divider.demand("attention heads", a.shape.heads, group_name, s.group_ranks());
  if (a.indexer && s.context > 1) {
    divider.add("sparse attention cannot share its cached tokens yet; leave 'context' out");
  }
}

void check_mixer(const GatedDelta& d, const Sharding& s, Divider& divider) {
  divider.demand("key heads of gated delta layers", d.shape.key_heads, group_name, s.group_ranks());
}

void check_mixer(const MixerElsewhere&, const Sharding&, Divider&) {}

void check_experts(const Experts& experts, const Sharding& s, Divider& divider) {
  const std::int64_t copies = s.redundant_experts;
  divider.demand(copies > 0 ? "experts with redundant ones" : "experts",
                 experts.router.experts + copies, "expert", s.expert);
  if (copies > experts.router.experts) {
    divider.add("'redundant_experts' is " + std::to_string(copies) + ", at most one for each of " +
                std::to_string(experts.router.experts));
  }
  if (s.ranks() % s.expert != 0) {
    divider.add("'expert' is " + std::to_string(s.expert) + ", which must divide the " +
                std::to_string(s.ranks()) + " chips of tensor x context x attention_data");
    return;
  }
  if (s.sends_rows() && s.expert != s.ranks()) {
    divider.add("with attention_data every chip holds experts of its own: 'expert' must be " +
                std::to_string(s.ranks()));
  }
  divider.demand("columns per expert", experts.intermediate, "the chips that share one",
                 s.ranks() / s.expert);
  if (experts.shared > 0 && !s.sends_rows()) {
    divider.demand("columns of shared experts", experts.shared_intermediate, group_name,
                   s.group_ranks());
  }
}

void check_kind(const LayerKind& kind, const Sharding& s, Divider& divider) {
  std::visit([&](const auto& mixer) { check_mixer(mixer, s, divider); }, kind.mixer);
  if (kind.ffn.intermediate > 0) {
    divider.demand("columns of dense blocks", kind.ffn.intermediate, group_name, s.group_ranks());
  }
  if (kind.ffn.experts) check_experts(*kind.ffn.experts, s, divider);
  if (kind.ffn.experts && kind.ffn.intermediate > 0 && s.sends_rows() && s.group_ranks() > 1) {
    // Chips own single rows there, while a dense block shared by columns needs all of them.
    divider.add(
        "a dense block beside experts cannot be shared within an attention group: with "
        "'attention_data', leave 'tensor' and 'context' out");
  }
}

void cut(GroupedAttention& a, const Sharding& s) {
  a.shape.heads /= s.group_ranks();
  a.shape.kv_heads = std::max<std::int64_t>(1, a.shape.kv_heads / s.tensor);
}

void cut(LatentAttention& a, const Sharding& s) {
  a.shape.heads /= s.group_ranks();
}

void cut(MixerElsewhere&, const Sharding&) {}

void cut(GatedDelta& d, const Sharding& s) {
  d.shape.key_heads /= s.group_ranks();
  d.shape.value_heads /= s.group_ranks();
}

}  // namespace

ShareRange share_of(std::int64_t total, std::int64_t parts, std::int64_t index) {
  const std::int64_t each = total / parts;
  const std::int64_t longer = total % parts;
  const std::int64_t begin = index * each + std::min(index, longer);
  return {begin, begin + each + (index < longer ? 1 : 0)};
}

std::vector<std::string> sharding_problems(const NeuralNetwork& network, const Sharding& s) {
  Divider divider(network.name);
  bool has_experts = false;
  for (const LayerKind& kind : network.kinds) {
    check_kind(kind, s, divider);
    has_experts = has_experts || kind.ffn.experts.has_value();
  }
  if (!has_experts && (s.expert > 1 || s.redundant_experts > 0)) {
    divider.add(network.name + " has no experts; leave 'expert' out");
  }
  return divider.take();
}

LayerKind shard_of(const LayerKind& kind, const Shard& shard) {
  if (shard.is_whole()) return kind;
  LayerKind own = kind;
  const Sharding& s = shard.of;
  std::visit([&](auto& mixer) { cut(mixer, s); }, own.mixer);
  own.ffn.intermediate /= s.group_ranks();
  if (own.ffn.experts) {
    Experts& experts = *own.ffn.experts;
    experts.held = (experts.router.experts + s.redundant_experts) / s.expert;
    experts.intermediate /= s.ranks() / s.expert;
    if (!s.sends_rows()) experts.shared_intermediate /= s.group_ranks();
  }
  return own;
}

NeuralNetwork shard_of(const NeuralNetwork& network, const Shard& shard) {
  if (shard.is_whole()) return network;
  const std::vector<std::string> problems = sharding_problems(network, shard.of);
  if (!problems.empty()) throw ModelError("placement: " + problems.front());
  NeuralNetwork own = network;
  for (LayerKind& kind : own.kinds) kind = shard_of(kind, shard);
  return own;
}

ShareRange held_experts(const Experts& experts, const Shard& shard) {
  return share_of(experts.router.experts, shard.of.expert, shard.expert_rank());
}

}  // namespace tandem
