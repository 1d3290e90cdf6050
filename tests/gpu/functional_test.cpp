// Does the GPU compute the right numbers, whatever the batching, the CTA order and the placement?
#include <gtest/gtest.h>

#include <cmath>

#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/loaded_stage.hpp"
#include "models/gpu/tracked_rows.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/lower/dense_weights.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

DenseDecoder tiny_network() {
  DenseDecoder net;
  net.name = "tiny";
  net.layers = 3;
  net.hidden = 32;
  net.heads = 4;
  net.kv_heads = 2;
  net.head_dim = 8;
  net.intermediate = 48;
  net.vocabulary = 50;
  net.max_context = 200;
  return net;
}

using Row = std::vector<double>;

Row multiply(const Tensor& matrix, const Row& x) {
  Row y(static_cast<std::size_t>(matrix.dim(0)));
  for (std::size_t o = 0; o < y.size(); ++o) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      y[o] += static_cast<double>(matrix.load(static_cast<std::int64_t>(o * x.size() + i))) * x[i];
    }
  }
  return y;
}

Row normalise(const Tensor& weight, const Row& x, double epsilon) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  const double scale = 1 / std::sqrt(sum / static_cast<double>(x.size()) + epsilon);
  Row y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    y[i] = static_cast<double>(weight.load(static_cast<std::int64_t>(i))) * x[i] * scale;
  }
  return y;
}

/// An independent decoder in double precision, token by token, half-split RoPE.
class DoubleDecoder {
 public:
  explicit DoubleDecoder(const Weights& weights) : w_(dense_weights_of(weights, "test")) {
    keys_.resize(w_.layers.size());
    values_.resize(w_.layers.size());
  }
  Row next(std::int32_t token) {
    const DenseDecoder& net = w_.network;
    Row x;
    for (std::int64_t i = 0; i < net.hidden; ++i) {
      x.push_back(static_cast<double>(w_.embedding.load(token * net.hidden + i)));
    }
    for (std::size_t l = 0; l < w_.layers.size(); ++l) {
      const DenseLayerWeights& layer = w_.layers[l];
      const Row h = normalise(layer.attention_norm, x, net.norm_epsilon);
      Row q = multiply(layer.wq, h);
      Row k = multiply(layer.wk, h);
      rotate(q);
      rotate(k);
      keys_[l].push_back(k);
      values_[l].push_back(multiply(layer.wv, h));
      add(x, multiply(layer.wo, attend(l, q)));
      const Row f = normalise(layer.ffn_norm, x, net.norm_epsilon);
      Row gate = multiply(layer.w_gate, f);
      const Row up = multiply(layer.w_up, f);
      for (std::size_t i = 0; i < gate.size(); ++i) {
        gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      }
      add(x, multiply(layer.w_down, gate));
    }
    ++position_;
    return multiply(w_.head, normalise(w_.final_norm, x, net.norm_epsilon));
  }

 private:
  static void add(Row& x, const Row& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }
  void rotate(Row& rows) const {
    const auto dim = static_cast<std::size_t>(w_.network.head_dim);
    for (std::size_t head = 0; head < rows.size(); head += dim) {
      for (std::size_t i = 0; i < dim / 2; ++i) {
        const double angle =
            position_ * std::pow(w_.network.rope.theta,
                                 -2.0 * static_cast<double>(i) / static_cast<double>(dim));
        const double a = rows[head + i];
        const double b = rows[head + i + dim / 2];
        rows[head + i] = a * std::cos(angle) - b * std::sin(angle);
        rows[head + i + dim / 2] = a * std::sin(angle) + b * std::cos(angle);
      }
    }
  }
  [[nodiscard]] Row attend(std::size_t l, const Row& q) const {
    const DenseDecoder& net = w_.network;
    const auto dim = static_cast<std::size_t>(net.head_dim);
    Row out(q.size());
    for (std::size_t head = 0; head < static_cast<std::size_t>(net.heads); ++head) {
      const std::size_t kv = head / static_cast<std::size_t>(net.heads / net.kv_heads) * dim;
      Row p;
      double total = 0;
      for (const Row& k : keys_[l]) {
        double s = 0;
        for (std::size_t d = 0; d < dim; ++d) s += q[head * dim + d] * k[kv + d];
        p.push_back(std::exp(s / std::sqrt(static_cast<double>(dim))));
        total += p.back();
      }
      for (std::size_t t = 0; t < p.size(); ++t) {
        for (std::size_t d = 0; d < dim; ++d) {
          out[head * dim + d] += p[t] / total * values_[l][t][kv + d];
        }
      }
    }
    return out;
  }

