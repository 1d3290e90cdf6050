#include "models/gpu/loaded_stage.hpp"

#include <fmt/format.h>

#include "models/gpu/execute/rank_pass.hpp"
#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/kv_store.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/describe/dense_decoder.hpp"

namespace tandem::gpu {
namespace {

RopeTable rotation_of(const GroupedAttention& a, std::int64_t positions) {
  return a.rope ? RopeTable(*a.rope, a.shape.head_dim, positions) : RopeTable();
}

RopeTable rotation_of(const LatentAttention& a, std::int64_t positions) {
  if (a.rope.rotated > a.shape.rope_dim) {
    throw ModelError(fmt::format("gpu: rope rotates {} of the {} elements of a key", a.rope.rotated,
                                 a.shape.rope_dim));
  }
  return {a.rope, a.shape.rope_dim, positions};
}

RopeTable rotation_of(const GatedDelta&, std::int64_t) {
  return {};
}

RopeTable rotation_of(const MixerElsewhere&, std::int64_t) {
  return {};
}

StageOnChip put_on_chip(const GpuChip& chip, const Stage& stage, const Weights& weights,
                        std::int64_t max_context, CtaOrder order, SumOrder sums) {
  if (sums == SumOrder::Planned) (void)dense_decoder_of(stage.network, "gpu, sums as planned");
  StageOnChip on{chip,
                 stage,
                 shard_of(stage.network, stage.shard),
                 cut_weights(stage, weights),
                 {},
                 max_context,
                 order,
                 sums};
  for (const LayerKind& kind : on.network.kinds) {
    on.rotations.push_back(
        std::visit([&](const auto& mixer) { return rotation_of(mixer, max_context); }, kind.mixer));
  }
  if (stage.precision.kv_format == nullptr) return on;
  if (sums == SumOrder::Planned) {
    throw ModelError("gpu: sums as planned are of keys and values that are elements");
  }
  for (const LayerKind& kind : on.network.kinds) {
    const KvSlots slots = slots_of(kind.mixer, stage.precision);
    on.codecs.emplace_back();
    if (slots.is_coded()) on.codecs.back().emplace(*slots.format, slots.head);
  }
  return on;
}

class GpuLoadedStage final : public LoadedStage {
 public:
  explicit GpuLoadedStage(StageOnChip on) : on_(std::move(on)) {}

  StageCost run(const Batch& batch, const StageData& in, StageData& out) override {
    if (!on_.stage.shard.is_whole()) {
      throw ModelError("gpu: one chip of a gang runs from exchange to exchange: begin()");
    }
    const std::unique_ptr<RankPass> pass = begin(batch, in);
    (void)pass->advance();
    return pass->finish(out);
  }
  [[nodiscard]] std::unique_ptr<RankPass> begin(const Batch& batch, const StageData& in) override {
    return begin_pass(on_, batch, in, caches_);
  }
  [[nodiscard]] KvBlock export_kv(std::int64_t request) const override {
    const auto found = caches_.find(request);
    if (found == caches_.end()) {
      throw ModelError(fmt::format("gpu: request {} has no KV on this chip", request));
    }
    return to_block(on_.stage, on_.network, found->second);
  }
  void import_kv(std::int64_t request, const KvBlock& block) override {
    caches_.insert_or_assign(request, from_block(on_.stage, on_.network, block));
  }
  void keep(std::int64_t request, std::int64_t tokens) override {
    const auto found = caches_.find(request);
    if (found != caches_.end()) cut_cache(found->second, tokens);
  }
  void keep_path(std::int64_t request, std::int64_t tokens,
                 std::span<const std::int64_t> places) override {
    const auto found = caches_.find(request);
    if (found != caches_.end()) gpu::keep_path(found->second, tokens, places);
  }
  void fork(std::int64_t from, std::int64_t to) override {
    const auto found = caches_.find(from);
    if (found != caches_.end()) caches_.insert_or_assign(to, found->second);
  }
  void release(std::int64_t request) override { caches_.erase(request); }

 private:
  StageOnChip on_;
  std::map<std::int64_t, RequestCache> caches_;
};

}  // namespace

std::unique_ptr<LoadedStage> load_on_gpu(const GpuChip& chip, const Stage& stage,
                                         const Weights& weights, std::int64_t max_context,
                                         CtaOrder order, SumOrder sums) {
  return std::make_unique<GpuLoadedStage>(
      put_on_chip(chip, stage, weights, max_context, order, sums));
}

}  // namespace tandem::gpu
