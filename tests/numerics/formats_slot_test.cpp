// Do the KV slots have vLLM's sizes and layout, and PolarQuant its 3.875 bits and its distortion?
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/formats/packing.hpp"
#include "sim/numerics/formats/polarquant.hpp"
#include "sim/numerics/formats/turboquant_slot.hpp"

namespace tandem::formats {
namespace {

std::vector<float> normals(std::size_t count, RandomStream& random) {
  std::vector<float> x(count);
  for (float& value : x) value = static_cast<float>(random.normal());
  return x;
}

double energy(const std::vector<float>& x) {
  double sum = 0;
  for (const float value : x) sum += static_cast<double>(value) * static_cast<double>(value);
  return sum;
}

TEST(TurboQuantSlot, bytes_at_head_dimension_128) {
  // k8v4: 128 + (64 + 4) = 196. 4bit: (64 + 2) + (64 + 4) = 134. k3v4: (48 + 2) + 68 = 118.
  // 3bit: 50 + (48 + 4) = 102. fp16 key and value are 512: 2.6x, 3.8x, 4.3x, 5.0x.
  EXPECT_EQ(slot_bytes(find_slot_preset("turboquant_k8v4"), 128), 196);
  EXPECT_EQ(slot_bytes(find_slot_preset("turboquant_4bit_nc"), 128), 134);
  EXPECT_EQ(slot_bytes(find_slot_preset("turboquant_k3v4_nc"), 128), 118);
  EXPECT_EQ(slot_bytes(find_slot_preset("turboquant_3bit_nc"), 128), 102);
  // d = 8 at 3 bits: (3 + 2) + (3 + 4) = 12; d = 1: (1 + 2) + (1 + 4) = 8; k8v4: 1 + 5 = 6.
  EXPECT_EQ(slot_bytes(find_slot_preset("turboquant_3bit_nc"), 8), 12);
  EXPECT_EQ(slot_bytes(find_slot_preset("turboquant_k8v4"), 1), 6);
  EXPECT_EQ(slot_bytes(find_slot_preset("turboquant_k8v4"), 2), 8);  // 7, made even
  EXPECT_THROW((void)find_slot_preset("turboquant_k8v3"), ConfigError);
}

TEST(TurboQuantSlot, layout_of_fp8_keys_and_uniform_values) {
  RandomStream random(1, "slot");
  const TurboQuantSlot slot(find_slot_preset("turboquant_k8v4"), Rotation::hadamard(4, random));
  // Keys: e4m3 of 1, -2, 448, 0.3 (.3125 = 1.25 * 2^-2: 0x2a). Values -1..14: step 1, codes 0 15 1
  // 2
  // (.5 rounds up: 0.5 + 1 = 1.5 -> 2); bytes f0 21; step fp16 3c00, minimum -1 = bc00.
  const std::vector<float> key{1, -2, 448, 0.3F};
  std::vector<std::uint8_t> bytes(slot.bytes());
  slot.encode(key, std::vector<float>{-1, 14, 0, 0.5F}, bytes);
  EXPECT_EQ(bytes, (std::vector<std::uint8_t>{0x38, 0xc0, 0x7e, 0x2a, 0xf0, 0x21, 0x00, 0x3c, 0x00,
                                              0xbc}));
  std::vector<float> key_back(4);
  std::vector<float> value_back(4);
  slot.decode(bytes, key_back, value_back);
  EXPECT_EQ(key_back, (std::vector<float>{1, -2, 448, 0.3125F}));
  EXPECT_EQ(value_back, (std::vector<float>{-1, 14, 0, 1}));
}

TEST(TurboQuantSlot, three_bit_codes_fill_three_bytes_per_eight) {
  // Values 0..7: step 1, codes 0..7: 0|1<<3|2<<6|3<<9|4<<12|5<<15|6<<18|7<<21 = 0xfac688.
  RandomStream random(2, "slot");
  const TurboQuantSlot slot(find_slot_preset("turboquant_3bit_nc"), Rotation::hadamard(8, random));
  const std::vector<float> value{0, 1, 2, 3, 4, 5, 6, 7};
  std::vector<std::uint8_t> bytes(slot.bytes());
  slot.encode(value, value, bytes);
  EXPECT_EQ(bytes[5], 0x88);
  EXPECT_EQ(bytes[6], 0xc6);
  EXPECT_EQ(bytes[7], 0xfa);
  // The key's norm, sqrt(140) = 11.832 -> fp16 11.8359375 (steps of 2^-7), follows its 3 bytes.
  EXPECT_EQ(load_float16(bytes, 3), 11.8359375F);
}

TEST(TurboQuantSlot, key_and_value_errors_fit_their_bits) {
  RandomStream random(3, "slot");
  for (const SlotPreset& preset : slot_presets()) {
    const TurboQuantSlot slot(preset, Rotation::hadamard(128, random));
    std::vector<std::uint8_t> bytes(slot.bytes());
    double key_error = 0;
    double key_energy = 0;
    for (int i = 0; i < 20; ++i) {
      const std::vector<float> key = normals(128, random);
      const std::vector<float> value = normals(128, random);
      std::vector<float> key_back(128);
      std::vector<float> value_back(128);
      slot.encode(key, value, bytes);
      slot.decode(bytes, key_back, value_back);
      for (std::size_t j = 0; j < 128; ++j) {
        key_error += std::pow(key[j] - key_back[j], 2);
        // Half a step of at most 8 / 7 or 8 / 15, and fp16 of step and minimum.
        EXPECT_NEAR(value_back[j], value[j], preset.value_bits == 3 ? 0.6 : 0.3);
      }
      key_energy += energy(key);
      if (preset.norm_correction) {  // |k^| is the stored norm
        EXPECT_NEAR(std::sqrt(energy(key_back)), std::sqrt(energy(key)),
                    std::sqrt(energy(key)) * 0x1p-11);
      }
    }
    // Renormalised x^ at angle a to x has error 2 (1 - cos a) with cos^2 a = 1 - D: about D. e4m3
    // has relative error up to 2^-4 per element: mean square below 2^-8 / 3.
    const double bound = preset.key_bits == 8 ? 0x1p-8 / 3 : preset.key_bits == 4 ? 0.0095 : 0.0345;
    EXPECT_LT(key_error / key_energy, bound * 1.1) << preset.name;
    EXPECT_GT(key_error / key_energy, bound * 0.3) << preset.name;
  }
}

TEST(TurboQuantSlot, equal_values_and_refusals) {
  RandomStream random(4, "slot");
  const TurboQuantSlot slot(find_slot_preset("turboquant_4bit_nc"), Rotation::hadamard(4, random));
  std::vector<std::uint8_t> bytes(slot.bytes());
  std::vector<float> back(4);
  // The step is held at 1e-8, which is 0 in fp16; all values read back as the minimum.
  slot.encode(back, std::vector<float>(4, 2.5F), bytes);
  std::vector<float> value_back(4);
  slot.decode(bytes, back, value_back);
  EXPECT_EQ(value_back, std::vector<float>(4, 2.5F));
  EXPECT_EQ(back, std::vector<float>(4));
  EXPECT_THROW(slot.encode(back, std::vector<float>{0, 0, 0, HUGE_VALF}, bytes), ModelError);
  EXPECT_THROW(slot.encode(back, std::vector<float>{0, 0, 0, -70000}, bytes), ModelError);
  EXPECT_THROW(slot.encode(std::vector<float>(4, std::nanf("")), back, bytes), ModelError);
}

TEST(PolarQuant, is_3_875_bits_per_coordinate) {
  RandomStream random(5, "polar");
  // 8 blocks of 46 bits = 46 bytes, and 8 radii = 16 bytes: 62 * 8 / 128 = 3.875.
  EXPECT_EQ(PolarQuant(Rotation::hadamard(128, random)).bytes(), 62U);
  EXPECT_EQ(PolarQuant(Rotation::gaussian(48, random)).bytes(), 18U + 6);  // 138 bits
  EXPECT_EQ(PolarQuant(Rotation::hadamard(16, random)).bytes(), 6U + 2);
  EXPECT_THROW(PolarQuant(Rotation::gaussian(24, random)), ModelError);
}

/// E cos(t - c(t)) at a level: of even sectors 2 pi / 16 wide, or of the angle of two radii.
double mean_cosine(int level) {
  if (level == 1) {
    const double half = std::numbers::pi / 16;
    return std::sin(half) / half;
  }
  const ScalarQuantiser q = lloyd_max_polar_angle(level, 2);
  const int m = 1 << (level - 1);
  double mass = 0;
  double sum = 0;
  for (int i = 0; i < 4000; ++i) {
    const double t = (i + 0.5) * std::numbers::pi / 2 / 4000;
    const double p = std::pow(std::sin(t) * std::cos(t), m - 1);
    mass += p;
    sum += p * std::cos(t - q.centroids[q.nearest(t)]);
  }
  return sum / mass;
}

TEST(PolarQuant, distortion_follows_from_its_angles) {
  // Two halves of a block with radii r cos t, r sin t: <x, x^> / r^2 = cos t cos c <u, u^> + sin t
  // sin c <v, v^>. Angles are independent, so E <x, x^> / r^2 is the product over levels of
  // E cos(t - c), and with the radius kept |x - x^|^2 / r^2 has mean 2 (1 - product).
  double product = 1;
  for (int level = 1; level <= 4; ++level) product *= mean_cosine(level);
  RandomStream random(6, "polar");
  const PolarQuant codec(Rotation::hadamard(16, random));
  std::vector<std::uint8_t> bytes(codec.bytes());
  std::vector<float> back(16);
  double sum = 0;
  double squares = 0;
  constexpr int count = 4000;
  for (int i = 0; i < count; ++i) {
    const std::vector<float> x = normals(16, random);
    codec.encode(x, bytes);
    codec.decode(bytes, back);
    ASSERT_NEAR(std::sqrt(energy(back) / energy(x)), 1.0, 0x1p-10);
    double error = 0;
    for (std::size_t j = 0; j < 16; ++j) error += std::pow(x[j] - back[j], 2);
    sum += error / energy(x);
    squares += std::pow(error / energy(x), 2);
  }
  const double mean = sum / count;
  const double standard_error = std::sqrt((squares / count - mean * mean) / count);
  EXPECT_NEAR(mean, 2 * (1 - product), 4.5 * standard_error);
  EXPECT_LT(standard_error, 0.01 * mean);
}

TEST(PolarQuant, reading_and_storing_again_gives_the_same_bytes) {
  RandomStream random(7, "polar");
  const PolarQuant codec(Rotation::gaussian(48, random));
  for (int i = 0; i < 20; ++i) {
    std::vector<std::uint8_t> bytes(codec.bytes());
    std::vector<std::uint8_t> again(codec.bytes());
    std::vector<float> back(48);
    codec.encode(normals(48, random), bytes);
    codec.decode(bytes, back);
    codec.encode(back, again);
    EXPECT_EQ(bytes, again);
  }
  const std::vector<float> zeros(48);
  std::vector<std::uint8_t> bytes(codec.bytes());
  std::vector<float> back(48, 1.0F);
  codec.encode(zeros, bytes);
  codec.decode(bytes, back);
  EXPECT_EQ(energy(back), 0.0);
  EXPECT_THROW(codec.encode(std::vector<float>(48, 1e5F), bytes), ModelError);
}

}  // namespace
}  // namespace tandem::formats