  DenseWeights w_;
  std::vector<std::vector<Row>> keys_, values_;
  double position_ = 0;
};

Precision fp32() {
  return {ElementType::Float32, ElementType::Float32, ElementType::Float32};
}

std::vector<std::int32_t> prompt_of(int length, int salt) {
  std::vector<std::int32_t> tokens;
  for (int i = 0; i < length; ++i) tokens.push_back((i * 7 + salt * 13) % 50);
  return tokens;
}

class Functional : public ::testing::Test {
 protected:
  NeuralNetwork net_ = network_of(tiny_network());
  Weights weights_ = random_weights(net_, 7);
  GpuChip chip_{large_chip(), Software{}};

  std::unique_ptr<LoadedStage> load(const Stage& stage, CtaOrder order = CtaOrder::Canonical) {
    return load_on_gpu(chip_, stage, weights_, 200, order);
  }
  /// Runs tokens of one request as one pass.
  static Tensor pass(LoadedStage& stage, std::int64_t request, std::int64_t context,
                     std::vector<std::int32_t> tokens) {
    StageData in;
    StageData out;
    const auto count = static_cast<std::int64_t>(tokens.size());
    in.tokens = std::move(tokens);
    (void)stage.run({{{request, context, count, true}}}, in, out);
    return out.logits;
  }
};

TEST_F(Functional, LogitsEqualADoublePrecisionDecoder) {
  const auto stage = load(whole_model(net_, fp32()));
  DoubleDecoder reference(weights_);
  const auto tokens = prompt_of(90, 1);  // beyond one block of 64
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const Tensor logits = pass(*stage, 0, static_cast<std::int64_t>(i), {tokens[i]});
    const Row expected = reference.next(tokens[i]);
    for (std::size_t v = 0; v < expected.size(); ++v) {
      ASSERT_NEAR(static_cast<double>(logits.load(static_cast<std::int64_t>(v))), expected[v], 2e-4)
          << "position " << i;
    }
  }
}

TEST_F(Functional, PrefillInOnePassEqualsTokenByToken) {
  const auto whole = load(whole_model(net_, fp32()));
  const auto single = load(whole_model(net_, fp32()));
  const auto tokens = prompt_of(100, 2);
  const Tensor at_once = pass(*whole, 5, 0, tokens);
  Tensor last;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    last = pass(*single, 5, static_cast<std::int64_t>(i), {tokens[i]});
  }
  EXPECT_EQ(at_once, last);
  EXPECT_EQ(whole->export_kv(5), single->export_kv(5));
}

TEST_F(Functional, RequestsOfABatchDoNotTouchEachOther) {
  const auto together = load(whole_model(net_, fp32()));
  const auto alone = load(whole_model(net_, fp32()));
  const auto a = prompt_of(20, 3);
  const auto b = prompt_of(33, 4);
  StageData in;
  StageData out;
  in.tokens = a;
  in.tokens.insert(in.tokens.end(), b.begin(), b.end());
  (void)together->run({{{1, 0, 20, false}, {2, 0, 33, true}}}, in, out);
  EXPECT_EQ(out.logits.dim(0), 1);
  EXPECT_EQ(out.logits, pass(*alone, 2, 0, b));
  // Mixed pass: a decodes while c is processed.
  const auto c = prompt_of(10, 5);
  in.tokens = {9};
  in.tokens.insert(in.tokens.end(), c.begin(), c.end());
  (void)together->run({{{1, 20, 1, true}, {3, 0, 10, true}}}, in, out);
  (void)pass(*alone, 1, 0, a);
  const Tensor decoded = pass(*alone, 1, 20, {9});
  for (std::int64_t v = 0; v < 50; ++v) EXPECT_EQ(out.logits.load(v), decoded.load(v));
}

TEST_F(Functional, ResultDoesNotDependOnTheOrderOfCtas) {
  const Precision half{ElementType::Bfloat16, ElementType::Bfloat16, ElementType::Bfloat16};
  for (const Precision& precision : {fp32(), half}) {
    const auto forwards = load(whole_model(net_, precision));
    const auto backwards = load(whole_model(net_, precision), CtaOrder::Reversed);
    EXPECT_EQ(pass(*forwards, 0, 0, prompt_of(70, 6)), pass(*backwards, 0, 0, prompt_of(70, 6)));
    EXPECT_EQ(forwards->export_kv(0), backwards->export_kv(0));
  }
}

