// The mathematics of a decoder in the formats and the order of the LPU, as plain loops over lanes.
// Shares with the chip only element conversions, dot products and special functions.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sim/lower/weights.hpp"

namespace tandem::test {

/// A decoder evaluated token by token for one request, on vectors of `lanes`.
class LpuReference {
 public:
  LpuReference(const Weights& weights, ElementType weight_type, ElementType kv_type, int lanes);
  using Lanes = std::vector<float>;
  /// Logits after `token` at the next position.
  std::vector<float> forward(std::int32_t token);
  /// What operators gave in the first layer, or in the head, of the last forward(): "ffn norm",
  /// "rotated queries" (rounded), "attended", "gated", "hidden"; "logits", "best token".
  [[nodiscard]] const std::vector<float>& trace(const std::string& result) const {
    return trace_.at(result);
  }

  // The same in steps, for several chips that add up what each contributes (GangReference).
  [[nodiscard]] Lanes embed(std::int32_t token) const;
  /// What attention and the feed-forward network of a layer add to the hidden state.
  Lanes attention_part(std::size_t layer, const Lanes& hidden);
  /// `hidden`: of whole vectors.
  [[nodiscard]] Lanes feed_forward_part(std::size_t layer, const Lanes& hidden);
  /// Adds such a sum, with its bias and under its norm where the layer has one.
  void add_half(Lanes& hidden, Lanes sum, std::size_t layer, const std::string& norm) const;
  /// Squares of a layer's queries and of its keys, by lane, for norms over all heads; and the sums
  /// over the ranks of a gang of so many, which the next attention_part() uses in their place.
  [[nodiscard]] std::array<Lanes, 2> head_squares(std::size_t layer, const Lanes& hidden);
  void give_squares(const std::array<Lanes, 2>& sums, std::int64_t ranks);
  /// Ends the position.
  std::vector<float> logits(const Lanes& hidden);
  [[nodiscard]] std::size_t layers() const { return layers_.size(); }

 private:
  struct Matrix {  // padded: [output lanes][input lanes], rounded to the weight type
    std::vector<float> values;
    std::vector<std::uint8_t> codes{};  // of the values, where the type is fp8
    std::size_t outputs = 0, inputs = 0;
    float scale = 1;
  };
  struct Block {
    Matrix gate, up, down;
    Lanes gate_bias{}, up_bias{}, down_bias{};
  };
  struct Extras {
    Lanes bias;  // by lane of every vector
    Lanes norm;  // by channel of a head; by lane of every vector where all heads are normed
    bool all_heads = false;
    std::size_t which = 0;  // 0: queries, 1: keys
  };
  struct Turn {
    std::size_t partner = 0;
    float cosine = 1, sine = 0;
  };
  struct Layer {
    const LayerKind* kind = nullptr;
    Matrix q, k, v, o, gate;
    Extras query, key;
    Lanes value_bias, output_bias, sinks;
    Block dense, shared;
    Matrix router;  // and the gate of the shared experts behind it
    Lanes router_bias;
    Matrix query_down, kv_down, query_up;  // latent attention
    std::vector<Matrix> key_up, value_up;  // likewise, by head
    std::vector<Block> experts;
    std::vector<Lanes> expert_biases;  // of gate, up and down
    Lanes expert_factors;
    std::vector<Lanes> keys, values;  // by token, packed lanes of all packs; keys alone: latents
  };
  struct Choice {
    std::size_t expert = 0;
    Lanes weight;
  };

