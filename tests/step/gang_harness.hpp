// Networks on gangs of GPUs, run beside the same on one chip.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "models/gpu/gpu_chip.hpp"
#include "sim/core/integers.hpp"
#include "sim/step/loaded_gang.hpp"
#include "tests/gpu/test_chips.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem::test {

inline constexpr std::int64_t positions = 24;

/// Sums in the order of ranks, rounded where they leave a rank; 1 us each.
class RankOrderCollectives final : public CollectiveModel {
 public:
  CollectiveCost cost(const std::vector<ChipAddress>&, const Collective&) override {
    CollectiveCost cost;
    cost.time = Picoseconds(1'000'000);
    cost.floor = Picoseconds(1'000);
    return cost;
  }
  std::vector<Tensor> exchange(const std::vector<ChipAddress>& ranks, const Collective& c,
                               const std::vector<Tensor>& inputs) override {
    EXPECT_EQ(ranks.size(), inputs.size());
    const auto count = static_cast<std::int64_t>(ranks.size());
    const std::int64_t each = inputs.front().elements();
    for (const Tensor& input : inputs) EXPECT_EQ(input.elements(), each);
    const bool gathers = c.op == CollectiveOp::AllGather;
    EXPECT_EQ(c.bytes.count(), each * (gathers ? count : 1) * bytes_of(c.type));
    if (gathers) return std::vector<Tensor>(ranks.size(), joined(inputs, c.type));
    const Tensor sum = summed(inputs, c.type);
    if (c.op == CollectiveOp::AllReduce) return std::vector<Tensor>(ranks.size(), sum);
    std::vector<Tensor> pieces;
    for (std::int64_t rank = 0; rank < count; ++rank) {
      Tensor piece(c.type, {each / count});
      for (std::int64_t i = 0; i < each / count; ++i) {
        piece.store(i, sum.load(rank * (each / count) + i));
      }
      pieces.push_back(std::move(piece));
    }
    return pieces;
  }

 private:
  static Tensor summed(const std::vector<Tensor>& inputs, ElementType type) {
    Tensor sum(type, inputs.front().shape());
    for (std::int64_t i = 0; i < sum.elements(); ++i) {
      float total = 0;
      for (const Tensor& input : inputs) total += input.load(i);
      sum.store(i, total);
    }
    return sum;
  }
  static Tensor joined(const std::vector<Tensor>& inputs, ElementType type) {
    const std::int64_t each = inputs.front().elements();
    Tensor whole(type, {each * static_cast<std::int64_t>(inputs.size())});
    std::int64_t at = 0;
    for (const Tensor& input : inputs) {
      for (std::int64_t i = 0; i < each; ++i) whole.store(at++, input.load(i));
    }
    return whole;
  }
};

inline Precision in_format(ElementType type) {
  return {type, type, type};
}

/// Requests of different lengths, dealt to attention groups in turn.
struct Workload {
  std::vector<std::int64_t> prompts;  ///< lengths
  std::int64_t decoded = 3;           ///< tokens per request after that
  std::int64_t groups = 1;
};

inline std::int32_t token_at(const NeuralNetwork& network, std::size_t request,
                             std::int64_t position) {
  return static_cast<std::int32_t>((position * 7 + static_cast<std::int64_t>(request) * 11 + 3) %
                                   network.vocabulary);
}

/// Appends `count` tokens of a request to a batch.
inline void add_slice(const NeuralNetwork& network, std::size_t request, std::int64_t context,
                      std::int64_t count, std::int64_t groups, Batch& batch, StageData& in) {
  const auto id = static_cast<std::int64_t>(request);
  batch.slices.push_back({id, context, count, true, id % groups});
  for (std::int64_t i = 0; i < count; ++i) {
    in.tokens.push_back(token_at(network, request, context + i));
  }
}

/// Runs the stages of a pipeline one after the other.
inline Tensor run_stages(const std::vector<LoadedStage*>& stages, const Batch& batch,
                         StageData in) {
  StageData out;
  for (LoadedStage* stage : stages) {
    (void)stage->run(batch, in, out);
    in.hidden = out.hidden;
  }
  return out.logits;
}

/// Logits of all passes: all prompts at once, then mixed passes in which the last request's second
/// half of the prompt meets tokens that decode.
inline std::vector<Tensor> run_workload(const std::vector<LoadedStage*>& stages,
                                        const NeuralNetwork& network, const Workload& work) {
  std::vector<Tensor> logits;
  Batch batch;
  StageData in;
  for (std::size_t r = 0; r < work.prompts.size(); ++r) {
    add_slice(network, r, 0, work.prompts[r], work.groups, batch, in);
  }
  logits.push_back(run_stages(stages, batch, in));
  for (std::int64_t step = 0; step < work.decoded; ++step) {
    batch.slices.clear();
    in.tokens.clear();
    for (std::size_t r = 0; r < work.prompts.size(); ++r) {
      add_slice(network, r, work.prompts[r] + step, 1, work.groups, batch, in);
    }
    const std::size_t more = work.prompts.size() + index_of(step);
    add_slice(network, more, 0, 4 + step, work.groups, batch, in);
    logits.push_back(run_stages(stages, batch, in));
  }
  return logits;
}

/// Largest difference as a share of the largest value.
inline double distance(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  double largest = 1e-30;
  for (std::size_t pass = 0; pass < a.size(); ++pass) {
    EXPECT_EQ(a[pass].shape(), b[pass].shape());
    for (std::int64_t i = 0; i < b[pass].elements(); ++i) {
      const auto x = static_cast<double>(a[pass].load(i));
      const auto y = static_cast<double>(b[pass].load(i));
      worst = std::max(worst, std::abs(x - y));
      largest = std::max(largest, std::abs(y));
    }
  }
  return worst / largest;
}

/// The token that each row would be followed by.
inline std::vector<std::int64_t> best_tokens(const std::vector<Tensor>& logits) {
  std::vector<std::int64_t> best;
  for (const Tensor& tensor : logits) {
    const auto values = tensor.floats();
    const auto width = static_cast<std::size_t>(tensor.dim(1));
    for (std::size_t at = 0; at < values.size(); at += width) {
      const auto row = values.subspan(at, width);
      best.push_back(std::max_element(row.begin(), row.end()) - row.begin());
    }
  }
  return best;
}

class LoadedGangs : public ::testing::Test {
 protected:
  std::unique_ptr<LoadedGang> gang(Stage stage, const Sharding& sharding, const Weights& weights) {
    stage.shard.of = sharding;
    std::vector<ChipAddress> chips;
    for (std::int64_t i = 0; i < sharding.ranks(); ++i) chips.push_back({"gpu", i});
    return std::make_unique<LoadedGang>(chip_, stage, weights, 8, positions, chips, collectives_);
  }
  std::unique_ptr<LoadedGang> gang(const Sharding& sharding, const Weights& weights,
                                   ElementType type = ElementType::Float32) {
    return gang(whole_model(weights.network, in_format(type)), sharding, weights);
  }
  std::vector<Tensor> alone(const Weights& weights, const Workload& work,
                            ElementType type = ElementType::Float32) {
    const Stage stage = whole_model(weights.network, in_format(type));
    const auto loaded = chip_.load(stage, weights, 8, positions);
    return run_workload({loaded.get()}, weights.network, work);
  }
  std::vector<Tensor> shared(const Sharding& sharding, const Weights& weights, const Workload& work,
                             ElementType type = ElementType::Float32) {
    const auto loaded = gang(sharding, weights, type);
    return run_workload({loaded.get()}, weights.network, work);
  }

