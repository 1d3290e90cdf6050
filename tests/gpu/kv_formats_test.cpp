// The KV cache in every format: what attention reads is what the codec gives back, and the timed
// kernels move the slots' bytes and do the codec's work.
#include <gtest/gtest.h>

#include <cmath>

#include "models/gpu/execute/cache_rows.hpp"
#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/loaded_stage.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/describe/dense_decoder.hpp"
#include "sim/lower/kv_codec_work.hpp"
#include "tests/gpu/plan_harness.hpp"
#include "tests/gpu/test_chips.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem::gpu {
namespace {

using formats::KvFormat;

constexpr std::int64_t cached_tokens = 24;

Precision with_cache(const KvFormat* format, ElementType type = ElementType::Float32) {
  Precision precision{type, type, type};
  precision.kv_format = format;
  return precision;
}

class KvFormats : public ::testing::Test {
 protected:
  [[nodiscard]] std::unique_ptr<LoadedStage> load(const Precision& precision,
                                                  CtaOrder order = CtaOrder::Canonical) const {
    return load_on_gpu(chip_, whole_model(network_, precision), weights_, cached_tokens, order);
  }
  static Tensor run(LoadedStage& stage, std::int64_t context, std::int64_t tokens) {
    StageData in, out;
    for (std::int64_t i = context; i < context + tokens; ++i) {
      in.tokens.push_back(static_cast<std::int32_t>((i * 7 + 3) % 60));
    }
    (void)stage.run({{{0, context, tokens, true}}}, in, out);
    return out.logits;
  }

  NeuralNetwork network_ = test::dense_tiny("cached", {2, 64, 32, 96});
  Weights weights_ = random_weights(network_, 3);
  GpuChip chip_{large_chip(), Software{}};
};

std::vector<float> normals(std::int64_t count, RandomStream& random) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(static_cast<float>(random.normal()));
  return values;
}

/// Appending stores the codec's slots, and rows are what it decodes, rounded to the type that
/// attention multiplies.
TEST_F(KvFormats, AppendedRowsAreTheCodecsBitForBit) {
  RandomStream random(8, "rows");
  const std::vector<float> key = normals(64, random), value = normals(64, random);
  for (const KvFormat& format : formats::kv_formats()) {
    const Stage stage = whole_model(network_, with_cache(&format, ElementType::Bfloat16));
    StageOnChip on{chip_, stage, network_, {}, {}, cached_tokens, {}, {}};
    on.codecs.emplace_back(formats::KvCodec(format, {32, 32}));
    const StageData in;
    PassState pass{on, in, {}, 0, 0, {}, {}};
    const Kernel kernel{"rope", 0, ElementType::Bfloat16, RopeKernel{}, {}};
    const KernelCall call{kernel, {Picoseconds(0), Picoseconds(1)}, pass};
    RequestCache cache = empty_cache(stage, network_);
    grow_cache(cache, 1, 0);
    append_to_cache(call, key, value, cache.layers[0], 0);
    const auto keys = cache.layers[0].keys.read(0, Picoseconds(2));
    const auto values = cache.layers[0].values.read(0, Picoseconds(2));
    const formats::KvCodec codec(format, {32, 32});
    for (std::int64_t head = 0; head < 2; ++head) {
      std::vector<std::uint8_t> slot(codec.bytes());
      std::vector<float> key_back(32), value_back(32);
      codec.encode(part_of(std::span(key), head, 32), part_of(std::span(value), head, 32), slot);
      codec.decode(slot, key_back, value_back);
      const auto stored = std::span(cache.layers[0].slots[0])
                              .subspan(static_cast<std::size_t>(head) * codec.bytes(), slot.size());
      ASSERT_TRUE(std::ranges::equal(stored, slot)) << format.name;
      for (std::int64_t i = 0; i < 32; ++i) {
        const auto at = static_cast<std::size_t>(head * 32 + i);
        const auto own = static_cast<std::size_t>(i);
        ASSERT_EQ(keys[at], round_to(ElementType::Bfloat16, key_back[own])) << format.name;
        ASSERT_EQ(values[at], round_to(ElementType::Bfloat16, value_back[own])) << format.name;
      }
    }
  }
}

/// Prompts read what they have just stored, so that chunks and steps give the same bits.
TEST_F(KvFormats, ChunksStepsAndTheOrderOfCtasChangeNoBit) {
  const Tensor exact = run(*load(with_cache(nullptr)), 0, 20);
  for (const KvFormat& format : formats::kv_formats()) {
    const Tensor whole = run(*load(with_cache(&format)), 0, 20);
    EXPECT_NE(whole, exact) << format.name;
    const auto parts = load(with_cache(&format), CtaOrder::Reversed);
    (void)run(*parts, 0, 9);
    (void)run(*parts, 9, 10);
    EXPECT_EQ(run(*parts, 19, 1), whole) << format.name;
  }
}

