// Keys of neural networks.
#include "sim/config/key_makers.hpp"
#include "sim/config/keys.hpp"

namespace tandem::config {
namespace {

using namespace make;

constexpr double widest = 1e6;   // of any dimension of a weight
constexpr double longest = 1e9;  // tokens

/// A width or a number of heads, experts, ... An empty fallback means that it is required.
KeySpec size(std::string name, std::string fallback, std::string doc, double minimum = 1) {
  return number(std::move(name), Dimension::Count, std::move(fallback), minimum, widest,
                std::move(doc));
}

std::vector<KeySpec> attention_keys(bool is_own) {
  const auto needed = [&](KeySpec key) {
    key.is_required = is_own;
    return key;
  };
  return {
      needed(size("heads", "", "Query heads.")),
      needed(size("kv_heads", "", "Key and value heads; divides `heads`.")),
      needed(size("head_dim", "", "Elements of one head.", 2)),
      number("softmax_dim", Dimension::Scalar, "head_dim", 1e-6, widest,
             "Scores are divided by the square root of this."),
      number("softcap", Dimension::Scalar, "0", 0, 1e6,
             "c: score becomes c tanh(score / c); 0: none."),
      choice("qk_norm", "none", {"none", "per_head", "all_heads"}, {},
             "RMSNorm of queries and keys before rotation, over each head or over all of them "
             "together."),
      flag("output_gate", "false", "Output times sigmoid of a gate that q_proj makes as well."),
      flag("sinks", "false", "A learned logit per head in the softmax."),
      flag("qkv_bias", "false", "Biases of the q, k and v projections."),
      flag("output_bias", "false", "Bias of the output projection."),
      flag("keys_are_values", "false", "One projection makes keys and values."),
      flag("value_norm", "false", "RMSNorm of values, without a weight."),
  };
}

std::vector<KeySpec> structure_keys() {
  return {
      required(text("source", "Where the shape comes from.")),
      number("layers", Dimension::Count, "", 1, 1e4, "Decoder layers."),
      size("hidden", "", "Width of the residual stream."),
      number("vocabulary", Dimension::Count, "", 2, 1e8, "Tokens."),
      number("max_context", Dimension::Count, "", 1, longest, "Longest sequence."),
      text_or("pattern", "F",
              "One letter per layer, repeated over the layers: L gated delta, F attention over "
              "all tokens, S sliding window."),
      number("dense_layers", Dimension::Count, "0", 0, 1e4,
             "First layers that take `ffn` where the others take `experts`."),
  };
}

std::vector<KeySpec> detail_keys() {
  return {
      flag("tied_embeddings", "false", "The LM head is the embedding table."),
      flag("learned_positions", "false", "A table of positions is added to the embedding."),
      flag("scaled_embeddings", "false", "Embeddings times the square root of `hidden`."),
      number("final_softcap", Dimension::Scalar, "0", 0, 1e6,
             "c: logit becomes c tanh(logit / c); 0: none."),
      flag("post_norms", "false", "Also norms of what attention and feed-forward add."),
      choice("activation", "silu", {"silu", "gelu", "gelu_tanh", "clamped_swiglu"}, {},
             "Of all feed-forward blocks."),
      choice("checkpoint_format", "bfloat16",
             {"bfloat16", "float16", "float32", "fp8_e4m3_block128x128", "mxfp4_experts",
              "int4_group32_experts"},
             {},
             "Of the published weights; `..._experts`: routed experts, and bfloat16 for the rest."),
  };
}

std::vector<KeySpec> part_keys() {
  return {
      keys("norm", "Of hidden states."),
      keys("rope", "Rotary embedding; none when left out."),
      keys("attention", "Of layers F; what `sliding_attention` leaves out."),
      keys("sliding_attention", "Of layers S: what differs from `attention`."),
      keys("latent_attention", "Of layers F, in place of `attention`."),
      keys("gated_delta", "Of layers L."),
      keys("ffn", "The dense feed-forward block."),
      keys("experts", "The mixture of experts."),
      keys("mtp", "Multi-token prediction."),
  };
}

Section scaling_section(const std::string& kind, const std::string& doc,
                        std::vector<KeySpec> keys) {
  Section section{kind + " scaling", doc, {choice("kind", "", {kind}, {}, "How.")}, {}, {}};
  section.keys.push_back(
      number("factor", Dimension::Scalar, "", 1, 1e6, "Stretch of the wavelengths."));
  section.keys.insert(section.keys.end(), keys.begin(), keys.end());
  return section;
}

KeySpec original_context() {
  return number("original_context", Dimension::Count, "", 1, longest, "Context of training.");
}

}  // namespace

Section model_section() {
  std::vector<KeySpec> all = with_head(structure_keys());
  for (const auto& more : {detail_keys(), part_keys()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  Section section{"model",
                  "A decoder: what its layers are made of, and which layers there are. A path "
                  "that ends in `.json` stands for a model too: a `config.json` as Hugging Face "
                  "has it.",
                  std::move(all),
                  {},
                  {}};
  for (const char* key : {"heads", "kv_heads", "head_dim"}) {
    section.elsewhere.emplace_back(key, std::string("attention: {") + key + ": ...}");
  }
  section.elsewhere.emplace_back("intermediate", "ffn: {intermediate: ...}");
  section.elsewhere.emplace_back("norm_epsilon", "norm: {epsilon: ...}");
  section.elsewhere.emplace_back("window", "sliding_attention: {window: ...}");
  section.elsewhere.emplace_back("router", "experts: {router: {...}}");
  section.elsewhere.emplace_back("indexer", "latent_attention: {indexer: {...}}");
  return section;
}

Section norm_section() {
  return {"norm",
          "Normalisation of hidden states.",
          {choice("kind", "rms", {"rms", "layer"}, {}, "RMSNorm or LayerNorm with a bias."),
           flag("one_plus_weight", "false", "y = (1 + w) x / rms(x), also in norms of q and k."),
           number("epsilon", Dimension::Scalar, "1e-5", 1e-12, 1, "Under the square root.")},
          {},
          {}};
}

Section attention_section() {
  return {"attention", "Grouped-query attention over all tokens.", attention_keys(true), {}, {}};
}

Section sliding_attention_section() {
  Section section{"sliding_attention",
                  "Grouped-query attention over a window; what is left out is as in `attention`.",
                  {number("window", Dimension::Count, "", 1, longest,
                          "A query sees its own key and the window - 1 before.")},
                  {},
                  {}};
  for (const KeySpec& key : attention_keys(false)) section.keys.push_back(key);
  section.keys.push_back(keys("rope", "In place of the model's `rope`."));
  return section;
}

Section latent_attention_section() {
  return {"latent_attention",
          "Multi-head latent attention: the cache holds `kv_rank` + `rope_dim` elements per token.",
          {size("heads", "", "Query heads."),
           size("query_rank", "0", "Width that queries are made from; 0: the hidden state.", 0),
           size("kv_rank", "", "Width that keys and values are made from."),
           size("nope_dim", "", "Part of a query and key head that does not rotate."),
           size("rope_dim", "", "Part that does; one key of it serves all heads."),
           size("value_dim", "", "Elements of a value head."),
           keys("indexer", "Sparse attention: chooses the keys that count.")},
          {},
          {}};
}

Section indexer_section() {
  return {"indexer",
          "The indexer of DeepSeek Sparse Attention.",
          {size("heads", "", "Heads of the index queries."),
           size("head_dim", "", "Elements of an index key, which the cache holds as well."),
           number("top_k", Dimension::Count, "", 1, longest, "Keys that a query attends to.")},
          {},
          {}};
}

Section gated_delta_section() {
  return {"gated_delta",
          "Gated DeltaNet.",
          {size("key_heads", "", "Heads of q and k."),
           size("value_heads", "", "Heads of v; a multiple of `key_heads`."),
           size("key_dim", "", "Elements of a key head."),
           size("value_dim", "", "Elements of a value head."),
           size("conv_taps", "4", "Of the convolution over q, k and v."),
           size("chunk", "64", "Tokens per chunk of prefill.")},
          {},
          {}};
}

Section rope_section() {
  return {"rope",
          "Rotary position embedding.",
          {number("theta", Dimension::Scalar, "", 1, 1e12, "Base of the wavelengths; more than 1."),
           number("rotated", Dimension::Count, "all", 2, widest,
                  "Dimensions of a head that rotate; even."),
           choice("layout", "half_split", {"interleaved", "half_split"}, {},
                  "Pairs rotated: (2i, 2i+1), or (i, i + rotated / 2)."),
           choice("partial", "first_dims", {"first_dims", "proportional"}, {},
                  "Where not all rotate: the first ones, as a head of that width; or the first "
                  "pairs of the whole head, at the whole head's frequencies."),
           keys("scaling", "Frequency scaling: llama3, yarn or linear; none when left out.")},
          {},
          {}};
}

Section rope_scaling_section(std::string_view kind) {
  if (kind == "llama3") {
    return scaling_section(
        "llama3", "Wavelengths above original_context / low_frequency_factor times `factor`.",
        {number("low_frequency_factor", Dimension::Scalar, "", 1e-6, 1e6, "Upper bound."),
         number("high_frequency_factor", Dimension::Scalar, "", 1e-6, 1e6, "Lower bound."),
         original_context()});
  }
  if (kind == "yarn") {
    return scaling_section(
        "yarn",
        "Blend of kept and stretched wavelengths, arXiv 2309.00071. Cosine and sine are "
        "multiplied by m(mscale) / m(mscale_all), the softmax scale of latent attention by "
        "m(mscale_all)^2; m(s) = 0.1 s ln(factor) + 1.",
        {original_context(),
         number("beta_fast", Dimension::Scalar, "32", 1e-6, 1e6, "Turns that are kept."),
         number("beta_slow", Dimension::Scalar, "1", 1e-6, 1e6, "Turns that are stretched."),
         flag("truncate", "true", "The bounds are whole pairs."),
         number("mscale", Dimension::Scalar, "1", 0, 100, "Above."),
         number("mscale_all", Dimension::Scalar, "0", 0, 100, "Above.")});
  }
  return scaling_section("linear", "All wavelengths times `factor`.", {});
}

Section ffn_section() {
  return {"ffn",
          "A dense feed-forward block.",
          {size("intermediate", "", "Width."),
           flag("gated", "true", "down(act(gate x) * up x); else down(act(up x))."),
           flag("bias", "false", "Biases of its projections.")},
          {},
          {}};
}

Section experts_section() {
  return {"experts",
          "A mixture of experts, each a gated block.",
          {size("count", "", "Routed experts."), size("top_k", "", "Of them, that a token takes."),
           size("intermediate", "", "Width of one."),
           size("shared", "0", "Further experts that every token takes.", 0),
           size("shared_intermediate", "shared x intermediate", "Width of all shared ones."),
           flag("shared_gate", "false", "Output of the shared ones times sigmoid(w . x)."),
           flag("bias", "false", "Biases of the routed experts' projections."),
           flag("beside_ffn", "false", "Added to `ffn` in every layer (Gemma 4)."),
           required(keys("router", "How experts are chosen and weighted."))},
          {},
          {}};
}

Section router_section() {
  return {"router",
          "softmax_topk: softmax over all, the largest. topk_softmax: the largest, softmax over "
          "them. sigmoid_bias: sigmoid, the largest after adding a bias.",
          {choice("rule", "", {"softmax_topk", "topk_softmax", "sigmoid_bias"}, {}, "Above."),
           flag("renormalise", "true", "Weights divided by their sum."),
           number("scale", Dimension::Scalar, "1", 1e-6, 1e6, "Of the weights."),
           flag("bias", "false", "sigmoid_bias: for the choice only; others: on the logits."),
           size("groups", "1", "Equal runs of experts."),
           size("top_groups", "1", "Of them, that may be chosen from."),
           choice("group_score", "best", {"best", "sum_of_top2"}, {}, "Score of a group."),
           choice("group_mask", "minus_infinity", {"minus_infinity", "zero"}, {},
                  "In place of the scores of other groups."),
           flag("norm", "false", "Sees RMSNorm(x) w / sqrt(hidden) (Gemma 4)."),
           flag("expert_scale", "false", "A learned factor per expert on its weight (Gemma 4).")},
          {},
          {}};
}

Section mtp_section() {
  return {"mtp",
          "Modules that predict further tokens, each with one layer like the last.",
          {size("modules", "", "How many.")},
          {},
          {}};
}

}  // namespace tandem::config
