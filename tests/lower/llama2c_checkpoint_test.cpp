// Does the checkpoint reader put every array in its place and refuse what cannot be one?
#include "sim/lower/llama2c_checkpoint.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/lower/dense_weights.hpp"

namespace tandem {
namespace {

using Header = std::array<std::int32_t, 7>;  // dim, hidden, layers, heads, kv_heads, vocab, seq

/// A header and floats 0, 1, 2, ...
std::string file_of(const Header& header, int floats) {
  std::string data(28 + static_cast<std::size_t>(floats) * 4, '\0');
  std::memcpy(data.data(), header.data(), 28);
  for (int i = 0; i < floats; ++i) {
    const auto value = static_cast<float>(i);
    std::memcpy(data.data() + 28 + static_cast<std::size_t>(i) * 4, &value, 4);
  }
  return data;
}

class CheckpointFile : public testing::Test {
 protected:
  std::string write(const std::string& data) {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::temp_directory_path() /
            (std::string("tandem_checkpoint_") + info->name() + ".bin");
    std::ofstream(path_, std::ios::binary) << data;
    return path_.string();
  }
  void expect_error(const std::string& data, const std::string& text) {
    try {
      (void)read_llama2c_checkpoint(write(data));
      ADD_FAILURE() << "accepted; expected: " << text;
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find(path_.string() + ": error: "), std::string::npos);
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::filesystem::path path_;
};

// dim 4, hidden 6, 2 layers, 2 heads of 2, 1 KV head, 5 tokens, context 3. Floats: table 20;
// norms 8; wq 32; wk 16; wv 16; wo 32; norms 8; gate 48; down 48; up 48; final norm 4; RoPE tables
// 3 x 2 = 6: 286 in all.
constexpr Header tied{4, 6, 2, 2, 1, 5, 3};

TEST_F(CheckpointFile, arrays_stand_where_llama2c_puts_them) {
  const Weights all = read_llama2c_checkpoint(write(file_of(tied, 286)));
  const DenseWeights weights = dense_weights_of(all, "test");
  EXPECT_TRUE(weights.network.tied_embeddings);
  EXPECT_EQ(weights.network.head_dim, 2);
  EXPECT_EQ(weights.network.rope.layout, RopeLayout::Interleaved);
  ASSERT_EQ(weights.layers.size(), 2U);
  const DenseLayerWeights& second = weights.layers[1];
  EXPECT_EQ(weights.embedding.load(19), 19);
  EXPECT_EQ(second.attention_norm.load(0), 24);  // 20 + 4
  EXPECT_EQ(second.wq.load(0), 44);              // 28 + 16
  EXPECT_EQ(second.wk.load(0), 68);              // 60 + 8
  EXPECT_EQ(second.wv.load(0), 84);              // 76 + 8
  EXPECT_EQ(second.wo.load(0), 108);             // 92 + 16
  EXPECT_EQ(second.ffn_norm.load(0), 128);       // 124 + 4
  EXPECT_EQ(second.w_gate.load(0), 156);         // 132 + 24
  EXPECT_EQ(second.w_down.load(0), 204);         // 180 + 24
  EXPECT_EQ(second.w_up.load(0), 252);           // 228 + 24
  EXPECT_EQ(second.w_down.shape(), (std::vector<std::int64_t>{4, 6}));
  EXPECT_EQ(weights.final_norm.load(0), 276);
  EXPECT_EQ(weights.head, weights.embedding);
}

TEST_F(CheckpointFile, a_negative_vocabulary_brings_a_classifier_of_its_own) {
  Header header = tied;
  header[5] = -5;
  const Weights weights = read_llama2c_checkpoint(write(file_of(header, 306)));
  EXPECT_FALSE(weights.network.tied_embeddings);
  EXPECT_EQ(weights.network.vocabulary, 5);
  EXPECT_EQ(weights.head().load(0), 286);  // after the RoPE tables
}

TEST_F(CheckpointFile, says_how_many_bytes_it_wants) {
  // 28 + 4 x 286 = 1172.
  expect_error(file_of(tied, 285), "checkpoint has 1168 bytes; its header asks for 1172");
  expect_error(file_of(tied, 287), "checkpoint has 1176 bytes; its header asks for 1172");
  expect_error("short", "5 bytes, the header alone has 28");
  expect_error("", "0 bytes, the header alone has 28");
}

TEST_F(CheckpointFile, impossible_shapes_are_refused_before_anything_is_allocated) {
  const auto with = [](std::size_t index, std::int32_t value) {
    Header header = tied;
    header[index] = value;
    return file_of(header, 10);
  };
  expect_error(with(0, 0), "dim is 0");
  expect_error(with(0, 0x7fffffff), "dim is 2147483647");
  expect_error(with(1, -6), "hidden_dim is -6");
  expect_error(with(2, 0), "n_layers is 0");
  expect_error(with(3, 3), "dim 4 does not split into 3 heads");
  expect_error(with(3, 4), "heads of even width");
  expect_error(with(4, 0), "n_kv_heads is 0");
  expect_error(with(5, 0), "vocab_size is 0");
  expect_error(with(5, INT32_MIN), "vocab_size is 2147483648");
  expect_error(with(6, -1), "seq_len is -1");
  expect_error(file_of({8, 6, 1, 4, 3, 5, 3}, 10), "n_heads 4 is not a multiple of n_kv_heads 3");
  expect_error(file_of({1 << 20, 1 << 20, 4096, 2, 2, 1 << 24, 1 << 24}, 10), "header asks for");
}

TEST_F(CheckpointFile, missing_files_and_folders_are_errors) {
  EXPECT_THROW((void)read_llama2c_checkpoint("/nonexistent/model.bin"), ConfigError);
  EXPECT_THROW((void)read_llama2c_checkpoint(std::filesystem::temp_directory_path().string()),
               ConfigError);
}

TEST_F(CheckpointFile, random_headers_never_crash) {
  RandomStream random(43, "headers");
  for (int round = 0; round < 300; ++round) {
    Header header{};
    for (std::int32_t& word : header) {
      word = static_cast<std::int32_t>(random.next() >> (32 + random.integer(0, 31)));
    }
    EXPECT_THROW((void)read_llama2c_checkpoint(write(file_of(header, 3))), ConfigError);
  }
}

}  // namespace
}  // namespace tandem
