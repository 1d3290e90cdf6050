// Do the CTAs of the timed plans compute the operator: every key and every k once, whatever the
// tiles and splits?
#include <gtest/gtest.h>

#include <cmath>

#include "models/gpu/attention_schedule.hpp"
#include "models/gpu/functional_ops.hpp"
#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/loaded_stage.hpp"
#include "models/gpu/plan_gemm.hpp"
#include "models/gpu/planned_attention.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/lower/dense_weights.hpp"
#include "sim/numerics/ops/attention.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

using Values = std::vector<float>;

Values drawn(RandomStream& random, std::int64_t count) {
  Values values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(2 * random.uniform() - 1);
  return values;
}

std::span<float> row_of(Values& values, std::int64_t row, std::int64_t width) {
  return std::span(values).subspan(static_cast<std::size_t>(row * width),
                                   static_cast<std::size_t>(width));
}

/// Tensors of one attention kernel, per span.
struct Tensors {
  std::vector<Values> q, k, v, out;
  Tensors(const AttentionKernel& shape, RandomStream& random) {
    for (const QuerySpan& span : shape.spans) {
      q.push_back(drawn(random, span.q_len * shape.heads * shape.head_dim));
      k.push_back(drawn(random, span.kv_len * shape.kv_heads * shape.head_dim));
      v.push_back(drawn(random, span.kv_len * shape.kv_heads * shape.head_dim));
      out.emplace_back(q.back().size());
    }
  }
  AttentionRows rows(const AttentionKernel& shape) {
    const std::int64_t width = shape.heads * shape.head_dim;
    const std::int64_t kv_width = shape.kv_heads * shape.head_dim;
    return {
        [this, width](std::size_t span, std::int64_t i) { return row_of(q[span], i, width); },
        [this, kv_width](std::size_t span, std::int64_t t) { return row_of(k[span], t, kv_width); },
        [this, kv_width](std::size_t span, std::int64_t t) { return row_of(v[span], t, kv_width); },
        [this, width](std::size_t span, std::int64_t i) { return row_of(out[span], i, width); }};
  }
};

/// Largest distance from the reference operator, row by row over the keys a row sees.
double worst_error(const AttentionKernel& shape, Tensors& tensors) {
  const std::int64_t width = shape.heads * shape.head_dim;
  const std::int64_t kv_width = shape.kv_heads * shape.head_dim;
  double worst = 0;
  for (std::size_t s = 0; s < shape.spans.size(); ++s) {
    const QuerySpan& span = shape.spans[s];
    for (std::int64_t i = 0; i < span.q_len; ++i) {
      const std::int64_t keys = span.kv_len - span.q_len + i + 1;
      Values expected(static_cast<std::size_t>(width));
      ops::attention({shape.heads, shape.kv_heads, shape.head_dim, shape.window},
                     row_of(tensors.q[s], i, width), {tensors.k[s], kv_width, keys},
                     {tensors.v[s], kv_width, keys}, {}, {ElementType::Float32}, expected);
      const auto actual = row_of(tensors.out[s], i, width);
      for (std::size_t d = 0; d < expected.size(); ++d) {
        worst = std::max(worst, std::abs(static_cast<double>(actual[d] - expected[d])));
      }
    }
  }
  return worst;
}

AttentionKernel drawn_attention(RandomStream& random) {
  AttentionKernel shape;
  shape.kv_heads = 1 + random.integer(0, 1);
  shape.heads = shape.kv_heads * (1 + random.integer(0, 7));
  shape.head_dim = 64;
  shape.activations = shape.kv = ElementType::Float32;
  shape.library = random.integer(0, 1) == 0 ? AttentionLibrary::Flash : AttentionLibrary::TensorRt;
  if (random.integer(0, 2) == 0) shape.window = 1 + random.integer(0, 199);
  const std::int64_t spans = 1 + random.integer(0, 2);
  for (std::int64_t i = 0; i < spans; ++i) {
    const std::int64_t queries = random.integer(0, 1) == 0 ? 1 : 1 + random.integer(0, 39);
    shape.spans.push_back({queries, queries + random.integer(0, 499)});
  }
  return shape;
}

