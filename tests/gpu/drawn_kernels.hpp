// Kernels of every kind and chips of every make, drawn at random for property tests.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

#include "sim/core/random.hpp"
#include "sim/lower/kernel_shapes.hpp"
#include "sim/numerics/formats/quant_format.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {

/// Draws shapes of serving: some tiny, most of a few tiles, some far above the budgets of turns at
/// which plans merge theirs.
class KernelDraw {
 public:
  explicit KernelDraw(RandomStream& random) : random_(random) {}

  /// Any alternative of KernelShape.
  [[nodiscard]] KernelShape shape() {
    return shape_of(std::make_index_sequence<std::variant_size_v<KernelShape>>(),
                    in(0, std::int64_t{std::variant_size_v<KernelShape>} - 1));
  }

 private:
  template <std::size_t... Index>
  KernelShape shape_of(std::index_sequence<Index...>, std::int64_t wanted) {
    KernelShape drawn;
    ((wanted == std::int64_t{Index} ? draw(drawn.emplace<Index>()) : void()), ...);
    return drawn;
  }

  std::int64_t in(std::int64_t low, std::int64_t high) { return random_.integer(low, high); }
  bool flag() { return in(0, 1) == 1; }
  /// 1 to 2^`bits`, every magnitude as likely, and rarely a power of two.
  std::int64_t up_to(std::int64_t bits) {
    const std::int64_t top = std::int64_t{1} << in(0, bits);
    return in(std::max<std::int64_t>(1, top / 2), top);
  }
  template <class Enum>
  Enum one_of(Enum last) {
    return static_cast<Enum>(in(0, static_cast<std::int64_t>(last)));
  }
  ElementType cache_type() { return flag() ? ElementType::Bfloat16 : ElementType::Fp8E4m3; }
  /// Any precision, or none.
  const formats::Precision* precision() {
    const auto known = formats::precisions();
    const std::int64_t index = in(-1, std::ssize(known) - 1);
    return index < 0 ? nullptr : &known[static_cast<std::size_t>(index)];
  }
  std::vector<QuerySpan> spans(std::int64_t most, std::int64_t query_bits, std::int64_t key_bits) {
    std::vector<QuerySpan> spans(static_cast<std::size_t>(in(1, most)));
    const bool decodes = flag();
    for (QuerySpan& span : spans) {
      span.q_len = decodes ? 1 : up_to(query_bits);
      span.kv_len = span.q_len + (flag() ? 0 : up_to(key_bits));
    }
    return spans;
  }

  void draw(EmbeddingKernel& s) { s = {up_to(10), up_to(13)}; }
  void draw(NormKernel& s) {
    s = {up_to(11), up_to(13), one_of(NormKind::Layer), flag(), flag(), flag()};
  }
  void draw(GemmKernel& s) {
    const std::int64_t bits = in(0, 49) == 0 ? 13 : 11;
    s = {up_to(bits), up_to(bits), up_to(bits)};
    s.adds_residual = flag();
    s.bias = flag();
    s.precision = precision();
    if (s.precision == nullptr && flag()) s.weights = ElementType::Fp8E4m3;
  }
  void draw(RopeKernel& s) {
    s = {up_to(10), in(1, 32), in(1, 8), 64, cache_type()};
    if (flag()) s.rotated = 2 * in(0, 32);
    s.values = flag();
    s.extra = flag() ? 0 : up_to(9);
    s.key_copies = flag() ? 0 : in(1, 4);
  }
  void draw(AttentionKernel& s) {
    s.spans = spans(16, in(0, 19) == 0 ? 13 : 10, 12);
    s.kv_heads = in(1, 8);
    s.heads = s.kv_heads * in(1, 8);
    s.head_dim = std::int64_t{32} << in(0, 3);
    s.window = in(0, 3) == 0 ? up_to(10) : 0;
    s.kv = cache_type();
    s.sinks = flag();
    s.softcap = flag();
    s.cached = flag();
    s.library = one_of(AttentionLibrary::TensorRt);
  }
  void draw(ActivationKernel& s) {
    s = {up_to(11), up_to(13), ActivationKind::Silu, flag(), walk()};
  }
  void draw(SampleKernel& s) { s = {up_to(6), up_to(17)}; }
  void draw(BatchedGemmKernel& s) {
    s = {in(1, 128), up_to(9), up_to(9), up_to(9)};
    s.precision = precision();
  }
  void draw(GroupedGemmKernel& s) {
    s.rows.resize(static_cast<std::size_t>(up_to(6)));
    const std::int64_t bits = in(0, 9);
    for (std::int64_t& rows : s.rows) rows = flag() ? 0 : up_to(bits);
    s.rows.front() += 1;
    s.n = up_to(12);
    s.k = up_to(11);
    s.bias = flag();
    s.precision = precision();
    s.writes_descriptors = flag();
  }
  void draw(CacheReadKernel& s) { s = {up_to(12), up_to(10), cache_type()}; }
  void draw(LatentAttentionKernel& s) {
    s.spans = spans(64, 6, 13);
    s.heads = up_to(7);
    s.kv_rank = 512;
    s.rope_dim = 64;
    s.selected = flag() ? 0 : up_to(11);
    s.kv = cache_type();
    s.deal_kernel = flag();
  }
  void draw(IndexerKernel& s) { s = {spans(16, 6, 12), in(1, 64), 128, up_to(11)}; }
  void draw(ShortConvolutionKernel& s) { s = {spans(8, 9, 4), up_to(12), in(2, 4)}; }
  void draw(DeltaGateKernel& s) {
    const std::int64_t key_heads = in(1, 16);
    s = {up_to(11), key_heads, key_heads * in(1, 4), std::int64_t{64} << in(0, 1)};
  }
  void draw(GatedDeltaKernel& s) {
    s.spans = spans(8, 10, 6);
    s.shape.key_heads = in(1, 8);
    s.shape.value_heads = s.shape.key_heads * in(1, 4);
    s.shape.key_dim = s.shape.value_dim = std::int64_t{64} << in(0, 1);
    const bool decodes = s.spans.front().q_len == 1;
    s.phase = decodes ? DeltaPhase::Recurrent : DeltaPhase::Chunked;
  }
  void draw(RouterKernel& s) {
    s.tokens = up_to(10);
    s.router.experts = 1 << in(3, 8);
    s.router.top_k = in(1, 8);
  }
  void draw(DispatchKernel& s) {
    s = {up_to(10), in(1, 8), up_to(12), DispatchKernel::every_choice, walk()};
  }
  void draw(CombineKernel& s) { s = {up_to(10), in(1, 8), up_to(12), flag(), flag()}; }
  void draw(ElementwiseKernel& s) { s = {one_of(ElementwiseKind::Add), up_to(11), up_to(13)}; }
  /// Any precision that quantises activations.
  void draw(QuantiseKernel& s) {
    s.rows = up_to(10);
    s.width = 16 * up_to(9);
    do {
      s.precision = precision();
    } while (s.precision == nullptr || !s.precision->activation);
    s.scales = one_of(ScaleOrigin::Known);
    s.search_access = std::int64_t{2} << in(0, 3);
    s.convert_access = std::int64_t{2} << in(0, 3);
  }
  void draw(ExpertSortKernel& s) { s = {up_to(12), in(1, 8), up_to(8)}; }
  void draw(StateSpaceScanKernel& s) {
    const std::int64_t groups = in(1, 8);
    s = {spans(4, 10, 4), groups * in(1, 8), 64, groups, 128};
  }
  RowWalk walk() {
    RowWalk walk;
    walk.ctas_per_sm = flag() ? 0 : in(1, 8);
    walk.access = std::int64_t{4} << in(0, 2);
    walk.searches_expert = flag();
    return walk;
  }

