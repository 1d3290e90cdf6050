// The recurrent step of Gated DeltaNet by itself: bits of the reference in the chip's order,
// closely those of the float operators, in the predicted cycles and without a hazard.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <string>

#include "models/lpu/compiler/delta.hpp"
#include "models/lpu/machine.hpp"
#include "models/lpu/verifier.hpp"
#include "sim/core/integers.hpp"
#include "tests/lpu/compiler_harness.hpp"
#include "tests/lpu/delta_reference.hpp"

namespace tandem::test {
namespace {

using lpu::LatencyTable;
using ops::GatedDeltaShape;

constexpr float epsilon = 1e-6F;

std::vector<float> uniform(std::int64_t count, double from, double to, RandomStream& random) {
  std::vector<float> values(index_of(count));
  for (float& v : values) v = static_cast<float>(from + (to - from) * random.uniform());
  return values;
}

DeltaWeights random_layer(const GatedDeltaShape& shape, RandomStream& random) {
  DeltaWeights weights;
  weights.conv = uniform(shape.conv_channels() * shape.conv_taps, -1, 1, random);
  weights.a_log = uniform(shape.value_heads, -2, 1, random);
  weights.dt_bias = uniform(shape.value_heads, -1, 1, random);
  weights.norm = uniform(shape.value_dim, 0.5, 1.5, random);
  return weights;
}

DeltaInputs random_token(const GatedDeltaShape& shape, RandomStream& random) {
  return {uniform(shape.conv_channels(), -2, 2, random), uniform(shape.value_heads, -4, 4, random),
          uniform(shape.value_heads, -3, 3, random), uniform(shape.value_width(), -3, 3, random)};
}

// A compiled step on a chip.
class DeltaUnderTest {
 public:
  DeltaUnderTest(const lpu::Geometry& geometry, const GatedDeltaShape& shape,
                 const DeltaWeights& weights, int slots)
      : geometry_(geometry),
        compiled(lpu::compile_delta(geometry, LatencyTable{}, "chip", shape, epsilon, slots)),
        machine_(geometry, LatencyTable{}, true) {
    machine_.load(compiled.program, {});
    lpu::write_delta_layer(geometry, compiled.plan, compiled.layer,
                           {weights.conv, weights.a_log, weights.dt_bias, weights.norm}, writer());
    lpu::write_delta_buffers(geometry, compiled.plan, compiled.buffers, writer());
  }
  DeltaUnderTest(const DeltaUnderTest&) = delete;

  std::vector<float> step(int slot, std::int64_t position, const DeltaInputs& inputs) {
    write_inputs(inputs);
    const auto registers = lpu::delta_registers(compiled.plan, slot, position);
    for (std::size_t i = 0; i < registers.size(); ++i) {
      machine_.set_register(lpu::host_register::delta_state + static_cast<int>(i), registers[i]);
    }
    cycles = machine_.run().cycles;
    std::vector<float> outputs(index_of(compiled.plan.shape.value_width()));
    for (std::size_t pack = 0; pack < compiled.outputs.size(); ++pack) {
      gather(compiled.outputs[pack], compiled.plan.value_channels(static_cast<int>(pack)), outputs);
    }
    return outputs;
  }

  [[nodiscard]] std::vector<float> state(int slot) const {
    const lpu::DeltaPlan& plan = compiled.plan;
    std::vector<float> result(index_of(plan.shape.state_elements()));
    for (int pack = 0; pack < static_cast<int>(plan.packs.size()); ++pack) {
      const auto channels = plan.value_channels(pack);
      for (int i = 0; i < plan.key_dim(); ++i) {
        lpu::Rows rows = lpu::delta_state_row(compiled.layer, pack, i);
        for (lpu::Place& place : rows) place.row += slot * lpu::delta_state_rows(plan);
        std::vector<std::int64_t> elements = channels;
        for (std::int64_t& e : elements) {
          if (e >= 0)
            e = (e / plan.value_dim() * plan.key_dim() + i) * plan.value_dim() +
                e % plan.value_dim();
        }
        gather(rows, elements, result);
      }
    }
    return result;
  }

 private:
  lpu::RowWriter writer() {
    return [this](const lpu::Place& place, std::span<const std::uint8_t> bytes) {
      machine_.write_row(place.slice, place.bank, place.row, bytes);
    };
  }