TEST(PlannedNumerics, AttentionOfEveryScheduleEqualsTheOperator) {
  RandomStream random(11, "planned attention");
  bool splits = false;
  for (const double issue : {0.0, 1.0, 2.0}) {
    const GpuParams params = params_of(with(large_chip(), "matrix_issue", issue));
    for (int i = 0; i < 8; ++i) {
      const AttentionKernel shape = drawn_attention(random);
      Tensors tensors(shape, random);
      planned_attention(params, shape, tensors.rows(shape));
      // One rounding per key and turn in fp32: 500 keys of values below 1.
      EXPECT_LT(worst_error(shape, tensors), 2e-6) << "issue " << issue << ", case " << i;
      for (const AttentionCta& cta : attention_schedule(params, shape, true, 0).ctas) {
        splits = splits || cta.parts > 1;
      }
    }
  }
  EXPECT_TRUE(splits) << "no case splits its keys";
}

TEST(PlannedNumerics, SplitProductsAreSumsOfTheirParts) {
  // 1 + 2^-24 is 1 in float: parts of two keep the small terms apart, one ascending sum loses them.
  const float tiny = std::ldexp(1.0F, -24);
  const Values a{1, tiny, tiny, tiny};
  const Values ones{1, 1, 1, 1};
  EXPECT_EQ(matrix_dot_in_parts(ElementType::Float32, a, ones, 4), 1.0F);
  EXPECT_EQ(matrix_dot_in_parts(ElementType::Float32, a, ones, 2), 1.0F + 2 * tiny);
  EXPECT_EQ(matrix_dot_in_parts(ElementType::Float32, a, ones, 3), 1.0F);
}

/// A network whose last product splits K on a large chip.
DenseDecoder deep_network() {
  DenseDecoder net;
  net.name = "deep";
  net.layers = 1;
  net.hidden = 128;
  net.heads = 4;
  net.kv_heads = 2;
  net.head_dim = 32;
  net.intermediate = 4096;
  net.vocabulary = 32;
  net.max_context = 100;
  return net;
}

TEST(PlannedNumerics, AModelInPlannedOrderStaysWithinRounding) {
  const NeuralNetwork network = network_of(deep_network());
  const Weights weights = random_weights(network, 3);
  const GpuChip chip(large_chip(), Software{});
  const Stage stage =
      whole_model(network, {ElementType::Float32, ElementType::Float32, ElementType::Float32});
  ASSERT_GT(choose_tiling(chip.params(), {1, 128, 4096}).split, 1);
  std::vector<Tensor> logits;
  for (const SumOrder sums : {SumOrder::Fixed, SumOrder::Planned}) {
    const auto loaded = load_on_gpu(chip, stage, weights, 100, CtaOrder::Canonical, sums);
    StageData in;
    StageData out;
    for (int i = 0; i < 80; ++i) in.tokens.push_back(i * 7 % 32);
    (void)loaded->run({{{0, 0, 80, true}}}, in, out);
    in.tokens = {5};
    (void)loaded->run({{{0, 80, 1, true}}}, in, out);
    logits.push_back(out.logits);
  }
  EXPECT_NE(logits[0], logits[1]) << "the planned order must show";
  for (std::int64_t v = 0; v < 32; ++v) EXPECT_NEAR(logits[0].load(v), logits[1].load(v), 1e-4);
}

TEST(PlannedNumerics, VariantsWithoutAFunctionalFormAreRefused) {
  AttentionKernel shape;
  shape.spans = {{1, 10}};
  shape.heads = shape.kv_heads = 1;
  shape.head_dim = 64;
  shape.softcap = true;
  EXPECT_THROW(planned_attention(params_of(large_chip()), shape, {}), ModelError);
}

}  // namespace
}  // namespace tandem::gpu
