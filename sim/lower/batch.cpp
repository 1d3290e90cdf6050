#include "sim/lower/batch.hpp"

#include "sim/core/diagnostics.hpp"
#include "sim/core/hash.hpp"

namespace tandem {

std::int64_t Batch::tokens() const {
  std::int64_t total = 0;
  for (const SequenceSlice& slice : slices) total += slice.new_tokens;
  return total;
}

std::int64_t Batch::sampled() const {
  std::int64_t total = 0;
  for (const SequenceSlice& slice : slices) total += slice.wants_logits ? 1 : 0;
  return total;
}

std::int64_t Stage::weight_parameters() const {
  std::int64_t total = layers * network.layer_parameters();
  const bool shares_table = has_embedding && has_head() && network.tied_embeddings;
  if (has_embedding) total += network.embedding_parameters();
  if (has_head()) {
    total += network.hidden;
    if (!shares_table) total += (head_end - head_begin) * network.hidden;
  }
  return total;
}

Bytes Stage::weight_bytes() const {
  return Bytes(weight_parameters() * bytes_of(precision.weights));
}

Bytes Stage::kv_bytes_per_token() const {
  return Bytes(layers * network.kv_elements_per_token_and_layer() * bytes_of(precision.kv_cache));
}

std::uint64_t Stage::key() const {
  Hasher hash;
  hash.add(network.name).add(network.layers).add(network.hidden).add(network.heads);
  hash.add(network.kv_heads).add(network.head_dim).add(network.intermediate);
  hash.add(network.vocabulary).add(network.tied_embeddings).add(network.norm_epsilon);
  hash.add(network.rope_theta).add(network.rope_layout);
  hash.add(precision.weights).add(precision.kv_cache).add(precision.activations);
  hash.add(layers).add(has_embedding).add(head_begin).add(head_end);
  return hash.value();
}

Stage whole_model(const NeuralNetwork& network, const Precision& precision) {
  Stage stage;
  stage.network = network;
  stage.precision = precision;
  stage.layers = network.layers;
  stage.has_embedding = true;
  stage.head_end = network.vocabulary;
  return stage;
}

std::vector<Stage> partition_pipeline(const NeuralNetwork& network, const Precision& precision,
                                      std::int64_t pipeline, std::int64_t head_chips) {
  if (pipeline < 1 || pipeline > network.layers) {
    throw ModelError("placement: a pipeline needs between 1 and " + std::to_string(network.layers) +
                     " layer stages");
  }
  if (head_chips < 0 || head_chips > network.vocabulary) {
    throw ModelError("placement: the LM head can be split over 0 to " +
                     std::to_string(network.vocabulary) + " chips");
  }
  std::vector<Stage> stages;
  std::int64_t next_layer = 0;
  for (std::int64_t i = 0; i < pipeline; ++i) {
    Stage stage;
    stage.network = network;
    stage.precision = precision;
    stage.first_layer = next_layer;
    stage.layers = network.layers / pipeline + (i < network.layers % pipeline ? 1 : 0);
    stage.has_embedding = i == 0;
    next_layer += stage.layers;
    stages.push_back(stage);
  }
  if (head_chips == 0) stages.back().head_end = network.vocabulary;
  for (std::int64_t i = 0; i < head_chips; ++i) {
    Stage stage;
    stage.network = network;
    stage.precision = precision;
    stage.first_layer = network.layers;
    stage.head_begin = network.vocabulary * i / head_chips;
    stage.head_end = network.vocabulary * (i + 1) / head_chips;
    stages.push_back(stage);
  }
  return stages;
}

}  // namespace tandem
