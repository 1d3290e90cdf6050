#include "sim/numerics/ops/prompt_lookup.hpp"

#include <algorithm>

#include "sim/core/integers.hpp"

namespace tandem::ops {

std::vector<std::int32_t> look_up(std::span<const std::int32_t> text, std::int64_t shortest,
                                  std::int64_t longest, std::int64_t count) {
  const auto all = static_cast<std::int64_t>(text.size());
  for (std::int64_t length = std::min(longest, all - 1); length >= shortest; --length) {
    const auto suffix = text.last(index_of(length));
    // The run that ends the text is no match for itself.
    const auto found = std::search(text.begin(), text.end() - 1, suffix.begin(), suffix.end());
    if (found == text.end() - 1) continue;
    const std::int64_t from = found - text.begin() + length;
    const auto drafts = text.subspan(index_of(from), index_of(std::min(count, all - from)));
    return {drafts.begin(), drafts.end()};
  }
  return {};
}

}  // namespace tandem::ops