  void scatter(const lpu::Rows& rows, const std::vector<std::int64_t>& channels,
               std::span<const float> values) {
    std::vector<float> lanes;
    for (const std::int64_t c : channels) lanes.push_back(c >= 0 ? values[index_of(c)] : 0.0F);
    lpu::write_vector(geometry_, rows, lpu::Type::Float32, lanes, writer());
  }

  void gather(const lpu::Rows& rows, const std::vector<std::int64_t>& channels,
              std::vector<float>& values) const {
    std::vector<std::uint32_t> bits(channels.size());
    for (std::size_t b = 0; b < rows.size(); ++b) {
      const auto bytes = machine_.read_row(rows[b].slice, rows[b].bank, rows[b].row);
      for (std::size_t l = 0; l < bits.size(); ++l) bits[l] |= std::uint32_t{bytes[l]} << (8 * b);
    }
    for (std::size_t l = 0; l < bits.size(); ++l) {
      if (channels[l] >= 0) values[index_of(channels[l])] = std::bit_cast<float>(bits[l]);
    }
  }

  void write_inputs(const DeltaInputs& inputs) {
    const lpu::DeltaPlan& plan = compiled.plan;
    const std::span<const float> all(inputs.channels);
    const std::size_t keys = index_of(plan.shape.key_heads * plan.shape.key_dim);
    for (int v = 0; v < plan.key_vectors; ++v) {
      scatter(compiled.queries[index_of(v)], plan.key_channels(v), all.first(keys));
      scatter(compiled.keys[index_of(v)], plan.key_channels(v), all.subspan(keys, keys));
    }
    for (int p = 0; p < static_cast<int>(plan.packs.size()); ++p) {
      scatter(compiled.values[index_of(p)], plan.value_channels(p), all.subspan(2 * keys));
      scatter(compiled.z[index_of(p)], plan.value_channels(p), inputs.z);
    }
    std::vector<float> both = inputs.a;
    both.insert(both.end(), inputs.b.begin(), inputs.b.end());
    for (int g = 0; g < plan.gate_vectors; ++g) {
      std::vector<std::int64_t> channels = plan.gate_channels(g, false);
      const std::vector<std::int64_t> of_b = plan.gate_channels(g, true);
      for (std::size_t l = 0; l < channels.size(); ++l) {
        if (of_b[l] >= 0) channels[l] = of_b[l] + plan.shape.value_heads;
      }
      scatter(compiled.gates[index_of(g)], channels, both);
    }
  }

  lpu::Geometry geometry_;

 public:
  lpu::CompiledDelta compiled;
  std::int64_t cycles = 0;

 private:
  lpu::Machine machine_;
};

void expect_equal(const std::vector<float>& got, const std::vector<float>& expected,
                  const char* what) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(expected[i]))
        << what << " " << i << ": " << got[i] << ", expected " << expected[i];
  }
}

void expect_equal_to_reference(const lpu::Geometry& geometry, const GatedDeltaShape& shape,
                               int tokens, std::uint64_t seed) {
  RandomStream random(seed, "delta");
  const DeltaWeights weights = random_layer(shape, random);
  DeltaUnderTest chip(geometry, shape, weights, 1);
  DeltaReference reference(shape, weights, epsilon, geometry.lanes());
  for (int t = 0; t < tokens; ++t) {
    const DeltaInputs inputs = random_token(shape, random);
    expect_equal(chip.step(0, t, inputs), reference.step(inputs), "output");
    expect_equal(chip.state(0), reference.state(), "state");
    ASSERT_EQ(chip.cycles, chip.compiled.cycles);
    if (testing::Test::HasFatalFailure()) return;
  }
  for (const auto& fault : lpu::verify(chip.compiled.program, geometry, LatencyTable{})) {
    ADD_FAILURE() << lpu::format_violation(fault);
  }
}

TEST(GatedDeltaStep, OneHeadHasTheBitsOfTheReference) {
  expect_equal_to_reference(narrow_geometry(2), {1, 1, 4, 4, 4, 64}, 3, 1);
}

TEST(GatedDeltaStep, SeveralKeyVectorsPacksAndViewsHaveThem) {
  // 32 lanes: two key heads of 12 a vector, so three key vectors; packs of three value heads of 10,
  // the last of each key vector with one: keys of the first three heads are (0 0 1), of the
  // fourth 1.
  expect_equal_to_reference(narrow_geometry(2), {5, 10, 12, 10, 4, 64}, 3, 2);
}

