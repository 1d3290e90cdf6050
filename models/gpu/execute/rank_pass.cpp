#include "models/gpu/execute/rank_pass.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "models/gpu/execute/bodies.hpp"
#include "models/gpu/execute/exchanges.hpp"
#include "models/gpu/execute/sent_rows.hpp"
#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/pass_residency.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {
namespace {

/// The slices whose attention the chip runs, and where their rows stand.
std::vector<SliceOnChip> slices_on(const StageOnChip& on, const Batch& batch) {
  const Shard& shard = on.stage.shard;
  std::vector<SliceOnChip> slices;
  std::int64_t first_row = 0;
  std::int64_t first_in = 0;
  for (const SequenceSlice& slice : batch.slices) {
    if (shard.of.attention_data == 1 || slice.group == shard.group()) {
      slices.push_back({slice, first_row, first_in, nullptr});
      first_row += slice.new_tokens;
    }
    first_in += slice.new_tokens;
  }
  return slices;
}

/// Checks a slice against what is cached of its request, and makes room for the new tokens.
void open_request(const StageOnChip& on, SliceOnChip& on_chip,
                  std::map<std::int64_t, RequestCache>& caches) {
  const SequenceSlice& slice = on_chip.slice;
  const auto found = caches.try_emplace(slice.request, empty_cache(on.stage, on.network)).first;
  RequestCache& cache = found->second;
  if (on.stage.layers > 0 && cache.tokens != slice.context) {
    throw ModelError(fmt::format("gpu: request {} holds KV of {} tokens, the batch says {}",
                                 slice.request, cache.tokens, slice.context));
  }
  if (slice.context + slice.new_tokens > on.max_context) {
    throw ModelError(fmt::format("gpu: request {} grows to {} tokens, loaded for {}", slice.request,
                                 slice.context + slice.new_tokens, on.max_context));
  }
  grow_cache(cache, slice.new_tokens, on.stage.revocable);
  on_chip.cache = &cache;
}

bool has_indexer(const NeuralNetwork& network) {
  return std::ranges::any_of(network.kinds, [](const LayerKind& kind) {
    const auto* latent = std::get_if<LatentAttention>(&kind.mixer);
    return latent != nullptr && latent->indexer.has_value();
  });
}

/// Trees have a pass of their own, in kernels that look at keys one by one.
void take_tree(const StageOnChip& on, const Batch& batch, const TokenTree& tree,
               std::vector<SliceOnChip>& slices) {
  if (!tree.exists()) return;
  if (batch.slices.size() != 1) throw ModelError("gpu: a tree of drafts shares its pass");
  if (has_indexer(on.network)) throw ModelError("gpu: sparse attention takes no tree of drafts");
  if (on.sums == SumOrder::Planned || on.stage.eviction.is_on()) {
    throw ModelError("gpu: sums as planned and eviction take no tree of drafts");
  }
  for (SliceOnChip& slice : slices) follow_tree(tree, slice);
}

class GpuPass final : public RankPass {
 public:
  GpuPass(StageOnChip& on, const Batch& batch, const StageData& in,
          std::map<std::int64_t, RequestCache>& caches)
      : batch_(batch),
        graph_(lower(on.stage, batch)),
        pass_{on, in, slices_on(on, batch), 0, 0, {}, {}},
        residency_(on.chip.params()) {
    for (const SliceOnChip& slice : pass_.slices) {
      pass_.tokens += slice.slice.new_tokens;
      pass_.sampled += slice.slice.sampled();
    }
    take_input();
    take_tree(on, batch, in.tree, pass_.slices);
    for (SliceOnChip& slice : pass_.slices) open_request(on, slice, caches);
  }

  std::optional<std::vector<Tensor>> advance() override {
    if (waits_) throw ModelError("gpu: a pass goes on without what its exchange gave");
    while (next_kernel_ < graph_.kernels.size() || next_exchange_ < graph_.exchanges.size()) {
      if (is_at_exchange()) {
        waits_ = true;
        return bring_to(graph_.exchanges[next_exchange_], pass_, now_);
      }
      run_kernel(graph_.kernels[next_kernel_++]);
    }
    return std::nullopt;
  }

