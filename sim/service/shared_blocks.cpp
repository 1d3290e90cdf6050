#include "sim/service/shared_blocks.hpp"

#include <algorithm>
#include <vector>

namespace tandem {
namespace {

/// visit(key, first block of the table, end), over the shared parts of the request.
template <class Visit>
void visit_parts(const Request& request, std::int64_t block_tokens, const Visit& visit) {
  std::int64_t begin = 0;
  for (const SharedPart& part : request.shared) {
    const std::int64_t end = part.end / block_tokens;
    if (end > begin) visit(part.key, begin, end);
    begin = std::max(begin, end);
  }
}

}  // namespace

std::vector<BlockName> shared_block_names(const Request& request, std::int64_t block_tokens,
                                          std::int64_t from, std::int64_t to) {
  std::vector<BlockName> names;
  visit_parts(request, block_tokens, [&](std::int64_t key, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = std::max(from, begin); i < std::min(to, end); ++i) {
      names.push_back({key, i - begin});
    }
  });
  return names;
}

/// visit(key, first block of the table, end).
template <class Visit>
void SharedBlocks::for_each_part(const Request& request, const Visit& visit) const {
  visit_parts(request, block_tokens_, visit);
}

std::int64_t SharedBlocks::blocks_here(std::int64_t key) const {
  const auto found = parts_.find(key);
  return found == parts_.end() ? 0 : found->second.blocks;
}

std::int64_t SharedBlocks::blocks_to_find(std::int64_t key) const {
  const auto found = parts_.find(key);
  if (found == parts_.end()) return 0;
  const Part& part = found->second;
  return step_ > 0 && part.step == step_ ? part.full_before : part.full;
}

std::int64_t SharedBlocks::tokens_here(const Request& request) const {
  std::int64_t blocks = 0;
  for_each_part(request, [&](std::int64_t key, std::int64_t begin, std::int64_t end) {
    if (blocks == begin) blocks += std::min(blocks_to_find(key), end - begin);
  });
  return std::min(blocks, (request.known_tokens() - 1) / block_tokens_) * block_tokens_;
}

std::int64_t SharedBlocks::tokens_under_way(const Request& request) const {
  std::int64_t blocks = 0;
  for_each_part(request, [&](std::int64_t key, std::int64_t begin, std::int64_t end) {
    if (blocks != begin) return;
    const auto part = parts_.find(key);
    const bool is_held = part != parts_.end() && part->second.holders > 0;
    blocks += is_held ? end - begin : std::min(blocks_to_find(key), end - begin);
  });
  const std::int64_t most = (request.known_tokens() - 1) / block_tokens_;
  return std::min(blocks, most) * block_tokens_ - tokens_here(request);
}

std::int64_t SharedBlocks::missing(const Request& request, std::int64_t from,
                                   std::int64_t to) const {
  std::int64_t blocks = to - from;
  for_each_part(request, [&](std::int64_t key, std::int64_t begin, std::int64_t end) {
    const std::int64_t here = std::min(begin + blocks_here(key), end);
    blocks -= std::max<std::int64_t>(0, std::min(to, here) - std::max(from, begin));
  });
  return blocks;
}

std::int64_t SharedBlocks::take(const Request& request, std::int64_t from, std::int64_t to) {
  std::int64_t woken = 0;
  for_each_part(request, [&](std::int64_t key, std::int64_t begin, std::int64_t end) {
    if (to <= begin || from >= end) return;
    Part& part = parts_[key];
    const bool is_new_holder = from <= begin;
    if (is_new_holder && part.holders++ == 0 && part.blocks > 0) {
      woken += part.blocks;
      left_.erase(part.left);
    }
    part.blocks = std::max(part.blocks, std::min(to, end) - begin);
  });
  idle_ -= woken;
  return woken;
}

void SharedBlocks::fill(const Request& request, std::int64_t tokens) {
  const std::int64_t blocks = tokens / block_tokens_;
  for_each_part(request, [&](std::int64_t key, std::int64_t begin, std::int64_t end) {
    const std::int64_t full = std::min(blocks, end) - begin;
    if (full <= 0) return;
    Part& part = parts_[key];
    if (full <= part.full) return;
    if (part.step != step_) part.full_before = part.full;
    part.step = step_;
    part.full = full;
  });
}

std::int64_t SharedBlocks::release(const Request& request, std::int64_t blocks) {
  std::int64_t freed = blocks;
  std::vector<std::int64_t> held;
  for_each_part(request, [&](std::int64_t key, std::int64_t begin, std::int64_t end) {
    if (blocks <= begin) return;
    held.push_back(key);
    freed -= std::min(blocks, end) - begin;
  });
  // The last part is of no use without those before it: it goes first.
  for (auto key = held.rbegin(); key != held.rend(); ++key) {
    Part& part = parts_[*key];
    if (--part.holders > 0) continue;
    freed += part.blocks;
    part.blocks = part.full;
    idle_ += part.blocks;
    if (part.blocks == 0) {
      parts_.erase(*key);
      continue;
    }
    part.left = times_left_++;
    left_[part.left] = *key;
  }
  return freed;
}

void SharedBlocks::adopt_last(const Request& request, std::int64_t blocks) {
  const std::int64_t own = request.shared.back().key;
  for_each_part(request, [&](std::int64_t key, std::int64_t begin, std::int64_t end) {
    if (key != own || blocks <= begin) return;
    Part& part = parts_[key];
    part.holders = 1;
    part.blocks = std::max(part.blocks, std::min(blocks, end) - begin);
    part.full = part.blocks;
  });
}

bool SharedBlocks::evict(const Request& request, std::int64_t blocks) {
  std::int64_t others = idle_;
  for (const SharedPart& part : request.shared) {
    const auto found = parts_.find(part.key);
    if (found != parts_.end() && found->second.holders == 0) others -= found->second.blocks;
  }
  if (others < blocks) return false;
  for (auto it = left_.begin(); blocks > 0;) {
    const std::int64_t key = it->second;
    const bool is_own = std::any_of(request.shared.begin(), request.shared.end(),
                                    [&](const SharedPart& part) { return part.key == key; });
    if (is_own) {
      ++it;
      continue;
    }
    Part& part = parts_.at(key);
    const std::int64_t gone = std::min(part.blocks, blocks);
    blocks -= gone;
    idle_ -= gone;
    for (std::int64_t i = 1; notes_dropped_ && i <= gone; ++i) {
      dropped_.push_back({key, part.blocks - i});
    }
    part.blocks -= gone;
    part.full = part.blocks;
    if (part.blocks > 0) return true;
    parts_.erase(key);
    it = left_.erase(it);
  }
  return true;
}

}  // namespace tandem
