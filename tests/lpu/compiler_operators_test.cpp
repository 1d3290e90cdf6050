// One test per operator of a stage, on random shapes: what each leaves in SRAM has the bits of the
// reference in the chip's format and order. Stages of one layer, so that nothing overwrites what an
// operator left. Products by themselves, quantisation, Gated DeltaNet and collectives have tests of
// their own.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <string>

#include "tests/lpu/compiler_harness.hpp"
#include "tests/support/lpu_reference.hpp"

namespace tandem::test {
namespace {

using lpu::StageLayout;
using lpu::Type;

// A one-layer decoder of a random shape, on a chip and in the reference.
struct OperatorCase {
  DenseDecoder network;
  lpu::Geometry geometry;
  ElementType weights_type, kv_type;
  Weights weights;
  Stage stage;

  OperatorCase(std::uint64_t seed, bool has_head) {
    RandomStream random(seed, "operators");
    const std::int64_t kv_heads = random.integer(1, 5);
    network = small_network(has_head ? 1 : 2, random.integer(3, 90),
                            kv_heads * random.integer(1, 4), kv_heads, 2 * random.integer(1, 7),
                            random.integer(1, 100), random.integer(2, 80));
    network.rope.layout =
        random.integer(0, 1) == 0 ? RopeLayout::Interleaved : RopeLayout::HalfSplit;
    // Every fourth shape on the whole vector of LPU v1.
    geometry =
        seed % 4 == 3 ? lpu_v1_geometry() : narrow_geometry(static_cast<int>(random.integer(1, 5)));
    constexpr ElementType types[] = {ElementType::Float16, ElementType::Bfloat16,
                                     ElementType::Fp8E4m3};
    weights_type = types[random.integer(0, 2)];
    kv_type = types[random.integer(0, 2)];
    weights = spread_weights(network, seed);
    const Precision precision = precision_of(weights_type, kv_type);
    stage = has_head ? whole_model(network, precision)
                     : partition_pipeline(weights.network, precision, 2, 0).front();
  }
};

// Rows that lie one behind the other as vectors of a value.
std::vector<float> read_all(const lpu::ChipHost& host, const std::vector<lpu::Rows>& rows,
                            Type type) {
  std::vector<float> values;
  for (const lpu::Rows& vector : rows) {
    const auto lanes = host.read_vector(vector, type);
    values.insert(values.end(), lanes.begin(), lanes.end());
  }
  return values;
}

// Each q head lies alone in its lanes, the others are zero: their sum is the rotated vector.
std::vector<float> rotated_queries(const lpu::ChipHost& host, const StageLayout& layout) {
  const auto lanes = static_cast<std::size_t>(layout.shape.lanes);
  std::vector<float> all;
  for (int q = 0; q < layout.shape.q_vectors(); ++q) {
    std::vector<float> vector(lanes);
    const int pack = q / layout.shape.group;
    const auto side = layout.layers.back().packs[static_cast<std::size_t>(pack)].side;
    for (int p = 0; p < layout.shape.heads_in_pack(pack); ++p) {
      const auto head =
          host.read_vector(layout.q_heads[layout.head_slot(q, p, side)], layout.shape.kv);
      for (std::size_t l = 0; l < lanes; ++l) vector[l] += head[l];
    }
    all.insert(all.end(), vector.begin(), vector.end());
  }
  return all;
}

struct Operator {
  const char* name;
  bool of_head;       ///< needs a stage with a head
  const char* trace;  ///< what the reference calls its result
  std::vector<float> (*read)(const lpu::ChipHost&, const StageLayout&);
};

const Operator operators[] = {
    {"RMSNorm", false, "ffn norm",
     [](const lpu::ChipHost& host, const StageLayout& layout) {
       return read_all(host, layout.normed.side[0], layout.shape.weights);
     }},
    {"rotary embedding", false, "rotated queries", rotated_queries},
    {"attention and softmax", false, "attended",
     [](const lpu::ChipHost& host, const StageLayout& layout) {
       return read_all(host, layout.attended.side[0], layout.shape.weights);
     }},
    {"SwiGLU", false, "gated",
     [](const lpu::ChipHost& host, const StageLayout& layout) {
       return read_all(host, layout.gated.side[0], layout.shape.weights);
     }},
    {"products and residuals", false, "hidden",
     [](const lpu::ChipHost& host, const StageLayout& layout) {
       return read_all(host, layout.hidden, Type::Float32);
     }},
    {"product of the head", true, "logits",
     [](const lpu::ChipHost& host, const StageLayout& layout) {
       std::vector<float> logits = read_all(host, layout.logits, Type::Float32);
       logits.resize(static_cast<std::size_t>(layout.network().vocabulary));
       return logits;
     }},
    {"best token", true, "best token",
     [](const lpu::ChipHost& host, const StageLayout& layout) {
       const auto value = host.read_vector(layout.best_value, Type::Float32);
       const auto tile = host.read_vector(layout.best_tile, Type::Float32);
       const auto best = std::max_element(value.begin(), value.end()) - value.begin();
       std::int64_t token = layout.network().vocabulary;
       for (std::size_t l = 0; l < value.size(); ++l) {
         if (value[l] != value[static_cast<std::size_t>(best)]) continue;
         token = std::min(token, static_cast<std::int64_t>(tile[l]) * layout.shape.lanes +
                                     static_cast<std::int64_t>(l));
       }
       return std::vector<float>{static_cast<float>(token)};
     }},
};

class LpuOperator : public testing::TestWithParam<Operator> {};

TEST_P(LpuOperator, HasTheBitsOfTheReferenceOnRandomShapes) {
  const Operator& op = GetParam();
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    SCOPED_TRACE(std::string(op.name) + ", seed " + std::to_string(seed));
    const OperatorCase c(seed, op.of_head);
    StageUnderTest chip(c.geometry, c.stage, c.weights, 1, 3);
    LpuReference reference(c.weights, c.weights_type, c.kv_type, c.geometry.lanes());
    for (int position = 0; position < 3; ++position) {
      const auto token = static_cast<std::int32_t>((seed + 3 * position) % 2);
      static_cast<void>(chip.host->run_token(0, position, embedding_row(c.weights, token)));
      static_cast<void>(reference.forward(token));
    }
    const auto got = op.read(*chip.host, chip.compiled.layout);
    const auto& expected = reference.trace(op.trace);
    ASSERT_EQ(got.size(), expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i] + 0.0F),
                std::bit_cast<std::uint32_t>(expected[i] + 0.0F))
          << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Each, LpuOperator, testing::ValuesIn(operators),
                         [](const testing::TestParamInfo<Operator>& tested) {
                           std::string name = tested.param.name;
                           std::erase_if(name, [](char c) { return c == ' '; });
                           return name;
                         });

}  // namespace
}  // namespace tandem::test
