// Attention in two parts where requests share a prefix.
#include "sim/lower/cascade.hpp"

#include <gtest/gtest.h>

#include "sim/lower/kernel.hpp"
#include "tests/lower/networks.hpp"

namespace tandem {
namespace {

SequenceSlice sharing(std::int64_t prefix, std::int64_t tokens, std::int64_t context) {
  return {.context = context, .prefix = prefix, .prefix_tokens = tokens};
}

TEST(Cascade, QueriesOfOnePrefixStandTogetherOverIt) {
  const std::vector<SequenceSlice> slices = {
      sharing(7, 64, 80), {.context = 100}, sharing(7, 64, 90), sharing(9, 32, 40)};
  const Cascade cascade = cascade_of(slices);
  EXPECT_EQ(cascade.prefixes, (std::vector<QuerySpan>{{2, 64}}));
  EXPECT_EQ(cascade.own, (std::vector<QuerySpan>{{1, 17}, {1, 101}, {1, 27}, {1, 41}}));
  EXPECT_EQ(cascade.queries, 2);
}

TEST(Cascade, PromptsAndLonelyRequestsHaveNone) {
  SequenceSlice prompt = sharing(7, 64, 64);
  prompt.new_tokens = 5;
  EXPECT_FALSE(cascade_of({sharing(7, 64, 80), prompt}).exists());
  EXPECT_FALSE(cascade_of({{.context = 80}, {.context = 80}}).exists());
}

/// Sums over the kernels of attention, merges left out.
KernelWork attention_of(const Stage& stage, const Batch& batch) {
  KernelWork sum;
  for (const Kernel& kernel : lower(stage, batch).kernels) {
    if (std::holds_alternative<AttentionKernel>(kernel.shape)) {
      const KernelWork own = work_of(kernel);
      sum.matrix += own.matrix;
      sum.read_bytes += own.read_bytes;
    }
  }
  return sum;
}

// Every query still meets every key; of a prefix of 64 tokens that three share, two copies of keys
// and values are not read, and the queries enter both parts.
TEST(Cascade, ReadsThePrefixOnceAndComputesAllOfIt) {
  const NeuralNetwork network = test::llama_8b();
  const auto& a = std::get<GroupedAttention>(network.kinds.front().mixer);
  const Stage stage =
      whole_model(network, {ElementType::Bfloat16, ElementType::Bfloat16, ElementType::Bfloat16});
  Batch together, alone;
  for (const std::int64_t context : {70, 80, 90}) {
    together.slices.push_back(sharing(1, 64, context));
    alone.slices.push_back({.context = context});
  }
  const KernelWork cascade = attention_of(stage, together);
  const KernelWork plain = attention_of(stage, alone);
  EXPECT_EQ(cascade.matrix, plain.matrix);
  const std::int64_t saved = 2 * 64 * 2 * a.kv_width() * 2;
  const std::int64_t queries = 3 * a.q_width() * 2;
  EXPECT_EQ(plain.read_bytes - cascade.read_bytes, Bytes((saved - queries) * network.layers()));
}

}  // namespace
}  // namespace tandem
