#include "sim/service/shared_blocks.hpp"

#include <algorithm>
#include <vector>

namespace tandem {

/// visit(key, first block of the table, end).
template <class Visit>
void SharedBlocks::for_each_part(const Request& request, const Visit& visit) const {
  std::int64_t begin = 0;
  for (const SharedPart& part : request.shared) {
    const std::int64_t end = part.end / block_tokens_;
    if (end > begin) visit(part.key, begin, end);
    begin = std::max(begin, end);
  }
}

std::int64_t SharedBlocks::blocks_here(std::int64_t key) const {
  const auto found = parts_.find(key);
  return found == parts_.end() ? 0 : found->second.blocks;
}

std::int64_t SharedBlocks::tokens_here(const Request& request) const {
  std::int64_t blocks = 0;
  for_each_part(request, [&](std::int64_t key, std::int64_t begin, std::int64_t end) {
    if (blocks == begin) blocks += std::min(blocks_here(key), end - begin);
  });
  return std::min(blocks, (request.known_tokens() - 1) / block_tokens_) * block_tokens_;
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
    part.left = times_left_++;
    left_[part.left] = *key;
    idle_ += part.blocks;
    freed += part.blocks;
  }
  return freed;
}

bool SharedBlocks::evict(const Request& request) {
  for (auto it = left_.begin(); it != left_.end(); ++it) {
    const std::int64_t key = it->second;
    const bool is_own = std::any_of(request.shared.begin(), request.shared.end(),
                                    [&](const SharedPart& part) { return part.key == key; });
    if (is_own) continue;
    idle_ -= parts_.at(key).blocks;
    parts_.erase(key);
    left_.erase(it);
    return true;
  }
  return false;
}

}  // namespace tandem
