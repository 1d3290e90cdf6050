// Collectives move the values that a plain sum in their stated order gives, bit for bit, and as
// many bytes as the closed forms say.
#include <gtest/gtest.h>

#include "models/link/collectives/exchange.hpp"
#include "models/link/collectives/schedule.hpp"
#include "sim/core/integers.hpp"

namespace tandem::link {
namespace {

using Buffers = std::vector<std::vector<float>>;

constexpr std::int64_t length = 48;  // divisible by 2, 3, 4 and 8

/// Values whose sum depends on the order: magnitudes from 2^-6 to 2^6, all of type bfloat16.
Buffers uneven_inputs(std::int32_t ranks, std::int64_t size) {
  Buffers inputs;
  for (std::int32_t r = 0; r < ranks; ++r) {
    std::vector<float> one;
    for (std::int64_t i = 0; i < size; ++i) {
      const auto mantissa = static_cast<float>((r * 37 + i * 11) % 255 - 127);
      const int exponent = static_cast<int>((r * 5 + i * 3) % 13) - 6;
      one.push_back(round_to(ElementType::Bfloat16, std::ldexp(mantissa, exponent)));
    }
    inputs.push_back(std::move(one));
  }
  return inputs;
}

RankNodes one_node(std::int32_t ranks) {
  RankNodes nodes(1);
  for (std::int32_t r = 0; r < ranks; ++r) nodes.front().push_back(r);
  return nodes;
}

/// Float32 sum in the order of ranks, rounded once.
float sum_by_rank(const Buffers& inputs, std::size_t i) {
  float sum = inputs.front()[i];
  for (std::size_t r = 1; r < inputs.size(); ++r) sum += inputs[r][i];
  return round_to(ElementType::Bfloat16, sum);
}

/// A ring's: from the rank behind the owner round to the owner, rounded whenever it travels.
float sum_by_ring(const Buffers& inputs, std::size_t owner, std::size_t i) {
  const std::size_t n = inputs.size();
  float sum = inputs[(owner + 1) % n][i];
  for (std::size_t k = 2; k <= n; ++k) {
    sum = round_to(ElementType::Bfloat16, sum) + inputs[(owner + k) % n][i];
  }
  return round_to(ElementType::Bfloat16, sum);
}

/// A chain's: from the last rank to the first.
float sum_by_chain(const Buffers& inputs, std::size_t i) {
  float sum = inputs.back()[i];
  for (std::size_t r = inputs.size() - 1; r-- > 0;) {
    sum = inputs[r][i] + round_to(ElementType::Bfloat16, sum);
  }
  return round_to(ElementType::Bfloat16, sum);
}

class Values : public ::testing::TestWithParam<std::int32_t> {
 protected:
  std::int32_t ranks = GetParam();
  Buffers inputs = uneven_inputs(GetParam(), length);
  [[nodiscard]] std::size_t owner_of(std::size_t i) const { return i / index_of(length / ranks); }
  [[nodiscard]] Buffers moved(const Schedule& schedule) const {
    Buffers result = move_values(schedule, ElementType::Bfloat16, inputs);
    for (auto& buffer : result) {
      for (float& value : buffer) value = round_to(ElementType::Bfloat16, value);
    }
    return result;
  }
};

TEST_P(Values, AllReduceInOneAndTwoStepsAndInTheSwitchSumsByRank) {
  for (const Schedule& schedule :
       {one_shot(ranks, length), two_shot(ranks, length), in_switch(ranks, length, 16)}) {
    const Buffers result = moved(schedule);
    for (const auto& buffer : result) {
      for (std::size_t i = 0; i < buffer.size(); ++i) {
        EXPECT_EQ(buffer[i], sum_by_rank(inputs, i)) << schedule.algorithm << ' ' << i;
      }
    }
  }
}

TEST_P(Values, RingAllReduceSumsFromBehindTheOwner) {
  const Buffers result = moved(ring(CollectiveOp::AllReduce, one_node(ranks), length));
  for (const auto& buffer : result) {
    for (std::size_t i = 0; i < buffer.size(); ++i) {
      EXPECT_EQ(buffer[i], sum_by_ring(inputs, owner_of(i), i)) << i;
    }
  }
}

TEST_P(Values, TreeOfOneNodeIsAChain) {
  const Buffers result = moved(tree(one_node(ranks), length));
  for (const auto& buffer : result) {
    for (std::size_t i = 0; i < buffer.size(); ++i) {
      EXPECT_EQ(buffer[i], sum_by_chain(inputs, i)) << i;
    }
  }
}

std::vector<Tensor> tensors_of(const Buffers& buffers, std::vector<std::int64_t> shape) {
  std::vector<Tensor> result;
  for (const auto& buffer : buffers) {
    Tensor tensor(ElementType::Bfloat16, shape);
    for (std::size_t i = 0; i < buffer.size(); ++i) {
      tensor.store(static_cast<std::int64_t>(i), buffer[i]);
    }
    result.push_back(std::move(tensor));
  }
  return result;
}

TEST_P(Values, ReduceScatterGivesEachRankItsRows) {
  const auto schedule = ring(CollectiveOp::ReduceScatter, one_node(ranks), length);
  const auto result = exchange_tensors(schedule, CollectiveOp::ReduceScatter, ElementType::Bfloat16,
                                       tensors_of(inputs, {24, 2}));
  for (std::size_t r = 0; r < result.size(); ++r) {
    EXPECT_EQ(result[r].shape(), (std::vector<std::int64_t>{24 / ranks, 2}));
    const std::size_t first = r * index_of(length / ranks);
    for (std::int64_t i = 0; i < result[r].elements(); ++i) {
      EXPECT_EQ(result[r].load(i), sum_by_ring(inputs, r, first + index_of(i)));
    }
  }
}

TEST_P(Values, AllGatherPutsPiecesInTheOrderOfRanks) {
  const auto schedule = ring(CollectiveOp::AllGather, one_node(ranks), length * ranks);
  const auto result = exchange_tensors(schedule, CollectiveOp::AllGather, ElementType::Bfloat16,
                                       tensors_of(inputs, {24, 2}));
  for (const Tensor& whole : result) {
    EXPECT_EQ(whole.shape(), (std::vector<std::int64_t>{24 * ranks, 2}));
    for (std::int64_t i = 0; i < whole.elements(); ++i) {
      EXPECT_EQ(whole.load(i), inputs[index_of(i / length)][index_of(i % length)]);
    }
  }
}

TEST_P(Values, AllToAllTransposesPieces) {
  const auto result = exchange_tensors(all_to_all(ranks, length), CollectiveOp::AllToAll,
                                       ElementType::Bfloat16, tensors_of(inputs, {24, 2}));
  const std::int64_t piece = length / ranks;
  for (std::int64_t r = 0; r < ranks; ++r) {
    for (std::int64_t i = 0; i < length; ++i) {
      EXPECT_EQ(result[index_of(r)].load(i),
                inputs[index_of(i / piece)][index_of(r * piece + i % piece)]);
    }
  }
}

/// Elements that leave each rank for another place.
std::vector<std::int64_t> sent_by(const Schedule& schedule) {
  std::vector<std::int64_t> sent(index_of(schedule.ranks) + 1, 0);
  for (const Transfer& transfer : schedule.transfers) {
    if (transfer.from != transfer.to) sent[index_of(transfer.from)] += transfer.elements;
  }
  return sent;
}

TEST_P(Values, EveryRankSendsTheClosedForm) {
  const std::int64_t n = ranks, share = length / ranks;
  const auto expect = [&](const Schedule& schedule, std::int64_t elements) {
    const auto sent = sent_by(schedule);
    for (std::int32_t r = 0; r < ranks; ++r) {
      EXPECT_EQ(sent[index_of(r)], elements) << schedule.algorithm;
    }
  };
  expect(ring(CollectiveOp::AllReduce, one_node(ranks), length), 2 * (n - 1) * share);
  expect(ring(CollectiveOp::AllGather, one_node(ranks), length), (n - 1) * share);
  expect(ring(CollectiveOp::ReduceScatter, one_node(ranks), length), (n - 1) * share);
  expect(one_shot(ranks, length), (n - 1) * length);
  expect(two_shot(ranks, length), 2 * (n - 1) * share);
  expect(in_switch(ranks, length, 4 * length), length + share);
  expect(all_to_all(ranks, length), (n - 1) * share);
}

INSTANTIATE_TEST_SUITE_P(Ranks, Values, ::testing::Values(2, 3, 4, 8));

TEST(CollectiveValues, RingsAndTreesOverNodesSumEverything) {
  // Small whole numbers add exactly, so any order gives 1 + 2 + ... + 8 = 36 times i.
  Buffers inputs(8, std::vector<float>(64));
  for (std::size_t r = 0; r < 8; ++r) {
    for (std::size_t i = 0; i < 64; ++i) inputs[r][i] = static_cast<float>((r + 1) * (i % 7));
  }
  const RankNodes nodes = {{0, 1, 2, 3}, {4, 5, 6, 7}};
  for (const Schedule& schedule : {ring(CollectiveOp::AllReduce, nodes, 64), tree(nodes, 64)}) {
    for (const auto& buffer : move_values(schedule, ElementType::Float32, inputs)) {
      for (std::size_t i = 0; i < 64; ++i) {
        EXPECT_EQ(buffer[i], static_cast<float>(36 * (i % 7))) << schedule.algorithm;
      }
    }
  }
}

}  // namespace
}  // namespace tandem::link