  void receive(std::vector<Tensor> results) override {
    if (!waits_) throw ModelError("gpu: a pass is at no exchange");
    take_from(graph_.exchanges[next_exchange_++], pass_, results, now_);
    waits_ = false;
  }

  StageCost finish(StageData& out) override {
    const StageOnChip& on = pass_.on;
    if (!on.stage.has_head()) {
      out.hidden = rows_of(Buffer::Hidden, on.network.hidden, on.type());
    } else {
      if (on.stage.hands_on_hidden) {
        out.hidden = rows_of(Buffer::HandedOn, on.network.hidden, on.type());
      }
      const std::int64_t width = on.stage.head_end - on.stage.head_begin;
      out.logits = rows_of(Buffer::Logits, width, ElementType::Float32);
    }
    return on.chip.simulate(on.stage, batch_, nullptr);
  }

 private:
  /// Hidden rows that another stage made; token ids wait for the embedding.
  void take_input() {
    const StageOnChip& on = pass_.on;
    const std::int64_t tokens = batch_.tokens();
    if (on.stage.has_embedding) {
      const auto given = static_cast<std::int64_t>(pass_.in.tokens.size());
      if (given != tokens) {
        throw ModelError(fmt::format("gpu: {} token ids for a batch of {}", given, tokens));
      }
      if (!on.network.joins_hidden) return;
    }
    const Tensor& given = pass_.in.hidden;
    const std::int64_t width = on.network.hidden;
    const bool comes_later =
        on.stage.layers > 0 && !on.stage.network.layer(on.stage.first_layer).has_mixer();
    if (comes_later && given.elements() == 0) return;  // from the chips of the layer's first half
    if (given.elements() != tokens * width) {
      throw ModelError(fmt::format("gpu: {} hidden values for a batch of {} tokens of {}",
                                   given.elements(), tokens, width));
    }
    const Buffer to = on.network.joins_hidden ? Buffer::Given : Buffer::Hidden;
    TrackedRows& hidden = pass_.fresh(to, pass_.tokens, width);
    for (const SliceOnChip& slice : pass_.slices) {
      for (std::int64_t i = 0; i < slice.slice.new_tokens; ++i) {
        load_row(given, slice.first_in + i, hidden.write(slice.first_row + i, Picoseconds(0)));
      }
    }
  }

  [[nodiscard]] bool is_at_exchange() const {
    return next_exchange_ < graph_.exchanges.size() &&
           index_of(graph_.exchanges[next_exchange_].after) <= next_kernel_;
  }

  void run_kernel(const Kernel& kernel) {
    const GpuChip& chip = pass_.on.chip;
    const KernelKind kind = kind_of(kernel, reused_state(residency_.enter(kernel)));
    const Picoseconds time = chip.simulated(kind, chip.params().clock).timing.time;
    execute({kernel, {now_, now_ + time}, pass_});
    now_ += time;
  }

  [[nodiscard]] Tensor rows_of(Buffer buffer, std::int64_t width, ElementType type) {
    const bool is_empty = !pass_.buffers.contains(buffer);
    Tensor tensor(type, {is_empty ? 0 : pass_.at(buffer).rows(), width});
    for (std::int64_t row = 0; row < tensor.dim(0); ++row) {
      store_row(pass_.at(buffer).read(row, now_), tensor, row);
    }
    return tensor;
  }

  Batch batch_;
  KernelGraph graph_;
  PassState pass_;
  PassResidency residency_;
  std::size_t next_kernel_ = 0, next_exchange_ = 0;
  bool waits_ = false;
  Picoseconds now_{0};
};

}  // namespace

std::unique_ptr<RankPass> begin_pass(StageOnChip& on, const Batch& batch, const StageData& in,
                                     std::map<std::int64_t, RequestCache>& caches) {
  return std::make_unique<GpuPass>(on, batch, in, caches);
}

}  // namespace tandem::gpu
