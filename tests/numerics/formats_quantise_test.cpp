// Do the block formats choose scales, codes and bytes as their specifications say? By hand.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/formats/quantised_tensor.hpp"
#include "tests/numerics/special_values.hpp"

namespace tandem::formats {
namespace {

/// `head`, then zeros up to `size` elements.
std::vector<float> padded(std::vector<float> head, std::size_t size) {
  head.resize(size, 0.0F);
  return head;
}

QuantisedTensor one_row(const std::vector<float>& values, const char* format) {
  return quantise(values, 1, static_cast<std::int64_t>(values.size()), find_quant_format(format));
}

/// The first values of the row read back.
std::vector<float> read_back(const QuantisedTensor& tensor, std::size_t count) {
  std::vector<float> values = tensor.dequantise();
  values.resize(count);
  return values;
}

TEST(Mxfp4, codes_and_bytes_of_a_block) {
  // amax 6: floor(log2 6) - 2 = 0, so scale 2^0 (byte 127). Ties: .25 -> 0, 2.5 -> 2, 5 -> 4,
  // -3.5 -> -4. Codes 7 0 4 6 e 8 -> bytes 07 64 8e, low nibble first.
  const QuantisedTensor t = one_row(padded({6, 0.25F, 2.5F, 5, -3.5F, -0.0F}, 32), "mxfp4");
  EXPECT_EQ(t.parts().scales, std::vector<std::uint8_t>{127});
  EXPECT_EQ(t.parts().codes[0], 0x07);
  EXPECT_EQ(t.parts().codes[1], 0x64);
  EXPECT_EQ(t.parts().codes[2], 0x8e);
  EXPECT_EQ(read_back(t, 5), (std::vector<float>{6, 0, 2, 4, -4}));
  EXPECT_TRUE(std::signbit(t.dequantise()[5]));
  EXPECT_EQ(t.bytes(), 17);  // 32 nibbles and one scale
}

TEST(Mxfp4, scale_steps_at_powers_of_two) {
  // 8 = 2^3: scale 2, 8 / 2 = 4. Just below 8: scale 1, and what is above 6 saturates.
  const QuantisedTensor at = one_row({8, 1}, "mxfp4");
  EXPECT_EQ(at.parts().scales[0], 128);
  EXPECT_EQ(read_back(at, 2), (std::vector<float>{8, 1}));
  const QuantisedTensor below = one_row({std::nextafter(8.0F, 0.0F), 1}, "mxfp4");
  EXPECT_EQ(below.parts().scales[0], 127);
  EXPECT_EQ(read_back(below, 2), (std::vector<float>{6, 1}));
  EXPECT_EQ(read_back(one_row({-7, 0.25F}, "mxfp4"), 2), (std::vector<float>{-6, 0}));
}

TEST(Mxfp4, smallest_and_largest_scales) {
  // 2^-126 wants 2^-128; the smallest scale is 2^-127 (byte 0), on which it is 2.
  const QuantisedTensor low = one_row({0x1p-126F, 0x1p-149F}, "mxfp4");
  EXPECT_EQ(low.parts().scales[0], 0);
  EXPECT_EQ(low.code(0, 0), 4U);
  EXPECT_EQ(read_back(low, 2), (std::vector<float>{0x1p-126F, 0}));
  // 2^127 (1 + 3/4): scale 2^125, 7 saturates at 6.
  const QuantisedTensor high = one_row({0x1.cp127F}, "mxfp4");
  EXPECT_EQ(high.parts().scales[0], 252);
  EXPECT_EQ(high.dequantise()[0], 0x1.8p127F);
}

TEST(Mxfp4, nan_or_infinity_make_their_block_nan_and_no_other) {
  for (const float bad : {quiet_nan, infinity, -infinity}) {
    std::vector<float> values(64, 1.0F);
    values[40] = bad;
    const QuantisedTensor t = one_row(values, "mxfp4");
    EXPECT_EQ(t.parts().scales, (std::vector<std::uint8_t>{125, 255}));
    const std::vector<float> back = t.dequantise();
    EXPECT_EQ(back[31], 1.0F);
    EXPECT_TRUE(std::isnan(back[32]) && std::isnan(back[63]));
  }
}

TEST(Mxfp8, scale_uses_the_exponent_of_448) {
  // floor(log2 448) = 8: amax 300 gives 2^(8-8); 300 lies between 288 and 320 (step 32): 288.
  // amax 500 also gives 2^0 and saturates at 448.
  EXPECT_EQ(one_row({300, 1}, "mxfp8").parts().scales[0], 127);
  EXPECT_EQ(read_back(one_row({300, 1}, "mxfp8"), 2), (std::vector<float>{288, 1}));
  EXPECT_EQ(read_back(one_row({500, -17}, "mxfp8"), 2), (std::vector<float>{448, -16}));  // tie
}

TEST(Nvfp4, block_scales_under_a_tensor_scale_of_one) {
  // amax 2688 = 448 * 6 makes g = 1. Blocks of 16: 2688 -> e4m3 448; 6 -> 1; 6.2 -> 1.033 -> 1, so
  // 6.2 saturates; zeros -> 0; 6 * 2^-10 -> 2^-10, a tie between 0 and 2^-9: 0, block lost.
  std::vector<float> values(80, 0.0F);
  values[0] = 2688;
  values[1] = -448;
  values[16] = 6;
  values[17] = 1.75F;
  values[32] = 6.2F;
  values[33] = -0.25F;
  values[64] = 6 * 0x1p-10F;
  const QuantisedTensor t = one_row(values, "nvfp4");
  EXPECT_EQ(t.parts().tensor_scale, 1.0F);
  EXPECT_EQ(t.parts().scales, (std::vector<std::uint8_t>{0x7e, 0x38, 0x38, 0x00, 0x00}));
  const std::vector<float> back = t.dequantise();
  EXPECT_EQ(back[0], 2688.0F);
  EXPECT_EQ(back[1], -448.0F);
  EXPECT_EQ(back[16], 6.0F);
  EXPECT_EQ(back[17], 2.0F);
  EXPECT_EQ(back[32], 6.0F);
  EXPECT_EQ(back[33], 0.0F);
  EXPECT_TRUE(std::signbit(back[33]));
  EXPECT_EQ(back[64], 0.0F);
  EXPECT_EQ(t.bytes(), 40 + 5 + 4);
}

TEST(Nvfp4, zeros_and_tiny_tensors_stay_finite) {
  const QuantisedTensor zeros = one_row(std::vector<float>(17, 0.0F), "nvfp4");
  EXPECT_EQ(zeros.parts().tensor_scale, 1.0F);
  EXPECT_EQ(zeros.dequantise(), std::vector<float>(17, 0.0F));
  // g is held at 2^112: amax 2^-130 gives 2^112 * 2^-130 / 6 -> 0.
  const QuantisedTensor tiny = one_row({0x1p-130F, 0}, "nvfp4");
  EXPECT_EQ(tiny.parts().tensor_scale, 0x1p112F);
  EXPECT_EQ(tiny.dequantise(), (std::vector<float>{0, 0}));
}

TEST(Nvfp4, tensor_scale_follows_the_largest_element) {
  // amax 1.5: g = 2688 / 1.5 = 1792; block scale 1792 * 1.5 / 6 = 448; 1.5 comes back as 6 * 448 /
  // 1792 = 1.5, and 0.5 as 2 * 0.25.
  const QuantisedTensor t = one_row({1.5F, 0.5F, -0.3F}, "nvfp4");
  EXPECT_EQ(t.parts().tensor_scale, 1792.0F);
  EXPECT_EQ(t.scale(0, 0), 0.25F);
  EXPECT_EQ(read_back(t, 3), (std::vector<float>{1.5F, 0.5F, -0.25F}));
}

TEST(Int4, symmetric_groups) {
  // amax 7: s = 1; ties to even: .5 -> 0, 1.5 -> 2, 2.5 -> 2; -7 -> 9. Codes 7 0 2 2 9 -> 07 22 09.
  const QuantisedTensor t = one_row(padded({7, 0.5F, 1.5F, 2.5F, -7}, 32), "int4_g32");
  EXPECT_EQ(t.scale(0, 0), 1.0F);
  EXPECT_EQ(t.parts().codes[0], 0x07);
  EXPECT_EQ(t.parts().codes[1], 0x22);
  EXPECT_EQ(t.parts().codes[2], 0x09);
  EXPECT_EQ(t.bytes(), 18);
  // The stored bf16 scale decides the codes: amax 1: 1/7 = 1.142857 * 2^-3, bf16 steps of 2^-7 in
  // the significand: 146.28 / 128 -> 146 / 128, so s = 0.142578125.
  EXPECT_EQ(one_row({1}, "int4_g32").scale(0, 0), 0.142578125F);
}

TEST(Q4_0, signed_maximum_goes_to_minus_eight) {
  // max -8: d = 1. .5 -> floor(9.0) - 8 = 1; -.5 -> floor(8.0) - 8 = 0; 6.6 -> floor(15.1) -> 7.
  const QuantisedTensor t = one_row(padded({-8, 0.5F, -0.5F, 6.6F, 8}, 32), "q4_0");
  EXPECT_EQ(read_back(t, 5), (std::vector<float>{-8, 1, 0, 7, 7}));
  // max +4: d = -0.5; 4 -> -8 * -.5; -4 wants +8, saturates at 7 * -.5.
  EXPECT_EQ(read_back(one_row(padded({4, -4, 1}, 32), "q4_0"), 3),
            (std::vector<float>{4, -3.5F, 1}));
  // A block of zeros: d = 0 / -8 = -0 (fp16 0x8000), as ggml writes it.
  EXPECT_EQ(one_row(padded({}, 32), "q4_0").parts().scales, (std::vector<std::uint8_t>{0, 0x80}));
}

TEST(Int2, minimum_and_step) {
  // min -1, max 2: step 1. -.5 -> .5 ties to 0; .5 -> 1.5 ties to 2. Codes 0 3 0 2 1 -> 8c, 01.
  const QuantisedTensor t = one_row({-1, 2, -0.5F, 0.5F, 0}, "int2_g32");
  EXPECT_EQ(t.parts().codes, (std::vector<std::uint8_t>{0x8c, 0x01}));
  EXPECT_EQ(t.zero_point(0, 0), -1.0F);
  EXPECT_EQ(read_back(t, 5), (std::vector<float>{-1, 2, -1, 1, 0}));
  EXPECT_EQ(t.bytes(), 2 + 2 + 2);
  // All equal, and the fp16 zero point above them: 1 + 2^-11 + 2^-12 -> 1 + 2^-10, step 0.
  const QuantisedTensor flat = one_row({0x1.003p0F, 0x1.003p0F}, "int2_g32");
  EXPECT_EQ(flat.scale(0, 0), 0.0F);
  EXPECT_EQ(flat.dequantise()[1], 0x1.004p0F);
}

TEST(Int1, mean_magnitude_and_sign) {
  // mean |x| = (1 + 2 + 0 + 5) / 4 = 2; bits + - + - -> 0101.
  const QuantisedTensor t = one_row({1, -2, 0, -5}, "int1_g32");
  EXPECT_EQ(t.parts().codes, std::vector<std::uint8_t>{0x05});
  EXPECT_EQ(t.dequantise(), (std::vector<float>{2, -2, 2, -2}));
}

TEST(Fp8, scale_per_tensor_channel_group_and_block) {
  // Row 0 holds 448, row 1 holds 896 in column 1: s = 1 and 2, or 2 for both.
  const std::vector<float> values{448, 1, 2, 896};
  const auto scales = [&](const char* name) {
    const QuantisedTensor t = quantise(values, 2, 2, find_quant_format(name));
    return std::vector<float>{t.scale(0, 0), t.scale(0, 1), t.scale(1, 0), t.scale(1, 1)};
  };
  EXPECT_EQ(scales("fp8"), (std::vector<float>{2, 2, 2, 2}));
  EXPECT_EQ(scales("fp8_channel"), (std::vector<float>{1, 1, 2, 2}));
  EXPECT_EQ(scales("fp8_e5m2"), (std::vector<float>(4, 0x1p-6F)));  // 896 / 57344
  // 129 x 130 in blocks of 128: 2 x 2 scales, the edge blocks being 1 high or 2 wide.
  std::vector<float> matrix(129UL * 130UL, 448.0F);
  matrix[127UL * 130 + 129] = 2 * 448;
  matrix[128UL * 130] = 4 * 448;
  matrix.back() = 8 * 448;
  const QuantisedTensor t = quantise(matrix, 129, 130, find_quant_format("fp8_block"));
  EXPECT_EQ(t.parts().scales.size(), 16U);
  EXPECT_EQ(t.scale(127, 127), 1.0F);
  EXPECT_EQ(t.scale(0, 128), 2.0F);
  EXPECT_EQ(t.scale(128, 127), 4.0F);
  EXPECT_EQ(t.scale(128, 129), 8.0F);
  EXPECT_EQ(t.dequantise(), matrix);
}

TEST(Quantise, zero_groups_keep_signed_zeros_where_the_code_has_them) {
  for (const char* name : {"fp8", "fp8_block", "mxfp4", "mxfp8", "nvfp4"}) {
    const std::vector<float> back = one_row({0.0F, -0.0F}, name).dequantise();
    EXPECT_EQ(back, (std::vector<float>{0, 0})) << name;
    EXPECT_FALSE(std::signbit(back[0])) << name;
    EXPECT_TRUE(std::signbit(back[1])) << name;
  }
}

TEST(Quantise, refuses_what_a_format_cannot_hold) {
  const std::vector<float> six(6, 1.0F);
  const QuantFormat& fp8 = find_quant_format("fp8");
  EXPECT_THROW((void)quantise(six, 2, 4, fp8), ModelError);
  EXPECT_THROW((void)quantise(six, -2, -3, fp8), ModelError);
  EXPECT_THROW((void)quantise(six, 1, 6, find_quant_format("q4_0")), ModelError);
  for (const QuantFormat& format : quant_formats()) {
    if (format.scale != ScaleType::E8m0) {
      EXPECT_THROW((void)quantise(padded({1, quiet_nan}, 32), 1, 32, format), ModelError);
      EXPECT_THROW((void)quantise(padded({1, infinity}, 32), 1, 32, format), ModelError);
    }
  }
  EXPECT_THROW((void)one_row({1e6F}, "int1_g32"), ModelError);  // fp16 scale
  QuantFormat odd = fp8;
  odd.rule = ScaleRule::MinMax;
  EXPECT_THROW((void)quantise(six, 1, 6, odd), ModelError);
  EXPECT_THROW(QuantisedTensor(fp8, 2, 3, {std::vector<std::uint8_t>(5), {}, {}, 1}), ModelError);
}

TEST(QuantFormats, bits_per_element_as_published) {
  const std::vector<std::pair<const char*, double>> published{
      {"mxfp4", 4.25},      {"nvfp4", 4.5},
      {"int4_g32", 4.5},    {"int4_g128", 4.125},
      {"q4_0", 4.5},        {"mxfp8", 8.25},
      {"int2_g32", 3.0},    {"int2_g128", 2.25},
      {"int1_g32", 1.5},    {"fp8", 8.0},
      {"int8", 8.0},        {"int1_g128", 1.125},
      {"fp8_kv", 8.0},      {"fp8_group", 8.25},
      {"int8_g128", 8.125}, {"fp8_block", 8 + 32.0 / 16384}};
  for (const auto& [name, bits] : published) {
    const QuantFormat& format = find_quant_format(name);
    EXPECT_EQ(format.bits_per_element(), bits) << name;
    // A 4096 x 4096 tensor has whole tiles: exactly the bits, plus scales without a fixed share.
    const std::int64_t tensor = format.has_tensor_scale() ? 4 : 0;
    const std::int64_t loose = format.granularity == per_tensor    ? 4
                               : format.granularity == per_channel ? 4 * 4096
                                                                   : tensor;
    EXPECT_EQ(storage_bytes(format, 4096, 4096), static_cast<std::int64_t>(bits * 0x1p21) + loose);
  }
}

TEST(Precisions, names_of_the_configuration_and_their_bytes) {
  const auto bytes = [](const char* name) { return weight_bytes(find_precision(name), 256, 256); };
  EXPECT_EQ(bytes("float32"), 4 * 65536);
  EXPECT_EQ(bytes("bfloat16"), 2 * 65536);
  EXPECT_EQ(bytes("fp8"), 65536 + 4);
  EXPECT_EQ(bytes("fp8_block"), 65536 + 4 * 4);
  EXPECT_EQ(bytes("int8_wo"), 65536 + 4 * 256);
  EXPECT_EQ(bytes("int4_wo"), 32768 + 2 * 512);
  EXPECT_EQ(bytes("nvfp4"), 32768 + 4096 + 4);
  EXPECT_EQ(bytes("w4a16_mxfp4"), 32768 + 2048);
  EXPECT_FALSE(find_precision("int8_wo").activation);
  EXPECT_EQ(find_precision("w4a8_mxfp4_mxfp8").activation->name, "mxfp8");
  try {
    (void)find_precision("nvpf4");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean 'nvfp4'"), std::string::npos);
  }
}

}  // namespace
}  // namespace tandem::formats
