// Do slots of the KV cache have the bytes of their formats, and give back what those leave?
#include "sim/numerics/formats/kv_format.hpp"

#include <gtest/gtest.h>

#include "sim/core/diagnostics.hpp"

namespace tandem::formats {
namespace {

std::int64_t bytes_at_128(const char* name) {
  return slot_bytes(*find_kv_format(name), {128, 128});
}

TEST(KvFormat, BytesOfASlotAtHeadDimension128) {
  // Key and value of 128: codes and scales of each, see docs/formats.md.
  EXPECT_EQ(bytes_at_128("fp8_channel"), 2 * (128 + 4));
  EXPECT_EQ(bytes_at_128("int8_g128"), 2 * (128 + 2));
  EXPECT_EQ(bytes_at_128("int4_g32"), 2 * (64 + 4 * 2));
  EXPECT_EQ(bytes_at_128("q4_0"), 2 * 4 * 18);
  EXPECT_EQ(bytes_at_128("int2_g32"), 2 * (32 + 4 * 4));
  EXPECT_EQ(bytes_at_128("mxfp4"), 2 * (64 + 4));
  EXPECT_EQ(bytes_at_128("turboquant_k8v4"), 196);
  EXPECT_EQ(bytes_at_128("turboquant_4bit_nc"), 134);
  EXPECT_EQ(bytes_at_128("turboquant_k3v4_nc"), 118);
  EXPECT_EQ(bytes_at_128("turboquant_3bit_nc"), 102);
  // 46 bits of angles and a radius of 2 bytes for every 16: 8 (46 / 8 + 2) = 62.
  EXPECT_EQ(bytes_at_128("polarquant"), 2 * 62);
}

TEST(KvFormat, LatentsKeepTheirRotatedKey) {
  // FlashMLA's fp8 cache: 512 codes, four scales of 4 bytes, 64 rotated elements in bfloat16: 656.
  const KvHead latent{64, 512, ElementType::Bfloat16};
  EXPECT_EQ(slot_bytes(*find_kv_format("fp8_group"), latent), 656);
  EXPECT_NE(kv_problem(*find_kv_format("turboquant_3bit_nc"), latent), "");
}

TEST(KvFormat, ProblemsSayWhatToWrite) {
  EXPECT_NE(kv_problem(*find_kv_format("q4_0"), {40, 40}).find("write int4_g32"),
            std::string::npos);
  EXPECT_NE(kv_problem(*find_kv_format("turboquant_k8v4"), {40, 40}).find("write fp8_channel"),
            std::string::npos);
  EXPECT_NE(kv_problem(*find_kv_format("polarquant"), {8, 8}), "");
  EXPECT_THROW((void)slot_bytes(*find_kv_format("q4_0"), {40, 40}), ModelError);
  EXPECT_EQ(find_kv_format("fp8_kv"), nullptr);
}

/// Row by row, what quantise() and dequantise() leave.
TEST(KvFormat, RowsAreThoseOfTheirFormat) {
  RandomStream random(3, "slots");
  std::vector<float> key(64), value(64), key_back(64), value_back(64);
  for (auto* row : {&key, &value}) {
    for (float& x : *row) x = static_cast<float>(random.normal());
  }
  for (const KvFormat& format : kv_formats()) {
    const KvCodec codec(format, {64, 64});
    std::vector<std::uint8_t> slot(codec.bytes());
    codec.encode(key, value, slot);
    codec.decode(slot, key_back, value_back);
    if (format.rows == nullptr) continue;
    EXPECT_EQ(key_back, quantise(key, 1, 64, *format.rows).dequantise()) << format.name;
    EXPECT_EQ(value_back, quantise(value, 1, 64, *format.rows).dequantise()) << format.name;
  }
}

}  // namespace
}  // namespace tandem::formats
