// Does the closed form of every kernel kind equal what walking its loops counts, on random small
// shapes with ragged and edge sizes?
#include <gtest/gtest.h>

#include "sim/core/random.hpp"
#include "tests/lower/walk.hpp"
#include "tests/support/property.hpp"

namespace tandem {
namespace {

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : random_(seed, "kernel work") {}
  std::int64_t in(std::int64_t low, std::int64_t high) { return random_.integer(low, high); }
  bool flag() { return in(0, 1) == 1; }
  template <class Enum>
  Enum one_of(Enum last) {
    return static_cast<Enum>(in(0, static_cast<std::int64_t>(last)));
  }
  ElementType type() {
    constexpr ElementType types[] = {ElementType::Float32, ElementType::Bfloat16,
                                     ElementType::Fp8E4m3};
    return types[in(0, 2)];
  }
  std::vector<QuerySpan> spans() {
    std::vector<QuerySpan> spans(static_cast<std::size_t>(in(1, 3)));
    for (QuerySpan& span : spans) {
      span.q_len = flag() ? 1 : in(1, 9);
      span.kv_len = span.q_len + (flag() ? 0 : in(1, 12));
    }
    return spans;
  }

 private:
  RandomStream random_;
};

void draw(Draw& d, EmbeddingKernel& s) {
  s = {d.in(0, 5), d.in(1, 7)};
}
void draw(Draw& d, NormKernel& s) {
  s = {d.in(1, 5), d.in(1, 7), d.one_of(NormKind::Layer), d.flag(), d.flag(), d.flag()};
}
void draw(Draw& d, GemmKernel& s) {
  s = {d.in(1, 5), d.in(1, 6), d.in(1, 7), d.type(), d.type(), d.flag(), d.flag()};
}
void draw(Draw& d, BatchedGemmKernel& s) {
  s = {d.in(1, 3), d.in(1, 5), d.in(1, 6), d.in(1, 7), d.type(), d.type()};
}
void draw(Draw& d, GroupedGemmKernel& s) {
  s.rows.resize(static_cast<std::size_t>(d.in(1, 5)));
  for (std::int64_t& rows : s.rows) rows = d.in(0, 4);
  s.n = d.in(1, 5);
  s.k = d.in(1, 5);
  s.weights = d.type();
  s.activations = d.type();
  s.bias = d.flag();
}
void draw(Draw& d, RopeKernel& s) {
  const std::int64_t head_dim = 2 * d.in(1, 4);
  s = {d.in(1, 5), d.in(1, 4), d.in(1, 2), head_dim, d.type()};
  if (d.flag()) s.rotated = 2 * d.in(0, head_dim / 2);
  s.values = d.flag();
  s.extra = d.flag() ? 0 : d.in(1, 5);
}
void draw(Draw& d, CacheReadKernel& s) {
  s = {d.in(1, 6), d.in(1, 7), d.type()};
}
void draw(Draw& d, AttentionKernel& s) {
  s.spans = d.spans();
  s.kv_heads = d.in(1, 3);
  s.heads = s.kv_heads * d.in(1, 3);
  s.head_dim = d.in(1, 5);
  s.window = d.flag() ? 0 : d.in(1, 15);
  s.activations = d.type();
  s.kv = d.type();
  s.value_dim = d.flag() ? 0 : d.in(1, 5);
  s.shared_key_dim = d.flag() ? 0 : d.in(0, s.head_dim);
  s.sinks = d.flag();
  s.softcap = d.flag();
}
void draw(Draw& d, LatentAttentionKernel& s) {
  s = {d.spans(), d.in(1, 3), d.in(1, 5), d.in(1, 3), d.flag() ? 0 : d.in(1, 12),
       d.type(),  d.type()};
}
void draw(Draw& d, IndexerKernel& s) {
  s = {d.spans(), d.in(1, 3), d.in(1, 4), d.in(1, 12), d.type(), d.type()};
}
void draw(Draw& d, ShortConvolutionKernel& s) {
  s = {d.spans(), d.in(1, 6), d.in(1, 5)};
}
void draw(Draw& d, DeltaGateKernel& s) {
  const std::int64_t key_heads = d.in(1, 3);
  s = {d.in(1, 5), key_heads, key_heads * d.in(1, 3), d.in(1, 5)};
}
void draw(Draw& d, GatedDeltaKernel& s) {
  s.spans = d.spans();
  s.shape.key_heads = d.in(1, 2);
  s.shape.value_heads = s.shape.key_heads * d.in(1, 3);
  s.shape.key_dim = d.in(1, 5);
  s.shape.value_dim = d.in(1, 5);
  s.shape.chunk = d.in(1, 6);
  s.phase = d.one_of(DeltaPhase::Chunked);
}
void draw(Draw& d, StateSpaceScanKernel& s) {
  const std::int64_t groups = d.in(1, 2);
  s = {d.spans(), groups * d.in(1, 3), d.in(1, 4), groups, d.in(1, 5), d.in(1, 6)};
}
void draw(Draw& d, RouterKernel& s) {
  s.tokens = d.in(1, 4);
  ops::Router& r = s.router;
  r.rule = d.one_of(ops::RouterRule::SigmoidBias);
  r.groups = d.in(1, 4);
  r.experts = r.groups * d.in(2, 4);
  r.top_groups = d.in(1, r.groups);
  r.top_k = d.in(1, r.experts / r.groups * r.top_groups);
  r.renormalise = d.flag();
  r.scale = d.flag() ? 1 : 2.5;
  r.bias = d.flag();
  r.group_score = d.one_of(ops::GroupScore::SumOfTop2);
  r.group_mask = d.one_of(ops::GroupMask::Zero);
  s.expert_scale = d.flag();
}
void draw(Draw& d, ExpertSortKernel& s) {
  s = {d.in(1, 5), d.in(1, 4), d.in(1, 6)};
}
void draw(Draw& d, DispatchKernel& s) {
  s = {d.in(1, 5), d.in(1, 4), d.in(1, 6)};
}
void draw(Draw& d, CombineKernel& s) {
  s = {d.in(1, 5), d.in(1, 4), d.in(1, 6), d.flag(), d.flag()};
}
void draw(Draw& d, ActivationKernel& s) {
  s = {d.in(0, 5), d.in(1, 6), d.one_of(ActivationKind::ClampedSwiglu), true};
  if (s.kind != ActivationKind::ClampedSwiglu) s.gated = d.flag();
}
void draw(Draw& d, ElementwiseKernel& s) {
  s = {d.one_of(ElementwiseKind::Add), d.in(0, 5), d.in(1, 6)};
}
void draw(Draw& d, SampleKernel& s) {
  s = {d.in(1, 5), d.in(1, 9)};
}
/// Any precision that quantises activations.
void draw(Draw& d, QuantiseKernel& s) {
  s = {d.in(1, 5), 16 * d.in(1, 20)};
  const auto known = formats::precisions();
  do {
    s.precision = &known[static_cast<std::size_t>(d.in(0, std::ssize(known) - 1))];
  } while (!s.precision->activation);
}

template <class Shape>
class EveryKernel : public testing::Test {};

using Shapes =
    testing::Types<EmbeddingKernel, NormKernel, GemmKernel, RopeKernel, AttentionKernel,
                   ActivationKernel, SampleKernel, BatchedGemmKernel, GroupedGemmKernel,
                   CacheReadKernel, LatentAttentionKernel, IndexerKernel, ShortConvolutionKernel,
                   DeltaGateKernel, GatedDeltaKernel, RouterKernel, DispatchKernel, CombineKernel,
                   ElementwiseKernel, ExpertSortKernel, QuantiseKernel, StateSpaceScanKernel>;

class ShapeNames {
 public:
  template <class Shape>
  static std::string GetName(int) {
    Kernel kernel;
    kernel.shape = Shape{};
    return std::string(kind_name(kernel));
  }
};
TYPED_TEST_SUITE(EveryKernel, Shapes, ShapeNames);

TYPED_TEST(EveryKernel, does_what_its_loops_do) {
  const int cases = test::property_cases(120);
  for (int seed = 0; seed < cases; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Draw source(static_cast<std::uint64_t>(seed));
    TypeParam shape;
    draw(source, shape);
    Kernel kernel;
    kernel.activations = source.type();
    kernel.shape = shape;
    test::Tally tally;
    test::walk(shape, bytes_of(kernel.activations), tally);
    const KernelWork counted = tally.work();
    const KernelWork work = work_of(kernel);
    ASSERT_EQ(work.matrix, counted.matrix);
    ASSERT_EQ(work.vector, counted.vector);
    ASSERT_EQ(work.special, counted.special);
    ASSERT_EQ(work.weight_bytes, counted.weight_bytes);
    ASSERT_EQ(work.read_bytes, counted.read_bytes);
    ASSERT_EQ(work.write_bytes, counted.write_bytes);
  }
}

static_assert(std::variant_size_v<KernelShape> == 22, "a new kind needs a walk and a draw here");

}  // namespace
}  // namespace tandem
