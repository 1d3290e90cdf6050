#include "sim/service/speculation/draft_passes.hpp"

#include <algorithm>

namespace tandem {

/// Every token once more, by what drafts.
Batch DraftPasses::keeping_up(const Batch& batch) const {
  const bool has_own_text = speculation_.method == DraftMethod::DraftModel;
  Batch result;
  for (SequenceSlice slice : batch.slices) {
    if (has_own_text && slice.in_round) {
      const std::int64_t tokens = std::min<std::int64_t>(2, slice.new_tokens);
      slice.context += slice.new_tokens - tokens;
      slice.new_tokens = tokens;
    }
    slice.verified = 0;
    slice.wants_logits = slice.wants_logits && !only_keeps_up_;
    result.slices.push_back(slice);
  }
  return result;
}

/// The drafts at a depth of requests that go on; each follows a draft of the depth before.
Batch DraftPasses::drafting_at(const Batch& batch, std::int64_t depth) const {
  const std::int64_t tokens = speculation_.drafts_at(depth - 1);
  std::int64_t before = 0;
  for (std::int64_t i = 0; i + 1 < depth; ++i) before += speculation_.drafts_at(i);
  Batch result;
  for (const SequenceSlice& slice : batch.slices) {
    if (!slice.wants_logits) continue;
    result.slices.push_back({.request = slice.request,
                             .context = slice.context + slice.new_tokens + before,
                             .new_tokens = tokens,
                             .wants_logits = true,
                             .group = slice.group,
                             .verified = tokens - 1,
                             .in_round = tokens > 1});
  }
  return result;
}

std::vector<Batch> DraftPasses::behind(const Batch& batch) const {
  if (drafting_ == nullptr) return {};
  std::vector<Batch> passes(static_cast<std::size_t>(copies_), keeping_up(batch));
  for (std::int64_t depth = copies_; depth < speculation_.drafts && !only_keeps_up_; ++depth) {
    Batch drafts = drafting_at(batch, depth);
    if (!drafts.slices.empty()) passes.push_back(std::move(drafts));
  }
  return passes;
}

void DraftPasses::add_to(const Batch& batch, StepSampler* sampler, StepEstimate& estimate) {
  for (const Batch& pass : behind(batch)) {
    const StepEstimate own = drafting_->execute(pass);
    if (sampler != nullptr) sampler->offer_to_audit(*drafting_, pass, own);
    estimate.stations.back() += own.latency();
    estimate.drafting += own.latency();
    estimate.floor_latency += own.floor_latency;
    estimate.floor_period += own.floor_latency;
    estimate.floor_drafting += own.floor_latency;
  }
}

std::int64_t DraftPasses::tokens_of_round(std::int64_t request, std::int64_t unverified) {
  if (unverified == 0) return 1;
  const auto luck = luck_.try_emplace(request, speculation_, seed_, request).first;
  const std::int64_t accepted = luck->second.next();
  ++use_.rounds;
  use_.accepted += accepted;
  return accepted + 1;
}

void DraftPasses::account(const Request& request, Picoseconds now, Picoseconds drafting) {
  const auto [before, is_new] = drafting_before_.try_emplace(request.id, drafting);
  if (request.generated > 0) {
    const Picoseconds own = drafting - before->second;
    use_.drafting += own;
    use_.verifying += now - request.last_token - own;
  }
  before->second = drafting;
}

}  // namespace tandem