  /// Same tokens, and logits as near as other orders of sums leave them.
  void expect_equal(const Weights& weights, const Sharding& sharding, double tolerance) {
    SCOPED_TRACE(weights.network.name + " tensor " + std::to_string(sharding.tensor) +
                 " attention_data " + std::to_string(sharding.attention_data) + " expert " +
                 std::to_string(sharding.expert));
    const Workload work{{9, 5, 7}, 3, sharding.attention_data};
    const std::vector<Tensor> expected = alone(weights, work);
    const std::vector<Tensor> logits = shared(sharding, weights, work);
    EXPECT_EQ(best_tokens(logits), best_tokens(expected));
    if (tolerance == 0) {
      EXPECT_EQ(logits, expected);
    } else {
      EXPECT_LT(distance(logits, expected), tolerance);
    }
  }

  gpu::GpuChip chip_{gpu::large_chip(), Software{}};
  RankOrderCollectives collectives_;
};

/// A dense network that eight tensor ranks can share: 8 heads over 4 KV heads.
inline NeuralNetwork dense_network() {
  GroupedAttention attention = tiny_attention(8, 4, 8);
  attention.rope = tiny_rope(10000, 8);
  FeedForward ffn;
  ffn.intermediate = 48;
  return tiny_network_of("dense", 64, 50, {{attention, ffn, false}}, {0, 0, 0, 0});
}

/// qwen35-tiny with heads for four ranks.
inline NeuralNetwork wide_hybrid() {
  NeuralNetwork network = qwen35_tiny();
  auto& delta = std::get<GatedDelta>(network.kinds[0].mixer).shape;
  delta.key_heads = 4;
  delta.value_heads = 8;
  auto& attention = std::get<GroupedAttention>(network.kinds[1].mixer).shape;
  attention.heads = 4;
  network.mtp = {};
  return network;
}

// Sums of products over the ranks run rank by rank instead of straight through: a few units in the
// last place of float for each of the sums of a layer.
inline constexpr double other_order = 2e-5;

}  // namespace tandem::test