TEST_F(Functional, KvMovesBetweenChipsByteForByte) {
  for (const ElementType type :
       {ElementType::Float32, ElementType::Float16, ElementType::Fp8E4m3}) {
    Precision precision = fp32();
    precision.kv_cache = type;
    const auto prefill = load(whole_model(net_, precision));
    const auto decode = load(whole_model(net_, precision));
    (void)pass(*prefill, 1, 0, prompt_of(40, 7));
    const KvBlock block = prefill->export_kv(1);
    // 3 layers x 2 x 2 heads x 8 x 40 tokens
    EXPECT_EQ(block.bytes.size(), static_cast<std::size_t>(3 * 2 * 2 * 8 * 40 * bytes_of(type)));
    decode->import_kv(8, block);
    EXPECT_EQ(decode->export_kv(8), block);
    EXPECT_EQ(pass(*decode, 8, 40, {11}), pass(*prefill, 1, 40, {11}));
  }
}

TEST_F(Functional, PipelinedStagesEqualTheWholeModel) {
  const auto whole = load(whole_model(net_, fp32()));
  const auto tokens = prompt_of(30, 8);
  StageData data;
  data.tokens = tokens;
  std::int64_t rows = 0;
  const Tensor expected = pass(*whole, 0, 0, tokens);
  StageData hidden;
  for (const Stage& stage : partition_pipeline(net_, fp32(), 2, 2)) {
    const auto loaded = load(stage);
    StageData out;
    (void)loaded->run({{{0, 0, 30, true}}}, data, out);
    if (!stage.has_head()) {
      data.tokens.clear();
      data.hidden = out.hidden;
      continue;
    }
    for (std::int64_t v = 0; v < out.logits.dim(1); ++v) {
      EXPECT_EQ(out.logits.load(v), expected.load(rows++));
    }
  }
  EXPECT_EQ(rows, net_.vocabulary);
}

TEST_F(Functional, NarrowFormatsStayNearFullPrecision) {
  const auto full = load(whole_model(net_, fp32()));
  const Tensor expected = pass(*full, 0, 0, prompt_of(20, 9));
  for (const auto& [type, tolerance] :
       {std::pair{ElementType::Float16, 0.05}, {ElementType::Bfloat16, 0.4}}) {
    const auto stage = load(whole_model(net_, {type, type, type}));
    const Tensor logits = pass(*stage, 0, 0, prompt_of(20, 9));
    double worst = 0;
    for (std::int64_t v = 0; v < 50; ++v) {
      worst = std::max(worst, std::abs(static_cast<double>(logits.load(v) - expected.load(v))));
    }
    EXPECT_LT(worst, tolerance);
    EXPECT_GT(worst, 0);
  }
}

TEST_F(Functional, WrongUseIsAnError) {
  const auto stage = load(whole_model(net_, fp32()));
  EXPECT_THROW((void)pass(*stage, 0, 5, {1}), ModelError);   // no KV of five tokens
  EXPECT_THROW((void)pass(*stage, 1, 0, {50}), ModelError);  // outside the vocabulary
  EXPECT_THROW((void)stage->export_kv(99), ModelError);
  EXPECT_THROW((void)pass(*stage, 2, 0, prompt_of(201, 1)), ModelError);  // longer than loaded for
}

TEST_F(Functional, TimeIsThatOfTheSimulation) {
  const Stage stage = whole_model(net_, fp32());
  const auto loaded = load(stage);
  StageData in;
  StageData out;
  in.tokens = prompt_of(12, 1);
  const Batch batch{{{0, 0, 12, true}}};
  const StageCost cost = loaded->run(batch, in, out);
  EXPECT_EQ(cost.time, chip_.simulate(stage, batch, nullptr).time);
  EXPECT_GT(cost.time, Picoseconds(0));
}

TEST(TrackedRows, ReadingTooEarlyIsAnError) {
  TrackedRows rows("activations", 2, 3);
  EXPECT_THROW((void)rows.read(0, Picoseconds(10)), ModelError);  // never written
  (void)rows.write(0, Picoseconds(20));
  EXPECT_THROW((void)rows.read(0, Picoseconds(19)), ModelError);
  EXPECT_NO_THROW((void)rows.read(0, Picoseconds(20)));
  EXPECT_EQ(rows.version(0), 1U);
}

}  // namespace
}  // namespace tandem::gpu
