#include "models/link/collectives/schedule.hpp"

#include <algorithm>

namespace tandem::link {

std::int32_t Schedule::add(Transfer transfer) {
  transfers.push_back(std::move(transfer));
  return static_cast<std::int32_t>(transfers.size() - 1);
}

ElementRange part_of(ElementRange whole, std::int64_t index, std::int64_t parts) {
  const std::int64_t share = whole.size() / parts, rest = whole.size() % parts;
  const auto start = [&](std::int64_t i) { return whole.begin + share * i + std::min(i, rest); };
  return {start(index), start(index + 1)};
}

}  // namespace tandem::link
