// Seeded weights stored as one architecture or another publishes them, and read back.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/lower/checkpoint.hpp"
#include "sim/lower/safetensors.hpp"
#include "tests/lower/seeded_weights.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem::test {

using Names = std::map<std::string, std::string>;
using Tensors = std::map<std::string, Tensor, std::less<>>;

inline const Names published_attention{{"attention_norm", "input_layernorm.weight"},
                                       {"attention.query", "self_attn.q_proj.weight"},
                                       {"attention.key", "self_attn.k_proj.weight"},
                                       {"attention.value", "self_attn.v_proj.weight"},
                                       {"attention.query_bias", "self_attn.q_proj.bias"},
                                       {"attention.key_bias", "self_attn.k_proj.bias"},
                                       {"attention.value_bias", "self_attn.v_proj.bias"},
                                       {"attention.query_norm", "self_attn.q_norm.weight"},
                                       {"attention.key_norm", "self_attn.k_norm.weight"},
                                       {"attention.sinks", "self_attn.sinks"},
                                       {"attention.output", "self_attn.o_proj.weight"},
                                       {"attention.output_bias", "self_attn.o_proj.bias"},
                                       {"ffn_norm", "post_attention_layernorm.weight"},
                                       {"ffn.gate", "mlp.gate_proj.weight"},
                                       {"ffn.up", "mlp.up_proj.weight"},
                                       {"ffn.down", "mlp.down_proj.weight"}};

/// Tensor with a shape and value(index) at each flat index.
template <class Value>
Tensor made(std::vector<std::int64_t> shape, const Value& value) {
  Tensor tensor(ElementType::Float32, std::move(shape));
  for (std::int64_t i = 0; i < tensor.elements(); ++i) tensor.store(i, value(i));
  return tensor;
}

/// Rows [first, first + count) of expert `expert`'s matrix, or of a plain matrix (expert 0).
inline Tensor rows(const Tensor& tensor, std::int64_t expert, std::int64_t first,
                   std::int64_t count) {
  const bool is_stack = tensor.shape().size() == 3;
  const std::int64_t width = tensor.shape().back();
  const std::int64_t each = is_stack ? tensor.dim(1) : tensor.dim(0);
  return made({count, width},
              [&](std::int64_t i) { return tensor.load((expert * each + first) * width + i); });
}

class Published : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    path_ = (std::filesystem::path(testing::TempDir()) /
             (std::string("published_") + info->name() + ".safetensors"))
                .string();
  }
  void TearDown() override { std::filesystem::remove(path_); }

  /// Stores every tensor of `prefix` that `names` knows; the others stay for the test.
  static void rename(const Weights& weights, const std::string& prefix, const std::string& to,
                     const Names& names, Tensors& out) {
    for (const auto& [name, tensor] : weights.tensors) {
      if (!name.starts_with(prefix)) continue;
      const auto found = names.find(name.substr(prefix.size()));
      if (found != names.end()) out.insert_or_assign(to + found->second, tensor);
    }
  }
  static void outside(const Weights& weights, Tensors& out) {
    out.emplace("model.embed_tokens.weight", weights.at("embedding"));
    out.emplace("model.norm.weight", weights.at("final_norm"));
    if (!weights.network.tied_embeddings) out.emplace("lm_head.weight", weights.at("head"));
  }
  static std::string ours(std::int64_t layer) { return "layers." + std::to_string(layer) + "."; }
  static std::string theirs(std::int64_t layer) { return "model." + ours(layer); }
  /// Experts one by one, as `folder`N.<names of gate, up, down>.weight.
  static void split_experts(const Weights& weights, const std::string& prefix,
                            const std::string& folder, const std::array<const char*, 3>& names,
                            Tensors& out) {
    const std::array<const char*, 3> parts{"gate", "up", "down"};
    for (std::size_t part = 0; part < 3; ++part) {
      const Tensor& all = weights.at(prefix + "experts." + parts[part]);
      for (std::int64_t e = 0; e < all.dim(0); ++e) {
        out.emplace(folder + std::to_string(e) + "." + names[part] + ".weight",
                    rows(all, e, 0, all.dim(1)));
      }
    }
  }
  void expect_read_back(const Weights& weights, const Tensors& published) const {
    write_safetensors(path_, published);
    const Weights read = read_checkpoint(path_, weights.network);
    EXPECT_NO_THROW(check_weights(read));
    for (const auto& [name, tensor] : weights.tensors) EXPECT_EQ(read.at(name), tensor) << name;
  }
  /// What the reader has to say about the file.
  [[nodiscard]] std::vector<std::string> complaints_of(const NeuralNetwork& network) const {
    std::vector<std::string> messages;
    try {
      (void)read_checkpoint(path_, network);
    } catch (const ConfigError& error) {
      for (const Diagnostic& diagnostic : error.diagnostics()) {
        messages.push_back(diagnostic.message);
      }
    }
    return messages;
  }

  std::string path_;
};

}  // namespace tandem::test
