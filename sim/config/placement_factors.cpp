#include "sim/config/placement_factors.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <utility>

namespace tandem::config {
namespace {

using Factor = std::pair<const char*, std::int64_t>;

}  // namespace

std::string gang_text(const PoolPlacement& placement) {
  std::string text;
  for (const auto& [key, count] : {Factor{"tensor", placement.tensor},
                                   {"context", placement.context},
                                   {"attention_data", placement.attention_data}}) {
    if (count > 1) text += fmt::format("{} {} x ", count, key);
  }
  return text;
}

const char* largest_factor(const PoolPlacement& placement) {
  Factor most{"pool", 1};
  for (const Factor& factor : {Factor{"tensor", placement.tensor},
                               {"context", placement.context},
                               {"attention_data", placement.attention_data},
                               {"pipeline", placement.pipeline},
                               {"replicas", placement.replicas}}) {
    if (factor.second > most.second) most = factor;
  }
  return most.first;
}

}  // namespace tandem::config
