// Are published checkpoints turned into the network's own tensors? Each test stores seeded weights
// as one architecture publishes them, by names and layouts written out here, and reads them back.
#include "tests/lower/published.hpp"

#include "sim/lower/huggingface_names.hpp"

namespace tandem {
namespace {

using test::made;
using test::Names;
using test::Published;
using test::published_attention;
using test::Tensors;

const Names deepseek{{"attention_norm", "input_layernorm.weight"},
                     {"attention.query_down", "self_attn.q_a_proj.weight"},
                     {"attention.query_norm", "self_attn.q_a_layernorm.weight"},
                     {"attention.query_up", "self_attn.q_b_proj.weight"},
                     {"attention.kv_down", "self_attn.kv_a_proj_with_mqa.weight"},
                     {"attention.kv_norm", "self_attn.kv_a_layernorm.weight"},
                     {"attention.kv_up", "self_attn.kv_b_proj.weight"},
                     {"attention.output", "self_attn.o_proj.weight"},
                     {"ffn_norm", "post_attention_layernorm.weight"},
                     {"ffn.gate", "mlp.gate_proj.weight"},
                     {"ffn.up", "mlp.up_proj.weight"},
                     {"ffn.down", "mlp.down_proj.weight"},
                     {"experts.router", "mlp.gate.weight"},
                     {"experts.router_bias", "mlp.gate.e_score_correction_bias"},
                     {"shared.gate", "mlp.shared_experts.gate_proj.weight"},
                     {"shared.up", "mlp.shared_experts.up_proj.weight"},
                     {"shared.down", "mlp.shared_experts.down_proj.weight"},
                     {"embedding_norm", "enorm.weight"},
                     {"hidden_norm", "hnorm.weight"},
                     {"combine", "eh_proj.weight"},
                     {"final_norm", "shared_head.norm.weight"}};

const Names qwen{{"delta.qkv", "linear_attn.in_proj_qkv.weight"},
                 {"delta.z", "linear_attn.in_proj_z.weight"},
                 {"delta.a", "linear_attn.in_proj_a.weight"},
                 {"delta.b", "linear_attn.in_proj_b.weight"},
                 {"delta.a_log", "linear_attn.A_log"},
                 {"delta.dt_bias", "linear_attn.dt_bias"},
                 {"delta.norm", "linear_attn.norm.weight"},
                 {"delta.output", "linear_attn.out_proj.weight"},
                 {"experts.router", "mlp.gate.weight"},
                 {"shared.gate", "mlp.shared_expert.gate_proj.weight"},
                 {"shared.up", "mlp.shared_expert.up_proj.weight"},
                 {"shared.down", "mlp.shared_expert.down_proj.weight"},
                 {"shared.switch", "mlp.shared_expert_gate.weight"}};

TEST_F(Published, own_names_are_read_as_they_are) {
  const Weights weights = test::seeded_weights(test::gpt3_tiny());
  expect_read_back(weights, weights.tensors);
  Tensors damaged = weights.tensors;
  damaged.insert_or_assign("final_norm", Tensor(ElementType::Float32, {7}));
  write_safetensors(path_, damaged);
  EXPECT_THROW((void)read_checkpoint(path_, weights.network), ConfigError);
}

TEST_F(Published, gemma_with_norms_before_and_after_each_half) {
  const Weights weights = test::seeded_weights(test::gemma3_tiny());
  Names names = published_attention;
  names["ffn_norm"] = "pre_feedforward_layernorm.weight";
  names["attention_post_norm"] = "post_attention_layernorm.weight";
  names["ffn_post_norm"] = "post_feedforward_layernorm.weight";
  Tensors out;
  outside(weights, out);
  for (std::int64_t i = 0; i < 2; ++i) rename(weights, ours(i), theirs(i), names, out);
  expect_read_back(weights, out);
}

TEST_F(Published, gemma4_with_experts_beside_the_dense_block) {
  const Weights weights = test::seeded_weights(test::gemma4_tiny());
  Names names = published_attention;
  names["ffn_norm"] = "pre_feedforward_layernorm.weight";
  names["attention_post_norm"] = "post_attention_layernorm.weight";
  names["ffn_post_norm"] = "post_feedforward_layernorm.weight";
  names["ffn.post_norm"] = "post_feedforward_layernorm_1.weight";
  names["experts.norm"] = "pre_feedforward_layernorm_2.weight";
  names["experts.post_norm"] = "post_feedforward_layernorm_2.weight";
  names["experts.router"] = "router.proj.weight";
  names["experts.router_norm"] = "router.scale";
  names["experts.scale"] = "router.per_expert_scale";
  names["experts.down"] = "experts.down_proj";
  Tensors out;
  outside(weights, out);
  for (std::int64_t i = 0; i < 3; ++i) {
    rename(weights, ours(i), theirs(i), names, out);
    const Tensor& gate = weights.layer(i, "experts.gate");  // [6, 10, 36]
    const Tensor& up = weights.layer(i, "experts.up");
    out.emplace(theirs(i) + "experts.gate_up_proj", made({6, 20, 36}, [&](std::int64_t at) {
                  const std::int64_t expert = at / 720;
                  const std::int64_t in_expert = at % 720;
                  return in_expert < 360 ? gate.load(expert * 360 + in_expert)
                                         : up.load(expert * 360 + in_expert - 360);
                }));
    out.emplace(theirs(i) + "layer_scalar", made({1}, [](std::int64_t) { return 1.0F; }));
  }
  expect_read_back(weights, out);
  out.insert_or_assign(theirs(1) + "layer_scalar", made({1}, [](std::int64_t) { return 0.5F; }));
  write_safetensors(path_, out);
  EXPECT_THROW((void)read_checkpoint(path_, weights.network), ModelError);
}

TEST_F(Published, deepseek_with_its_module_as_a_further_layer) {
  const Weights weights = test::seeded_weights(test::dsv3_tiny());
  const std::array<const char*, 3> parts{"gate_proj", "up_proj", "down_proj"};
  Tensors out;
  outside(weights, out);
  for (std::int64_t i = 0; i < 3; ++i) rename(weights, ours(i), theirs(i), deepseek, out);
  rename(weights, "mtp.0.", theirs(3), deepseek, out);
  split_experts(weights, ours(1), theirs(1) + "mlp.experts.", parts, out);
  split_experts(weights, ours(2), theirs(2) + "mlp.experts.", parts, out);
  split_experts(weights, "mtp.0.", theirs(3) + "mlp.experts.", parts, out);
  expect_read_back(weights, out);

  out.erase(theirs(2) + "mlp.experts.7.up_proj.weight");
  write_safetensors(path_, out);
  try {
    (void)read_checkpoint(path_, weights.network);
    ADD_FAILURE() << "a missing expert was not missed";
  } catch (const ConfigError& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find("model.layers.2.mlp.experts.7.up_proj.weight"), std::string::npos) << what;
  }
}

TEST_F(Published, mixtral_names_of_experts) {
  Weights weights = test::seeded_weights(test::minimax_tiny());
  Names names = published_attention;
  names["experts.router"] = "block_sparse_moe.gate.weight";
  names["experts.router_bias"] = "block_sparse_moe.e_score_correction_bias";
  Tensors out;
  outside(weights, out);
  for (std::int64_t i = 0; i < 2; ++i) {
    rename(weights, ours(i), theirs(i), names, out);
    split_experts(weights, ours(i), theirs(i) + "block_sparse_moe.experts.", {"w1", "w3", "w2"},
                  out);
  }
  expect_read_back(weights, out);
}

/// Everything of qwen35-tiny but the experts and the input projections of gated delta layers.
Tensors qwen_base(const Weights& weights, const Names& names) {
  Tensors out;
  out.emplace("model.embed_tokens.weight", weights.at("embedding"));
  out.emplace("model.norm.weight", weights.at("final_norm"));
  out.emplace("lm_head.weight", weights.at("head"));
  out.emplace("mtp.pre_fc_norm_embedding.weight", weights.at("mtp.0.embedding_norm"));
  out.emplace("mtp.pre_fc_norm_hidden.weight", weights.at("mtp.0.hidden_norm"));
  out.emplace("mtp.fc.weight", weights.at("mtp.0.combine"));
  out.emplace("mtp.norm.weight", weights.at("mtp.0.final_norm"));
  for (const auto& [name, tensor] : weights.tensors) {
    const bool is_module = name.starts_with("mtp.0.");
    if (!is_module && !name.starts_with("layers.")) continue;
    const std::size_t head = is_module ? 6 : 9;  // "mtp.0.", "layers.N."
    const std::string prefix = is_module ? "mtp.layers.0." : "model." + name.substr(0, head);
    const auto found = names.find(name.substr(head));
    if (found != names.end()) out.emplace(prefix + found->second, tensor);
    if (name.ends_with("delta.conv")) {  // [channels, 1, taps]
      Tensor conv(ElementType::Float32, {tensor.dim(0), 1, tensor.dim(1)});
      std::ranges::copy(tensor.floats(), conv.floats().begin());
      out.emplace(prefix + "linear_attn.conv1d.weight", conv);
    }
  }
  return out;
}

TEST_F(Published, qwen35_with_separate_projections_and_fused_experts) {
  const Weights weights = test::seeded_weights(test::qwen35_tiny());
  Names names = published_attention;
  names.insert(qwen.begin(), qwen.end());
  names["experts.down"] = "mlp.experts.down_proj";
  Tensors out = qwen_base(weights, names);
  for (const std::string prefix : {"layers.0.", "layers.1.", "layers.2.", "layers.3.", "mtp.0."}) {
    const Tensor& gate = weights.at(prefix + "experts.gate");  // [8, 12, 32]
    const Tensor& up = weights.at(prefix + "experts.up");
    out.emplace(
        (prefix == "mtp.0." ? "mtp.layers.0." : "model." + prefix) + "mlp.experts.gate_up_proj",
        made({8, 24, 32}, [&](std::int64_t at) {
          const std::int64_t expert = at / 768;
          const std::int64_t in_expert = at % 768;
          return in_expert < 384 ? gate.load(expert * 384 + in_expert)
                                 : up.load(expert * 384 + in_expert - 384);
        }));
  }
  expect_read_back(weights, out);
}

TEST_F(Published, qwen3_next_with_projections_interleaved_per_key_head) {
  const Weights weights = test::seeded_weights(test::qwen35_tiny());
  Names names = published_attention;
  names.insert(qwen.begin(), qwen.end());
  for (const char* fused : {"delta.qkv", "delta.z", "delta.a", "delta.b"}) names.erase(fused);
  Tensors out = qwen_base(weights, names);
  const std::array<const char*, 3> parts{"gate_proj", "up_proj", "down_proj"};
  for (std::int64_t i = 0; i < 4; ++i) {
    split_experts(weights, ours(i), theirs(i) + "mlp.experts.", parts, out);
    if (i == 3) continue;
    // 2 key heads of 16, 4 value heads of 16: rows of a key head are 16 q, 16 k, 32 v, 32 z; the
    // rows of qkv are 32 q, 32 k, 64 v.
    const Tensor& qkv = weights.layer(i, "delta.qkv");
    const Tensor& z = weights.layer(i, "delta.z");
    out.emplace(theirs(i) + "linear_attn.in_proj_qkvz.weight",
                made({192, 32}, [&](std::int64_t at) {
                  const std::int64_t head = at / 32 / 96;
                  const std::int64_t row = at / 32 % 96;
                  const std::int64_t column = at % 32;
                  if (row < 16) return qkv.load((head * 16 + row) * 32 + column);
                  if (row < 32) return qkv.load((32 + head * 16 + row - 16) * 32 + column);
                  if (row < 64) return qkv.load((64 + head * 32 + row - 32) * 32 + column);
                  return z.load((head * 32 + row - 64) * 32 + column);
                }));
    const Tensor& b = weights.layer(i, "delta.b");
    const Tensor& a = weights.layer(i, "delta.a");
    out.emplace(theirs(i) + "linear_attn.in_proj_ba.weight",
                made({8, 32}, [&](std::int64_t at) {  // per key head: 2 b, 2 a
                  const std::int64_t head = at / 32 / 4;
                  const std::int64_t row = at / 32 % 4;
                  const Tensor& from = row < 2 ? b : a;
                  return from.load((head * 2 + row % 2) * 32 + at % 32);
                }));
  }
  split_experts(weights, "mtp.0.", "mtp.layers.0.mlp.experts.", parts, out);
  expect_read_back(weights, out);
}

TEST_F(Published, every_tensor_of_every_kind_of_layer_has_a_published_name) {
  for (const NeuralNetwork& network : test::tiny_networks()) {
    if (network.norm.kind == NormKind::Layer) continue;  // GPT-3 was never published
    for (const LayerKind& kind : network.kinds) {
      for (const TensorSpec& tensor : tensors_of(network, kind)) {
        if (tensor.role == TensorRole::Expert) continue;  // put together from others
        EXPECT_FALSE(huggingface_names(kind, tensor.name).empty())
            << network.name << " " << tensor.name;
      }
    }
  }
}

TEST_F(Published, every_wrong_tensor_is_named_at_once) {
  const Weights weights = test::seeded_weights(test::minimax_tiny());
  Names names = published_attention;
  names["experts.router"] = "block_sparse_moe.gate.weight";
  names["experts.router_bias"] = "block_sparse_moe.e_score_correction_bias";
  Tensors out;
  outside(weights, out);
  for (std::int64_t i = 0; i < 2; ++i) {
    rename(weights, ours(i), theirs(i), names, out);
    split_experts(weights, ours(i), theirs(i) + "block_sparse_moe.experts.", {"w1", "w3", "w2"},
                  out);
  }
  const Tensor wrong(ElementType::Float32, {7});
  Tensors damaged = out;
  damaged.erase("model.norm.weight");
  damaged.insert_or_assign("model.layers.0.self_attn.k_proj.weight", wrong);
  damaged.erase("model.layers.1.block_sparse_moe.experts.2.w1.weight");
  damaged.erase("model.layers.1.block_sparse_moe.experts.3.w1.weight");
  damaged.emplace("model.layers.1.self_attn.q_proj.bias", wrong);
  damaged.emplace("model.layers.2.input_layernorm.weight", wrong);
  damaged.emplace("model.layers.0.self_attn.rotary_emb.inv_freq", wrong);  // harmless
  damaged.emplace("vision_tower.patch.weight", wrong);                     // of another part
  write_safetensors(path_, damaged);
  const std::vector<std::string> found = complaints_of(weights.network);
  ASSERT_EQ(found.size(), 6U);
  for (const char* part :
       {"'model.norm.weight'", "'layers.0.attention.key' of 'minimax-tiny' is [7]",
        "layers.1.mlp.experts.2.gate_proj.weight", "layers.1.mlp.experts.3.gate_proj.weight",
        "no place for tensor 'model.layers.1.self_attn.q_proj.bias'",
        "no place for tensor 'model.layers.2.input_layernorm.weight'"}) {
    EXPECT_TRUE(std::any_of(found.begin(), found.end(), [&](const std::string& message) {
      return message.find(part) != std::string::npos;
    })) << part;
  }
}

TEST_F(Published, a_long_list_of_wrong_tensors_is_cut_off) {
  const Weights weights = test::seeded_weights(test::minimax_tiny());
  Tensors damaged{{"embedding", weights.at("embedding")}};
  for (int i = 0; i < 4; ++i) damaged.emplace("more." + std::to_string(i), damaged.at("embedding"));
  write_safetensors(path_, damaged);
  const std::vector<std::string> found = complaints_of(weights.network);
  ASSERT_EQ(found.size(), 21U);
  // All tensors but the embedding are missing, and 4 have no place.
  const std::size_t wrong = weights.tensors.size() - 1 + 4;
  EXPECT_EQ(found.back(), "and " + std::to_string(wrong - 20) + " more");
}

TEST_F(Published, what_cannot_be_read_says_so) {
  const Weights weights = test::seeded_weights(test::minimax_tiny());
  write_safetensors(path_, {{"something", weights.at("embedding")}});
  EXPECT_THROW((void)read_checkpoint(path_, weights.network), ConfigError);
  Tensors out;
  outside(weights, out);
  write_safetensors(path_, out);
  EXPECT_THROW((void)read_checkpoint(path_, weights.network), ConfigError);
  EXPECT_THROW((void)read_checkpoint(path_, test::gpt3_tiny()), ModelError);
  NeuralNetwork neighbours = weights.network;
  std::get<GroupedAttention>(neighbours.kinds[0].mixer).rope->layout = RopeLayout::Interleaved;
  EXPECT_THROW((void)read_checkpoint(path_, neighbours), ModelError);
}

}  // namespace
}  // namespace tandem