  Matrix make(const Tensor& tensor, const std::vector<std::int64_t>& outputs,
              const std::vector<std::int64_t>& inputs) const;
  [[nodiscard]] Matrix make(std::span<const float> values, std::int64_t width, float scale,
                            const std::vector<std::int64_t>& outputs,
                            const std::vector<std::int64_t>& inputs) const;
  [[nodiscard]] float scale_of(std::span<const float> values) const;
  void make_experts(Layer& layer, std::int64_t index) const;
  [[nodiscard]] std::vector<std::int64_t> natural(std::int64_t width) const;
  [[nodiscard]] std::vector<std::int64_t> packed(std::int64_t group) const;
  [[nodiscard]] float dot(const float* a, const float* b) const;
  [[nodiscard]] Lanes multiply(const Matrix& matrix, const Lanes& input, std::size_t live) const;
  [[nodiscard]] Lanes multiply(const Matrix& matrix, const Lanes& input, std::size_t live,
                               std::size_t first, std::size_t end) const;
  [[nodiscard]] Lanes multiply_codes(const Matrix& matrix, const Lanes& input, std::size_t begin,
                                     std::size_t end) const;
  [[nodiscard]] Lanes multiply_parts(const Matrix& matrix, const Lanes& input, std::size_t live,
                                     std::size_t at_once) const;
  [[nodiscard]] Lanes round(const Lanes& values, ElementType type) const;
  [[nodiscard]] Lanes sum_over_lanes(const Lanes& values) const;
  // Norms and dense blocks (lpu_reference_blocks.cpp).
  [[nodiscard]] static std::string prefix_of(std::size_t layer) {
    return "layers." + std::to_string(layer) + ".";
  }
  [[nodiscard]] Lanes mean_over_hidden(const Lanes& x) const;
  [[nodiscard]] Lanes plain_norm(const Lanes& x, const std::string& name) const;
  [[nodiscard]] Lanes norm(const Lanes& x, const std::string& name) const;
  [[nodiscard]] static float curve(ActivationKind kind, float x);
  void make_dense(Layer& layer, std::int64_t index) const;
  [[nodiscard]] Lanes dense_part(std::size_t index, const Lanes& x);
  [[nodiscard]] Lanes both_parts(std::size_t index, const Lanes& hidden);
  void make_queries(Layer& layer, std::int64_t index) const;
  void make_extras(Layer& layer, std::int64_t index) const;
  [[nodiscard]] Lanes gates_of(const Layer& layer, const Lanes& x) const;
  [[nodiscard]] Turn turn_of(std::size_t channel) const;
  void rotate(Lanes& x, float scale, const Extras& extras) const;
  [[nodiscard]] Lanes inverse_rms(const Lanes& x) const;
  [[nodiscard]] Lanes sum_of_squares(const Lanes& x) const;
  [[nodiscard]] Lanes inverse_of_all(const Lanes& x, const Extras& extras) const;
  [[nodiscard]] Lanes value_of(const Layer& layer, const Lanes& x, Lanes key) const;
  [[nodiscard]] static std::vector<std::int64_t> half_of_pairs(std::vector<std::int64_t> map,
                                                               std::int64_t width, int which);
  [[nodiscard]] float norm_weight(float stored) const;
  Lanes attend(Layer& layer, const Lanes& q, const Lanes& gates) const;
  Lanes attend_head(const Layer& layer, const Lanes& q, std::size_t vector, std::size_t head) const;
  [[nodiscard]] static std::size_t first_seen(const Layer& layer);
  [[nodiscard]] float weighted_sum(const std::vector<float>& p, const std::vector<float>& rest,
                                   const std::vector<float>& v) const;
  // Latent attention (lpu_reference_latent.cpp).
  struct LatentLanes;
  [[nodiscard]] static ops::AttentionShape heads_of(const Mixer& mixer);
  [[nodiscard]] static std::optional<ops::Rope> rope_of(const Mixer& mixer);
  void make_latent(Layer& layer, std::int64_t index) const;
  [[nodiscard]] Lanes latent_norm(const Lanes& x, const Tensor& weights) const;
  void append_latent(Layer& layer, std::int64_t index, const Lanes& x) const;
  [[nodiscard]] Lanes latent_query(const Layer& layer, const Lanes& up, std::size_t head) const;
  [[nodiscard]] float latent_score(const Lanes& own, const Lanes& rest, const Lanes& key) const;
  [[nodiscard]] Lanes mean_latent(const Layer& layer, const Lanes& query) const;
  Lanes latent_part(std::size_t index, const Lanes& hidden);
  // Mixtures of experts (lpu_reference_experts.cpp).
  /// `x`: what the experts see; `scored`: what the router does.
  [[nodiscard]] Lanes mix_experts(const Layer& layer, const Lanes& x, const Lanes& scored);
  [[nodiscard]] std::vector<Choice> choose(const Layer& layer, Lanes scores) const;
  [[nodiscard]] std::vector<bool> open_groups(const ops::Router& router, const Lanes& keys) const;
  [[nodiscard]] std::vector<Choice> weigh(const ops::Router& router, const Lanes& keys,
                                          const Lanes& scores,
                                          const std::vector<std::size_t>& order) const;
  [[nodiscard]] Lanes inner_of(const Layer& layer, const Block& block, const Lanes& x,
                               const Choice* choice, float shared_gate) const;
  [[nodiscard]] std::size_t router_vectors(const Experts& kind) const;
  [[nodiscard]] Lanes biases_of(const Layer& layer, const std::vector<Choice>& chosen) const;

  const Weights& weights_;
  const NeuralNetwork& network_;
  ops::AttentionShape attention_;
  std::optional<ops::Rope> rope_;
  ElementType type_, kv_type_;
  std::size_t lanes_;
  std::size_t head_dim_, pack_, group_, packs_;
  std::vector<Layer> layers_;
  Matrix head_;
  std::map<std::string, Lanes> trace_;
  std::int64_t position_ = 0;
  std::array<Lanes, 2> given_squares_;
  std::int64_t ranks_ = 1;
  Lanes bias_;  // joins the hidden state before the last part that was asked for
};

/// Ranks that each hold a share of the weights: contributions to the hidden state are added rank by
/// rank (within each of equal trays, then tray by tray), then to it.
class GangReference {
 public:
  GangReference(std::vector<Weights> shares, ElementType weight_type, ElementType kv_type,
                int lanes, std::size_t trays = 1);
  std::vector<float> forward(std::int32_t token);
  /// Adds the feed-forward half of a layer to a hidden state of whole vectors.
  void feed_forward(std::size_t layer, LpuReference::Lanes& hidden);

 private:
  void share_squares(std::size_t layer, const LpuReference::Lanes& hidden);
  /// What `part_of` gives for every rank, added up.
  [[nodiscard]] LpuReference::Lanes sum_of(
      const std::function<LpuReference::Lanes(LpuReference&)>& part_of);
  std::size_t trays_;
  std::vector<Weights> shares_;
  std::vector<LpuReference> ranks_;  // look into shares_
};

}  // namespace tandem::test