  RandomStream& random_;
};

/// A chip with every rate drawn, and the software that acts on plans; `is_ideal`: efficiencies at 1
/// and overheads at 0 leave no slack above the floor.
inline GpuParams drawn_chip(RandomStream& random, bool is_ideal) {
  const auto scale = [&](double low, double high) { return low + (high - low) * random.uniform(); };
  const auto whole = [&](std::int64_t low, std::int64_t high) {
    return static_cast<double>(random.integer(low, high));
  };
  Chip chip = with(large_chip(), "sms", whole(1, 200));
  const double peak = 4e15 / static_cast<double>(std::int64_t{1} << random.integer(0, 16));
  for (const char* key : {"peak_float16", "peak_bfloat16"}) chip = with(chip, key, peak);
  for (const char* key : {"peak_fp8", "peak_int8"}) chip = with(chip, key, 2 * peak);
  chip = with(chip, "peak_fp4", random.integer(0, 1) == 0 ? 0 : 4 * peak);
  chip = with(chip, "peak_float32", scale(1e12, 2e14));
  chip = with(chip, "matrix_issue", whole(0, 2));
  constexpr std::pair<double, double> memories[] = {{0, 2}, {0, 2.5}, {0, 3}, {0, 3.5}, {0, 4},
                                                    {1, 6}, {1, 6.5}, {1, 7}, {2, 5.5}};
  const auto& [family, generation] = memories[random.integer(0, std::ssize(memories) - 1)];
  chip = with(with(chip, "memory_family", family), "hbm_generation", generation);
  chip = with(chip, "hbm_refresh_time", scale(100e-9, 600e-9));
  chip = with(chip, "hbm_bandwidth", scale(1e12, 2e13));
  chip = with(chip, "hbm_stacks", whole(1, 8));
  chip = with(chip, "l2_bandwidth", scale(1e11, 5e13));
  chip = with(chip, "l2_capacity", scale(1e5, 2e8));
  chip = with(chip, "multicast", whole(1, 4));
  chip = with(chip, "persistent_kernels", whole(0, 1));
  chip = with(chip, "overlaps_softmax", whole(0, 1));
  if (is_ideal) {
    for (const char* key : {"model_refresh", "model_launch", "hbm_latency", "l2_latency",
                            "matrix_latency", "atomic_interval"}) {
      chip = with(chip, key, 0);
    }
    for (const char* key :
         {"port_bytes_per_clock", "store_bytes_per_clock", "shared_bytes_per_clock"}) {
      chip = with(chip, key, 1e9);
    }
    chip = with(chip, "matrix_efficiency", 1);
  }
  GpuParams params = params_of(chip);
  params.product_library = static_cast<ProductLibrary>(random.integer(0, 2));
  params.offers_stream_k = random.integer(0, 1) == 1;
  params.alternates_promotion = random.integer(0, 1) == 1;
  params.norm_access = std::int64_t{2} << random.integer(0, 3);
  params.copies_grouped_heads = random.integer(0, 1) == 1;
  return params;
}

}  // namespace tandem::gpu
