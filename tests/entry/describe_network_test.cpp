// Does the page of a network say its pattern, its sizes and the work of its passes?
#include "sim/entry/describe_network.hpp"

#include <gtest/gtest.h>

#include "sim/core/diagnostics.hpp"
#include "sim/describe/tensors.hpp"
#include "sim/entry/describe_page.hpp"
#include "sim/lower/role_totals.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem::entry {
namespace {

bool has(const std::string& page, const std::string& text) {
  return page.find(text) != std::string::npos;
}

/// The same words with single blanks between them.
std::string squeezed(const std::string& text) {
  std::string words;
  for (const char c : text) {
    if (c != ' ' || (!words.empty() && words.back() != ' ')) words += c;
  }
  return words;
}

/// The line of a page that begins with `start` after blanks, squeezed; the first one after `from`.
std::string line_of(const std::string& page, const std::string& start, const std::string& from) {
  std::size_t at = page.find(from);
  at = page.find("\n    " + start + " ", at);
  if (at == std::string::npos) return {};
  return squeezed(page.substr(at + 1, page.find('\n', at + 1) - at - 1));
}

TEST(PatternText, runs_and_periods) {
  NeuralNetwork network = test::qwen35_tiny();
  EXPECT_EQ(pattern_text(network), "L x 3, F x 1");
  network.pattern = {0, 0, 0, 1, 0, 0, 0, 1};
  EXPECT_EQ(pattern_text(network), "(LLLF) x 2");
  network.pattern = {0, 1, 0, 1, 0};
  EXPECT_EQ(pattern_text(network), "(LF) x 2, L");
  EXPECT_EQ(pattern_text(test::dsv3_tiny()), "F1 x 1, F2 x 2");  // dense first, then experts
  EXPECT_EQ(pattern_text(test::gpt3_tiny()), "F x 2");
}

TEST(DescribeNetwork, sizes_and_roles_of_a_small_qwen) {
  const std::string page = describe_network(test::qwen35_tiny(), {2, 10, 12});
  EXPECT_TRUE(has(page, "gated delta: 2 key heads of 16, 4 value heads of 16"));
  EXPECT_TRUE(has(page, "8 experts of 12, top 2, silu, gated; 1 shared, 36 together, gated"));
  // One full layer: 2 * 2 heads * 16 = 64 elements. Three linear layers: 4 * 16 * 16 floats each;
  // 3 taps of 2 * 2 * 16 + 4 * 16 = 128 channels each.
  EXPECT_TRUE(has(page, "128 B in bfloat16 (64 elements)"));
  EXPECT_TRUE(has(page, "12288 B recurrent in float32, 2304 B convolution in bfloat16"));
  // Decode of 2 sequences at 10 tokens: 2 heads of 16, 4 * 2 * 16 * 20 pairs = 2560 operations;
  // vector 4 * 2 * 20 + 4 rows * 16 = 224; special 2 * 20 + 4 = 44. q and the result 2 * 32 * 2 B;
  // keys and values 20 * 64 * 2 B = 2560 B. 2828 operations over 2816 B.
  EXPECT_EQ(line_of(page, "attention", "decode of 2 sequences at 10 tokens"),
            "attention 1 2.56 k 224 44 0 B 2.688 kB 128 B 1.004");
  // Prefill of 12: 12 * 13 / 2 = 78 pairs.
  EXPECT_EQ(line_of(page, "attention", "prefill of 12 tokens").substr(0, 19),
            "attention 1 9.984 k");
  EXPECT_FALSE(line_of(page, "gated_delta_chunked", "prefill of 12 tokens").empty());
}

TEST(DescribeNetwork, says_what_its_tables_assume) {
  const std::string page = describe_network(test::qwen35_tiny(), {2, 10, 12});
  EXPECT_TRUE(has(page,
                  "weights in bfloat16, activations in bfloat16, KV in bfloat16, without "
                  "prediction\n  modules"));
  EXPECT_TRUE(has(page, "L   3 layers\n"));
  EXPECT_TRUE(has(page, "F   1 layer and multi-token prediction\n"));
  EXPECT_FALSE(line_of(page, "on top: 1 prediction module", "prefill of 12 tokens").empty());
  EXPECT_FALSE(line_of(page, "on top: 1 prediction module", "decode of 2 sequences").empty());
  EXPECT_FALSE(has(describe_network(test::gpt3_tiny()), "prediction module "));
}

TEST(DescribeNetwork, the_published_format_is_counted_with_and_without_modules) {
  NeuralNetwork network = test::qwen35_tiny();
  network.checkpoint_format = "float16";
  const std::string page = describe_network(network);
  const ParameterCount count = count_parameters(network);
  ASSERT_GT(count.mtp, 0);
  EXPECT_TRUE(has(page, si_text(2.0 * static_cast<double>(count.total), "B") + " (as published"));
  EXPECT_TRUE(has(page, si_text(2.0 * static_cast<double>(count.total + count.mtp), "B") +
                            " with multi-token prediction"));
}

TEST(DescribeNetwork, lengths_and_batches_stay_within_the_model) {
  const NeuralNetwork network = test::qwen35_tiny();  // a context of 64
  EXPECT_TRUE(has(describe_network(network), "prefill of 64 tokens"));
  EXPECT_TRUE(has(describe_network(network), "decode of 1 sequence at 64 tokens"));
  EXPECT_TRUE(has(describe_network(network, {1, 1, 1}), "decode of 1 sequence at 1 token\n"));
  EXPECT_THROW((void)describe_network(network, {0, 1, 1}), ConfigError);
  EXPECT_THROW((void)describe_network(network, {1'000'001, 1, 1}), ConfigError);
  EXPECT_THROW((void)describe_network(network, {1, 0, 1}), ConfigError);
  EXPECT_THROW((void)describe_network(network, {1, 65, 1}), ConfigError);
  EXPECT_THROW((void)describe_network(network, {1, 1, 65}), ConfigError);
  EXPECT_THROW((void)describe_network(network, {1, 1, -1}), ConfigError);
  // A prompt of 10^9 tokens makes 5 * 10^17 pairs; 4 * 32 operations on each leave 64 bits.
  NeuralNetwork endless = network;
  endless.max_context = 1'000'000'000;
  EXPECT_NO_THROW((void)describe_network(endless, {10, 1'000'000'000, 1}));
  EXPECT_THROW((void)describe_network(endless, {1, 1, 1'000'000'000}), ConfigError);
}

// The tables are summed layer by layer; nothing may be lost or doubled at the seams.
TEST(DescribeNetwork, totals_are_those_of_the_whole_pass) {
  for (const NeuralNetwork& network : test::tiny_networks()) {
    const std::string page = describe_network(network, {2, 10, 12});
    Batch decode;
    decode.slices = {{0, 9, 1, true}, {1, 9, 1, true}};
    const RoleTotal total = total_of(totals_by_role(lower(whole_model(network, {}), decode)));
    const KernelWork& work = total.work;
    std::string expected = "total " + std::to_string(total.kernels);
    for (const std::int64_t operations :
         {work.matrix.count(), work.vector.count(), work.special.count()}) {
      expected += ' ';
      expected += si_text(static_cast<double>(operations), "");
    }
    for (const Bytes bytes : {work.weight_bytes, work.read_bytes, work.write_bytes}) {
      expected += ' ';
      expected += si_text(static_cast<double>(bytes.count()), "B");
    }
    const std::string line = line_of(page, "total", "decode of 2 sequences");
    EXPECT_EQ(line.substr(0, line.rfind(' ')), squeezed(expected)) << network.name;
  }
}

TEST(DescribeNetwork, prints_every_kind_of_network) {
  for (const NeuralNetwork& network : test::tiny_networks()) {
    const std::string page = describe_network(network);
    EXPECT_TRUE(has(page, network.name));
    EXPECT_TRUE(has(page, "decode of 1 sequence at " + std::to_string(network.max_context)));
  }
}

}  // namespace
}  // namespace tandem::entry