TEST(GatedDeltaStep, AWholeVectorOnLpuV1HasThem) {
  expect_equal_to_reference(lpu_v1_geometry(), {2, 4, 16, 16, 4, 64}, 2, 3);
}

TEST(GatedDeltaStep, TheWideWeightPathHasThem) {
  // The slice of one of sixteen ranks of Qwen3.5-397B.
  expect_equal_to_reference(lp30_geometry(), {1, 4, 128, 128, 4, 64}, 1, 4);
}

TEST(GatedDeltaStep, AnyShapeHasThem) {
  const char* wanted = std::getenv("TANDEM_LPU_CASES");
  const int cases = wanted != nullptr ? std::atoi(wanted) : 8;
  for (int seed = 0; seed < cases; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomStream random(static_cast<std::uint64_t>(seed), "delta shapes");
    const int superlanes = static_cast<int>(random.integer(1, 5));
    const std::int64_t lanes = 16 * superlanes;
    const std::int64_t key_heads = random.integer(1, 5);
    const GatedDeltaShape shape{key_heads,
                                key_heads * random.integer(1, 4),
                                random.integer(1, std::min<std::int64_t>(lanes, 24)),
                                random.integer(1, std::min<std::int64_t>(lanes, 24)),
                                random.integer(1, 5),
                                64};
    expect_equal_to_reference(narrow_geometry(superlanes), shape, 2,
                              static_cast<std::uint64_t>(seed));
    if (HasFatalFailure()) return;
  }
}

// 32 tokens through the float operators: only roundings differ.
TEST(GatedDeltaStep, StaysCloseToTheFloatOperatorsOver32Tokens) {
  const GatedDeltaShape shape{2, 4, 16, 16, 4, 64};
  RandomStream random(9, "delta");
  const DeltaWeights weights = random_layer(shape, random);
  DeltaUnderTest chip(narrow_geometry(4), shape, weights, 1);
  ops::GatedDeltaState state(shape);
  float largest = 0, difference = 0;
  for (int t = 0; t < 32; ++t) {
    DeltaInputs in = random_token(shape, random);
    const std::vector<float> got = chip.step(0, t, in);
    ops::short_convolution(shape, weights.conv, in.channels, state.conv, in.channels);
    const std::span<float> all(in.channels);
    ops::l2_normalise_heads(all.first(64), 16);
    std::vector<float> log_decay(4), beta(4), expected(64);
    ops::delta_gates(in.a, in.b, weights.a_log, weights.dt_bias, log_decay, beta);
    ops::gated_delta_recurrent(
        shape, {all.first(32), all.subspan(32, 32), all.subspan(64), log_decay, beta, 1},
        state.recurrent, expected);
    ops::gated_rmsnorm(expected, weights.norm, in.z, epsilon, expected);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      largest = std::max(largest, std::fabs(expected[i]));
      difference = std::max(difference, std::fabs(got[i] - expected[i]));
    }
  }
  EXPECT_GT(largest, 1.0F);
  EXPECT_LE(difference, 1e-5F * largest);
  testing::Test::RecordProperty("difference", std::to_string(difference / largest));
}

TEST(GatedDeltaStep, RequestsInOtherSlotsChangeNothing) {
  const GatedDeltaShape shape{2, 4, 6, 5, 4, 64};
  RandomStream random(5, "delta");
  const DeltaWeights weights = random_layer(shape, random);
  DeltaUnderTest chip(narrow_geometry(2), shape, weights, 3);
  DeltaReference mine(shape, weights, epsilon, 32);
  for (int t = 0; t < 6; ++t) {
    static_cast<void>(chip.step(0, t + 3, random_token(shape, random)));
    const DeltaInputs inputs = random_token(shape, random);
    expect_equal(chip.step(1, t, inputs), mine.step(inputs), "output");
    static_cast<void>(chip.step(2, t + 1, random_token(shape, random)));
    expect_equal(chip.state(1), mine.state(), "state");
  }
  for (const auto& fault : lpu::verify(chip.compiled.program, narrow_geometry(2), LatencyTable{})) {
    ADD_FAILURE() << lpu::format_violation(fault);
  }
}

TEST(GatedDeltaStep, HeadsLongerThanAVectorAreRefused) {
  EXPECT_THROW(lpu::compile_delta(narrow_geometry(1), LatencyTable{}, "chip", {1, 1, 17, 4, 4, 64},
                                  epsilon, 1),
               ModelError);
}

}  // namespace
}  // namespace tandem::test
