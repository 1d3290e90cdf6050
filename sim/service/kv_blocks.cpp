#include "sim/service/kv_blocks.hpp"

#include <algorithm>
#include <limits>

namespace tandem {
namespace {

/// The key of what a request shares with nobody but itself, later.
std::int64_t own_key(const Request& request) {
  return std::numeric_limits<std::int64_t>::min() + request.id;
}

}  // namespace

bool KvBlocks::grow(ScheduledSequence& sequence, std::int64_t tokens) {
  if (!make_room(sequence, tokens)) return false;
  const Request& request = *sequence.request;
  const bool may_be_found =
      !request.shared.empty() && sequence.computed < request.shared.back().end;
  if (may_be_found) fill(sequence, tokens);
  return true;
}

bool KvBlocks::make_room(ScheduledSequence& sequence, std::int64_t tokens) {
  const std::int64_t blocks = blocks_of(tokens);
  const bool has_room = eviction_.is_on()
                            ? grow_kept(sequence, tokens)
                            : blocks <= sequence.blocks || add_blocks(sequence, blocks);
  was_short_ |= !has_room;
  return has_room;
}

void KvBlocks::fill(const ScheduledSequence& sequence, std::int64_t tokens) {
  if (!eviction_.is_on()) shared_.fill(*sequence.request, tokens);
}

bool KvBlocks::add_blocks(ScheduledSequence& sequence, std::int64_t blocks) {
  const Request& request = *sequence.request;
  const std::int64_t more = shared_.missing(request, sequence.blocks, blocks);
  const std::int64_t lacking = used_ + shared_.idle() + more - room_;
  if (lacking > 0 && !shared_.evict(request, lacking)) return false;
  used_ += more + shared_.take(request, sequence.blocks, blocks);
  sequence.blocks = blocks;
  peak_ = std::max(peak_, used_);
  return true;
}

// What a pass before it evicted is free again; nothing is shared.
bool KvBlocks::grow_kept(ScheduledSequence& sequence, std::int64_t tokens) {
  const std::int64_t fresh = tokens - sequence.computed;
  const std::int64_t cached = eviction_.kept(sequence.computed) + fresh;
  const std::int64_t more = blocks_of(cached) - sequence.blocks;
  if (used_ + more > room_) return false;
  used_ += more;
  sequence.blocks += more;
  peak_ = std::max(peak_, used_);
  return true;
}

void KvBlocks::drop(ScheduledSequence& sequence, std::int64_t tokens) {
  // Drafts that nobody verified would be among them.
  const bool drafts = sequence.request->round_tokens > 0;
  if (has_prefix_cache_ && !eviction_.is_on() && !drafts) leave_own_blocks(sequence, tokens);
  release(sequence);
}

void KvBlocks::finish(ScheduledSequence& sequence) {
  // What nobody asks for again only matters where it pushes out what somebody does.
  const bool is_shared = !sequence.request->shared.empty();
  if (has_prefix_cache_ && is_shared) leave_own_blocks(sequence, sequence.computed);
  release(sequence);
}

// Full blocks behind the shared parts become a part of the request's own.
void KvBlocks::leave_own_blocks(ScheduledSequence& sequence, std::int64_t tokens) {
  Request& request = *sequence.request;
  const std::int64_t end = tokens / block_tokens_ * block_tokens_;
  std::vector<SharedPart>& parts = request.shared;
  if (!parts.empty() && parts.back().key == own_key(request)) {
    parts.back().end = std::max(parts.back().end, end);
  } else if (end > (parts.empty() ? 0 : parts.back().end)) {
    parts.push_back({own_key(request), end});
  } else {
    return;
  }
  shared_.adopt_last(request, sequence.blocks);
}

void KvBlocks::release(ScheduledSequence& sequence) {
  used_ -= shared_.release(*sequence.request, sequence.blocks);
  sequence.blocks = 0;
}

}  // namespace tandem