/// A request goes on elsewhere as it would have here: slots travel as they are.
TEST_F(KvFormats, SlotsMoveBetweenChips) {
  for (const KvFormat& format : formats::kv_formats()) {
    const auto here = load(with_cache(&format));
    (void)run(*here, 0, 9);
    const KvBlock block = here->export_kv(0);
    const std::int64_t slot = formats::slot_bytes(format, {32, 32});
    EXPECT_EQ(block.expected_size(), Bytes(2 * 2 * 9 * slot)) << format.name;  // layers, heads
    ASSERT_TRUE(block.has_expected_size());
    const auto there = load(with_cache(&format));
    there->import_kv(0, block);
    EXPECT_EQ(there->export_kv(0), block);
    EXPECT_EQ(run(*there, 9, 1), run(*here, 9, 1)) << format.name;
    // A chip that keeps elements gets what the codec gives back.
    const auto plain = load(with_cache(nullptr));
    plain->import_kv(0, block.converted(ElementType::Float32));
    EXPECT_NO_THROW((void)run(*plain, 9, 1));
    EXPECT_THROW(plain->import_kv(0, block), ModelError);
  }
}

/// From a chip that keeps elements the receiver's codec makes the slots.
TEST_F(KvFormats, ElementsBecomeSlotsOnTheWay) {
  const KvFormat& format = *formats::find_kv_format("int4_g32");
  const auto plain = load(with_cache(nullptr));
  (void)run(*plain, 0, 1);  // of one token attention is its value, whatever its key
  const auto coded = load(with_cache(&format));
  (void)run(*coded, 0, 1);
  const KvBlock sent = plain->export_kv(0).converted(ElementType::Float32, &format);
  const KvBlock own = coded->export_kv(0);
  // The first layer's inputs are the same on both.
  const auto half = static_cast<std::ptrdiff_t>(own.bytes.size() / 2);
  EXPECT_TRUE(std::equal(own.bytes.begin(), own.bytes.begin() + half, sent.bytes.begin()));
}

Stage shipped_size(const KvFormat* format) {
  DenseDecoder net;
  net.name = "large";
  net.layers = 1;
  net.hidden = 4096;
  net.heads = 32;
  net.kv_heads = 8;
  net.head_dim = 128;
  net.intermediate = 14336;
  net.vocabulary = 1000;
  net.max_context = 65536;
  return whole_model(network_of(net), with_cache(format, ElementType::Bfloat16));
}

TEST_F(KvFormats, BytesPerTokenAreSlots) {
  EXPECT_EQ(shipped_size(nullptr).kv_bytes_per_token(), Bytes(8 * 512));
  for (const KvFormat& format : formats::kv_formats()) {
    const std::int64_t slot = formats::slot_bytes(format, {128, 128});
    EXPECT_EQ(shipped_size(&format).kv_bytes_per_token(), Bytes(8 * slot)) << format.name;
    EXPECT_EQ(shipped_size(&format).cache_bytes(10), Bytes(80 * slot)) << format.name;
  }
}

/// Plans of all kernels of decode, prompts and rounds of drafts do the codec's work once.
TEST_F(KvFormats, PlansHoldTheClosedForms) {
  const GpuParams params = params_of(large_chip());
  for (const KvFormat& format : formats::kv_formats()) {
    Batch batch{{{0, 3000, 1, true}, {1, 100, 300, true}}};
    batch.slices.push_back({2, 777, 20, true, 0, 0, true});
    for (const Kernel& kernel : lower(shipped_size(&format), batch).kernels) {
      const auto* attention = std::get_if<AttentionKernel>(&kernel.shape);
      const bool is_append = std::holds_alternative<RopeKernel>(kernel.shape);
      const bool is_read = std::holds_alternative<CacheReadKernel>(kernel.shape);
      if (attention != nullptr || is_append || is_read) expect_closed_forms(params, kernel);
    }
  }
}

/// 1000 keys, 32 query heads over 8 KV heads of 128. int4_g32 decodes 2 operations per element.
TEST_F(KvFormats, WorkOfDecodingIsCountedByHand) {
  AttentionKernel plain;
  plain.spans = {{1, 1000}};
  plain.heads = 32;
  plain.kv_heads = 8;
  plain.head_dim = 128;
  AttentionKernel coded = plain;
  coded.slots = {formats::find_kv_format("int4_g32"), {128, 128}, 8};
  const KernelWork a = work_of(kernel_of(plain)), b = work_of(kernel_of(coded));
  EXPECT_EQ((b.vector - a.vector), Flops(1000 * 8 * 2 * 256));
  EXPECT_EQ(a.read_bytes - b.read_bytes, Bytes(1000 * 8 * (512 - 144)));
  // 4 bits with norm correction: key 4 x 128 and a root, value 3 x 128; a query turns for
  // 128 (7 + 1).
  coded.slots.format = formats::find_kv_format("turboquant_4bit_nc");
  const KernelWork c = work_of(kernel_of(coded));
  EXPECT_EQ((c.vector - a.vector), Flops(1000 * 8 * 7 * 128 + 32 * 128 * 8));
  EXPECT_EQ((c.special - a.special), Flops(1000 * 8));
}

/// Long contexts: fewer bytes are less time, and not below the floor.
TEST_F(KvFormats, NarrowSlotsSaveTimeWhereBytesBound) {
  const Batch batch{{{0, 60000, 1, true}}};
  const auto time_of = [&](const char* name) {
    const KvFormat* format = *name == 0 ? nullptr : formats::find_kv_format(name);
    const Stage stage = shipped_size(format);
    const Picoseconds time = chip_.simulate(stage, batch, nullptr).time;
    EXPECT_GE(time, chip_.floor(stage, batch)) << name;
    return time;
  };
  const Picoseconds wide = time_of("");
  const Picoseconds eight = time_of("fp8_channel");
  EXPECT_LT(eight, wide);
  EXPECT_LT(time_of("int4_g128"), wide);
}

}  // namespace
}  // namespace tandem::gpu
