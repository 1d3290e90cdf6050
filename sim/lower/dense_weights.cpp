#include "sim/lower/dense_weights.hpp"

namespace tandem {

DenseWeights dense_weights_of(const Weights& weights, std::string_view who) {
  check_weights(weights);
  DenseWeights view{dense_decoder_of(weights.network, who),
                    weights.at("embedding"),
                    {},
                    weights.at("final_norm"),
                    weights.head()};
  for (std::int64_t i = 0; i < view.network.layers; ++i) {
    view.layers.push_back({weights.layer(i, "attention_norm"), weights.layer(i, "attention.query"),
                           weights.layer(i, "attention.key"), weights.layer(i, "attention.value"),
                           weights.layer(i, "attention.output"), weights.layer(i, "ffn_norm"),
                           weights.layer(i, "ffn.gate"), weights.layer(i, "ffn.up"),
                           weights.layer(i, "ffn.down")});
  }
  return view;
}

}  // namespace tandem
