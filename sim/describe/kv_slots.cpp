#include "sim/describe/kv_slots.hpp"

#include "sim/core/diagnostics.hpp"
#include "sim/core/overloaded.hpp"

namespace tandem {
namespace {

using formats::KvFormat;

KvSlots unchecked(const Mixer& mixer, const Precision& precision) {
  const KvFormat* format = precision.kv_format;
  return std::visit(
      Overloaded{
          [&](const GroupedAttention& a) {
            return KvSlots{format, {a.shape.head_dim, a.shape.head_dim}, a.shape.kv_heads};
          },
          [&](const LatentAttention& a) {
            return KvSlots{format, {a.shape.rope_dim, a.shape.kv_rank, precision.kv_cache}, 1};
          },
          [](const GatedDelta&) { return KvSlots{}; },
          [](const MixerElsewhere&) { return KvSlots{}; }},
      mixer);
}

std::string problem_of(const Mixer& mixer, const KvSlots& slots) {
  if (!slots.is_coded()) return {};
  const auto* latent = std::get_if<LatentAttention>(&mixer);
  if (latent != nullptr && latent->indexer) {
    return "the keys of a sparse attention's indexer have no format; write an element type, e.g. "
           "bfloat16";
  }
  return formats::kv_problem(*slots.format, slots.head);
}

}  // namespace

std::int64_t KvSlots::bytes_per_token() const {
  return is_coded() ? per_token * formats::slot_bytes(*format, head) : 0;
}

KvSlots slots_of(const Mixer& mixer, const Precision& precision) {
  const KvSlots slots = unchecked(mixer, precision);
  const std::string problem = problem_of(mixer, slots);
  if (!problem.empty()) throw ModelError("KV cache: " + problem);
  return slots;
}

std::string kv_problem(const NeuralNetwork& network, const Precision& precision) {
  for (const LayerKind& kind : network.kinds) {
    std::string problem = problem_of(kind.mixer, unchecked(kind.mixer, precision));
    if (!problem.empty()) return problem;
  }
  return {};
}

std::int64_t cached_bytes_per_token(const LayerKind& held, const Precision& precision) {
  const KvSlots slots = slots_of(held.mixer, precision);
  if (slots.is_coded()) return slots.bytes_per_token();
  return (kv_elements_per_token(held) + index_elements_per_token(held)) *
         bytes_of(precision.kv_cache);
}

bool evicts(const Mixer& mixer) {
  if (const auto* attention = std::get_if<GroupedAttention>(&mixer)) {
    return attention->shape.window == 0;
  }
  const auto* latent = std::get_if<LatentAttention>(&mixer);
  return latent != nullptr && !latent->indexer;
}

std::string eviction_problem(const NeuralNetwork& network) {
  for (const LayerKind& kind : network.kinds) {
    const auto* latent = std::get_if<LatentAttention>(&kind.mixer);
    if (latent == nullptr || !latent->indexer) continue;
    return "sparse attention chooses among all tokens that were cached; leave 'eviction' out";
  }
  return {};
}

// Heads that share latents share what is kept of them.
std::int64_t attention_sum_bytes(const LayerKind& held, const Eviction& eviction) {
  if (!eviction.sums_attention() || !evicts(held.mixer)) return 0;
  const auto* attention = std::get_if<GroupedAttention>(&held.mixer);
  return (attention == nullptr ? 1 : attention->shape.kv_heads) * bytes_of(ElementType::Float32);
}

}  // namespace tandem
