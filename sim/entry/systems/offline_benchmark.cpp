#include "sim/entry/systems/offline_benchmark.hpp"

#include <algorithm>
#include <cmath>

namespace tandem::entry {
namespace {

/// kv_cache_free_gpu_mem_fraction of the published runs.
constexpr double cache_share = 0.95;
/// BuildConfig's sizes, for formats that the heuristics do not know.
constexpr OfflineSizes default_sizes = {2048, 8192};

/// One attention head's worth of cache as a configuration file tells it.
struct ListedHeads {
  std::int64_t count = 0, width = 0;
};

ListedHeads listed_heads(const NeuralNetwork& network) {
  for (const LayerKind& kind : network.kinds) {
    if (const auto* grouped = std::get_if<GroupedAttention>(&kind.mixer)) {
      return {grouped->shape.kv_heads, grouped->shape.head_dim};
    }
    if (const auto* latent = std::get_if<LatentAttention>(&kind.mixer)) {
      return {latent->shape.heads, network.hidden / latent->shape.heads};
    }
  }
  return {};
}

bool is_four_bit(const WeightStorage& storage) {
  return storage.format != nullptr && storage.format->name == "nvfp4";
}

/// Elements in a checkpoint's tensors: two codes of four bits are one, and each scale is one.
double listed_elements(const NeuralNetwork& network, const Precision& precision) {
  double elements = 0;
  for (const TensorSpec& tensor : tensors_of(network)) {
    const WeightStorage storage = precision.storage_of(part_of(tensor), layer_of(tensor));
    elements += static_cast<double>(is_four_bit(storage) ? stored_bytes(tensor, storage)
                                                         : tensor.elements());
  }
  return elements;
}

/// Bytes of a weight as the heuristics take them; 0: a format that they do not know.
double weight_bytes(const Precision& precision) {
  const WeightStorage weights = precision.storage_of(WeightPart::Experts, 0);
  if (weights.format == nullptr) return bytes_of(weights.element);
  if (weights.format->name.starts_with("fp8")) return 1;
  return is_four_bit(weights) ? 0.5 : 0;
}

std::int64_t rounded_up(double value, std::int64_t step) {
  return static_cast<std::int64_t>(std::ceil(value / static_cast<double>(step))) * step;
}

std::int64_t batch_size(double requests) {
  if (requests < 256) return std::max<std::int64_t>(64, rounded_up(requests, 32));
  return rounded_up(requests, requests < 1024 ? 128 : 256);
}

std::int64_t batch_tokens(double tokens) {
  if (tokens < 4096) return std::max<std::int64_t>(2048, rounded_up(tokens, 256));
  return rounded_up(tokens, tokens < 8192 ? 512 : 1024);
}

/// Requests whose whole length fits beside the weights, all chips together.
double requests_with_room(const Scenario& scenario, double bytes_per_weight) {
  const PoolPlacement& pool = scenario.placement.decode;
  const Chip& chip = scenario.system.chips.at(scenario.system.group(pool.pool).chip);
  const double memory = chip.parameters.value("hbm_capacity") * static_cast<double>(pool.gang());
  const double weights = listed_elements(scenario.model, pool.precision) * bytes_per_weight;
  const ListedHeads heads = listed_heads(scenario.model);
  const double kept = 2.0 * static_cast<double>(scenario.model.pattern.size()) *
                      static_cast<double>(std::max(pool.gang(), heads.count) * heads.width) *
                      bytes_of(pool.precision.kv_cache);
  const auto tokens =
      static_cast<double>(scenario.traffic.prompt_tokens + scenario.traffic.output_tokens);
  return (memory - weights) * cache_share / (kept * tokens);
}

}  // namespace

OfflineSizes offline_sizes(const Scenario& scenario) {
  const std::int64_t prompt = scenario.traffic.prompt_tokens;
  const double tokens_per_answer_token =
      1 + static_cast<double>(prompt) / static_cast<double>(scenario.traffic.output_tokens);
  OfflineSizes sizes = default_sizes;
  const double bytes_per_weight = weight_bytes(scenario.placement.decode.precision);
  if (bytes_per_weight > 0) {
    constexpr double most_requests = 4096, most_tokens = 32768;
    const double requests = std::min(requests_with_room(scenario, bytes_per_weight), most_requests);
    sizes = {batch_size(requests),
             batch_tokens(std::min(requests * tokens_per_answer_token, most_tokens))};
  }
  // Prompts are not cut: a step takes the longest one beside all that decode.
  sizes.max_batch_tokens = std::max(sizes.max_batch_tokens, prompt + sizes.max_sequences);
  return sizes;
}

std::int64_t offline_requests(std::int64_t prompt, std::int64_t output) {
  const std::int64_t length = std::max(prompt, output);
  if (prompt == 128 && output == 128) return 30000;
  if (length >= 20000) return 1000;
  const bool is_short = length <= 1024 || prompt == 500 || prompt + output == 128 + 2048;
  return is_short ? 3000 : 1500;
}

}  // namespace tandem::entry
