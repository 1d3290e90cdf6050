// Are gpt-oss's layouts and the quantised formats of published checkpoints turned into plain
// values?
#include <fstream>

#include "sim/lower/huggingface_tensors.hpp"
#include "tests/lower/published.hpp"

namespace tandem {
namespace {

using test::made;
using test::Names;
using test::Published;
using test::published_attention;
using test::Tensors;

/// gpt-oss with round sizes.
NeuralNetwork gptoss_of_64() {
  NeuralNetwork network = test::gptoss_tiny();
  network.hidden = 64;
  for (LayerKind& kind : network.kinds) kind.ffn.experts->intermediate = 32;
  return network;
}

Names gptoss_names() {
  Names names = published_attention;
  names["experts.router"] = "mlp.router.weight";
  names["experts.router_bias"] = "mlp.router.bias";
  names["experts.down_bias"] = "mlp.experts.down_proj_bias";
  return names;
}

/// Biases of gate and up, [8, 32] each, in turn.
Tensor interleaved_bias(const Weights& weights, std::int64_t layer) {
  return made({8, 64}, [&](std::int64_t at) {
    const char* name = at % 2 == 0 ? "experts.gate_bias" : "experts.up_bias";
    return weights.layer(layer, name).load(at / 2);
  });
}

TEST_F(Published, gptoss_in_plain_floats_is_transposed_and_interleaved) {
  const Weights weights = test::seeded_weights(gptoss_of_64());
  Tensors out;
  outside(weights, out);
  for (std::int64_t i = 0; i < 2; ++i) {
    rename(weights, ours(i), theirs(i), gptoss_names(), out);
    out.emplace(theirs(i) + "mlp.experts.gate_up_proj_bias", interleaved_bias(weights, i));
    out.emplace(theirs(i) + "mlp.experts.gate_up_proj",
                made({8, 64, 64}, [&](std::int64_t at) {  // [expert, in, 2 out]
                  const std::int64_t in = at / 64 % 64;
                  const std::int64_t row = at % 64 / 2;
                  const char* name = at % 2 == 0 ? "experts.gate" : "experts.up";
                  return weights.layer(i, name).load((at / 4096 * 32 + row) * 64 + in);
                }));
    out.emplace(
        theirs(i) + "mlp.experts.down_proj",
        made({8, 32, 64}, [&](std::int64_t at) {  // [expert, in, out]
          const std::int64_t expert = at / 2048;
          return weights.layer(i, "experts.down").load((expert * 64 + at % 64) * 32 + at / 64 % 32);
        }));
  }
  expect_read_back(weights, out);
}

/// The values of OCP E2M1 in the order of their codes.
constexpr std::array<float, 16> fp4{0.0F,  0.5F,  1.0F,  1.5F,  2.0F,  3.0F,  4.0F,  6.0F,
                                    -0.0F, -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F};

/// Matrices whose element e of row r of expert x has the code (5 x + 3 r + e) mod 16, and whose
/// scale is 2^(r mod 3 - 1), in E8M0 126 + r mod 3: the values, and how MXFP4 stores them.
struct MxMatrices {
  std::int64_t experts, rows, columns;
  static int code(std::int64_t x, std::int64_t r, std::int64_t e) {
    return static_cast<int>((5 * x + 3 * r + e) % 16);
  }
  [[nodiscard]] float value(std::int64_t x, std::int64_t r, std::int64_t e) const {
    return fp4[static_cast<std::size_t>(code(x, r, e))] *
           std::array<float, 3>{0.5F, 1.0F, 2.0F}[static_cast<std::size_t>(r % 3)];
  }
  void publish(const std::string& name, Tensors& out) const {
    Tensor blocks(ElementType::Int8, {experts, rows, columns / 32, 16});
    Tensor scales(ElementType::Int8, {experts, rows, columns / 32});
    for (std::int64_t i = 0; i < experts * rows * columns; i += 2) {
      const std::int64_t x = i / (rows * columns);
      const std::int64_t r = i / columns % rows;
      const std::int64_t e = i % columns;
      const int pair = code(x, r, e + 1) * 16 + code(x, r, e);  // the low nibble comes first
      blocks.bytes()[static_cast<std::size_t>(i / 2)] = static_cast<std::byte>(pair);
      scales.bytes()[static_cast<std::size_t>(i / 32)] = static_cast<std::byte>(126 + r % 3);
    }
    out.emplace(name + "_blocks", blocks);
    out.emplace(name + "_scales", scales);
  }
};

/// write_safetensors() with the type of bytes changed to the unsigned one.
void write_unsigned(const std::string& path, const Tensors& tensors) {
  write_safetensors(path, tensors);
  std::ifstream in(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  in.close();
  for (std::size_t at = 0; (at = bytes.find("\"I8\"", at)) != std::string::npos;)
    bytes[at + 1] = 'U';
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST_F(Published, gptoss_in_mxfp4_with_rows_of_gate_and_up_in_turn) {
  Weights weights = test::seeded_weights(gptoss_of_64());
  const MxMatrices fused{8, 64, 64};
  const MxMatrices down{8, 64, 32};
  Tensors out;
  outside(weights, out);
  for (std::int64_t i = 0; i < 2; ++i) {
    for (const int is_up : {0, 1}) {
      weights.tensors.at(ours(i) + (is_up ? "experts.up" : "experts.gate")) =
          made({8, 32, 64}, [&](std::int64_t at) {
            return fused.value(at / 2048, 2 * (at / 64 % 32) + is_up, at % 64);
          });
    }
    weights.tensors.at(ours(i) + "experts.down") = made(
        {8, 64, 32}, [&](std::int64_t at) { return down.value(at / 2048, at / 32 % 64, at % 32); });
    rename(weights, ours(i), theirs(i), gptoss_names(), out);
    out.emplace(theirs(i) + "mlp.experts.gate_up_proj_bias", interleaved_bias(weights, i));
    fused.publish(theirs(i) + "mlp.experts.gate_up_proj", out);
    down.publish(theirs(i) + "mlp.experts.down_proj", out);
  }
  write_unsigned(path_, out);
  const Weights read = read_checkpoint(path_, weights.network);
  for (const auto& [name, tensor] : weights.tensors) EXPECT_EQ(read.at(name), tensor) << name;

  out.insert_or_assign(theirs(0) + "mlp.experts.down_proj_scales",
                       Tensor(ElementType::Int8, {8, 64, 2}));
  write_unsigned(path_, out);
  EXPECT_THROW((void)read_checkpoint(path_, weights.network), ConfigError);
}

// Two rows of 16 in groups of 8: element j of row r has the code (j + r) mod 16, so the value
// (j + r) mod 16 - 8, times the scale of its group, 0.5 + r + 2 (j / 8).
TEST_F(Published, four_bit_integers_are_unpacked_low_bits_first_with_eight_for_zero) {
  Tensor packed(ElementType::Int32, {2, 2});
  for (std::size_t r = 0; r < 2; ++r) {
    for (std::size_t j = 0; j < 16; j += 2) {
      const std::size_t pair = (j + 1 + r) % 16 * 16 + (j + r) % 16;
      packed.bytes()[8 * r + j / 2] = static_cast<std::byte>(pair);
    }
  }
  const Tensor scale =
      made({2, 2}, [](std::int64_t i) { return 0.5F + static_cast<float>(i / 2 + 2 * (i % 2)); });
  Tensor shape(ElementType::Int32, {2});
  shape.store(0, 2);
  shape.store(1, 16);
  write_safetensors(path_, {{"w_packed", packed}, {"w_scale", scale}, {"w_shape", shape}});
  const Tensor tensor = huggingface::read_packed_int4(SafetensorsReader(path_), "w");
  ASSERT_EQ(tensor.shape(), (std::vector<std::int64_t>{2, 16}));
  for (std::int64_t i = 0; i < 32; ++i) {
    const std::int64_t r = i / 16;
    const std::int64_t j = i % 16;
    const float code = static_cast<float>((j + r) % 16 - 8);
    EXPECT_EQ(tensor.load(i), code * (0.5F + static_cast<float>(r + 2 * (j / 8)))) << i;
  }
  shape.store(1, 24);  // three words a row, not two
  write_safetensors(path_, {{"w_packed", packed}, {"w_scale", scale}, {"w_shape", shape}});
  EXPECT_THROW((void)huggingface::read_packed_int4(SafetensorsReader(path_), "w"), ConfigError);
}

TEST_F(Published, block_scales_multiply_128_by_128_blocks_with_smaller_ones_at_the_edges) {
  // 130 x 200: four blocks; element (129, 199) is in block (1, 1), (127, 128) in (0, 1).
  const Tensor codes(ElementType::Fp8E4m3, {130, 200});
  Tensor ones = codes;
  for (std::int64_t i = 0; i < ones.elements(); ++i) ones.store(i, 2.0F);
  Tensor scales(ElementType::Float32, {2, 2});
  for (std::int64_t i = 0; i < 4; ++i) scales.store(i, static_cast<float>(i + 1));
  write_safetensors(path_, {{"w.weight", ones}, {"w.weight_scale_inv", scales}});
  const SafetensorsReader reader(path_);
  const Tensor tensor = huggingface::read_scaled(reader, "w.weight");
  EXPECT_EQ(tensor.load(0), 2.0F);
  EXPECT_EQ(tensor.load(127 * 200 + 127), 2.0F);
  EXPECT_EQ(tensor.load(127 * 200 + 128), 4.0F);
  EXPECT_EQ(tensor.load(128 * 200 + 0), 6.0F);
  EXPECT_EQ(tensor.load(129 * 200 + 199), 8.0F);
  write_safetensors(
      path_, {{"w.weight", ones}, {"w.weight_scale_inv", Tensor(ElementType::Float32, {1, 2})}});
  EXPECT_THROW((void)huggingface::read_scaled(SafetensorsReader(path_), "w.weight"), ConfigError);
}

}  // namespace
}  // namespace tandem
