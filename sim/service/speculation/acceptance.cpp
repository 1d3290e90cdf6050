#include "sim/service/speculation/acceptance.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tandem {

double acceptance_at(const Speculation& speculation, std::int64_t position) {
  const std::vector<double>& given = speculation.acceptance;
  const double one = given[std::min(static_cast<std::size_t>(position), given.size() - 1)];
  const auto depth = static_cast<std::size_t>(position);
  if (depth >= speculation.tree.size()) return one;
  // One of several drafts in the same place is right.
  return 1 - std::pow(1 - one, static_cast<double>(speculation.tree[depth]));
}

double expected_tokens(const Speculation& speculation) {
  double tokens = 1;
  double all_accepted = 1;
  for (std::int64_t i = 0; i < speculation.drafts; ++i) {
    all_accepted *= acceptance_at(speculation, i);
    tokens += all_accepted;
  }
  return tokens;
}

AcceptanceStream::AcceptanceStream(const Speculation& speculation, std::uint64_t seed,
                                   std::int64_t request)
    : speculation_(speculation), random_(seed, fmt::format("acceptance {}", request)) {}

std::int64_t AcceptanceStream::next() {
  std::int64_t accepted = 0;
  for (std::int64_t i = 0; i < speculation_.drafts; ++i) {
    const bool is_right = random_.uniform() < acceptance_at(speculation_, i);
    if (is_right && accepted == i) ++accepted;
  }
  return accepted;
}

}  // namespace tandem
