#include "sim/step/loaded_split.hpp"

#include <algorithm>
#include <utility>

#include "sim/core/integers.hpp"
#include "sim/step/time_parts.hpp"

namespace tandem {
namespace {

/// Adds one slice of a batch, with its tokens, to a part.
void add_to(MicroBatch& part, const Batch& batch, const StageData& in, std::size_t slice) {
  std::int64_t first = 0;
  for (std::size_t i = 0; i < slice; ++i) first += batch.slices[i].new_tokens;
  const auto from = in.tokens.begin() + first;
  part.in.tokens.insert(part.in.tokens.end(), from, from + batch.slices[slice].new_tokens);
  part.batch.slices.push_back(batch.slices[slice]);
  part.slices.push_back(slice);
}

/// Logits of all parts in the order of the batch.
Tensor merged_logits(const Batch& batch, const std::vector<MicroBatch>& parts) {
  std::vector<std::int64_t> row_of;  // by slice
  std::int64_t rows = 0;
  for (const SequenceSlice& slice : batch.slices) {
    row_of.push_back(rows);
    rows += slice.wants_logits ? 1 : 0;
  }
  const Tensor& like = parts.front().out.logits;
  const std::int64_t width = like.dim(1);
  Tensor merged(like.type(), {rows, width});
  const std::int64_t row_bytes = width * bytes_of(like.type());
  for (const MicroBatch& part : parts) {
    auto from = part.out.logits.bytes().begin();
    for (const std::size_t slice : part.slices) {
      if (!batch.slices[slice].wants_logits) continue;
      std::copy(from, from + row_bytes, merged.bytes().begin() + row_of[slice] * row_bytes);
      from += row_bytes;
    }
  }
  return merged;
}

}  // namespace

LoadedSplit::LoadedSplit(std::unique_ptr<LoadedGang> mixers, LoadedFeedForward& blocks,
                         NetworkModel& network, std::int64_t micro_batches,
                         TimelineRecorder* timeline)
    : mixers_(std::move(mixers)),
      blocks_(blocks),
      network_(network),
      micro_batches_(micro_batches),
      timeline_(timeline) {}

/// Parts as PoolModel deals them; requests stay in their attention groups, where their KV is.
std::vector<MicroBatch> LoadedSplit::deal(const Batch& batch, const StageData& in) const {
  Batch numbered = batch;
  for (std::size_t i = 0; i < batch.slices.size(); ++i) {
    numbered.slices[i].request = static_cast<std::int64_t>(i);
    numbered.slices[i].group = 0;
  }
  const Batch dealt = dealt_to_groups(numbered, micro_batches_);
  std::vector<MicroBatch> parts;
  for (std::int64_t i = 0; i < micro_batches_; ++i) {
    MicroBatch part;
    for (const SequenceSlice& slice : slices_of_group(dealt, i).slices) {
      add_to(part, batch, in, index_of(slice.request));
    }
    if (!part.slices.empty()) parts.push_back(std::move(part));
  }
  return parts;
}

StageCost LoadedSplit::run(const Batch& batch, const StageData& in, StageData& out) {
  return run_from(now_, batch, in, out);
}

StageCost LoadedSplit::run_from(Picoseconds start, const Batch& batch, const StageData& in,
                                StageData& out) {
  std::vector<MicroBatch> parts = deal(batch, in);
  SplitTrace trace = SplitPass(*mixers_, blocks_, network_, timeline_).run(parts, start);
  out = StageData{};
  out.logits = merged_logits(batch, parts);
  now_ = trace.end;
  transfers_.insert(transfers_.end(), trace.transfers.begin(), trace.transfers.end());
  for (const auto& [name, cycles] : trace.cycles) cycles_[name] += cycles;
  StageCost cost;
  cost.time = trace.end - start;
  cost.floor = trace.floor;
  cost.cycles = ClockDomain(mixers_->chip().clock()).cycles_in(trace.mixing);
  cost.activity = std::move(trace.activity);
  cost.bottleneck = bound_of({{"mixers", trace.mixing}, {"feed_forward", cost.time - trace.mixing}},
                             "token_mixers");
  return cost;
}

KvBlock LoadedSplit::export_kv(std::int64_t request) const {
  return mixers_->export_kv(request);
}

void LoadedSplit::import_kv(std::int64_t request, const KvBlock& block) {
  mixers_->import_kv(request, block);
}

void LoadedSplit::fork(std::int64_t from, std::int64_t to) {
  mixers_->fork(from, to);
}

void LoadedSplit::release(std::int64_t request) {
  mixers_->release(request);
}

}  // namespace tandem
