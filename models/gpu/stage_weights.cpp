#include "models/gpu/stage_weights.hpp"

#include <fmt/format.h>

#include "sim/core/diagnostics.hpp"
#include "sim/lower/dense_weights.hpp"

namespace tandem::gpu {
namespace {

/// Appends rows [begin, end) of `tensor` (a vector counts as one row), rounded.
void append(WeightMatrix& matrix, const Tensor& tensor, std::int64_t width, std::int64_t begin,
            std::int64_t end, ElementType type, const char* name) {
  if (tensor.elements() < end * width || tensor.elements() % width != 0) {
    throw ModelError(fmt::format("gpu: weights '{}' have {} elements, needs rows of {} up to {}",
                                 name, tensor.elements(), width, end));
  }
  matrix.width = width;
  matrix.rows += end - begin;
  for (std::int64_t i = begin * width; i < end * width; ++i) {
    matrix.values.push_back(round_to(type, tensor.load(i)));
  }
}

WeightMatrix take(const Tensor& tensor, std::int64_t width, std::int64_t begin, std::int64_t end,
                  ElementType type, const char* name) {
  WeightMatrix matrix;
  append(matrix, tensor, width, begin, end, type, name);
  return matrix;
}

StageLayer cut_layer(const DenseDecoder& net, const DenseLayerWeights& layer, ElementType type) {
  StageLayer out;
  out.attention_norm = take(layer.attention_norm, net.hidden, 0, 1, type, "attention_norm");
  append(out.qkv, layer.wq, net.hidden, 0, net.q_width(), type, "wq");
  append(out.qkv, layer.wk, net.hidden, 0, net.kv_width(), type, "wk");
  append(out.qkv, layer.wv, net.hidden, 0, net.kv_width(), type, "wv");
  out.output = take(layer.wo, net.q_width(), 0, net.hidden, type, "wo");
  out.ffn_norm = take(layer.ffn_norm, net.hidden, 0, 1, type, "ffn_norm");
  append(out.gate_up, layer.w_gate, net.hidden, 0, net.intermediate, type, "w_gate");
  append(out.gate_up, layer.w_up, net.hidden, 0, net.intermediate, type, "w_up");
  out.down = take(layer.w_down, net.intermediate, 0, net.hidden, type, "w_down");
  return out;
}

}  // namespace

StageWeights cut_weights(const Stage& stage, const Weights& all) {
  const DenseDecoder net = dense_decoder_of(stage.network, "gpu");
  const DenseWeights weights = dense_weights_of(all, "gpu");
  const ElementType type = stage.precision.weights;
  const std::int64_t last = stage.first_layer + stage.layers;
  if (last > static_cast<std::int64_t>(weights.layers.size())) {
    throw ModelError(fmt::format("gpu: the stage ends at layer {}, the weights have {}", last,
                                 weights.layers.size()));
  }
  StageWeights out;
  if (stage.has_embedding) {
    out.embedding = take(weights.embedding, net.hidden, 0, net.vocabulary, type, "embedding");
  }
  for (std::int64_t i = stage.first_layer; i < last; ++i) {
    out.layers.push_back(cut_layer(net, weights.layers[static_cast<std::size_t>(i)], type));
  }
  if (stage.has_head()) {
    out.final_norm = take(weights.final_norm, net.hidden, 0, 1, type, "final_norm");
    out.head = take(weights.head, net.hidden, stage.head_begin, stage.head_end, type, "head");
  }
  return out;
}

}  // namespace tandem::gpu
