#include "models/gpu/shared_constants.hpp"

#include <utility>

namespace tandem::gpu::shared {
namespace {

Parameter fitted(double value, double low, double high) {
  Parameter parameter;
  parameter.value = value;
  parameter.source = "tandem-gpu-fit";
  parameter.basis = Basis::Fitted;
  parameter.low = low;
  parameter.high = high;
  return parameter;
}

}  // namespace

ParameterSet constants() {
  const std::pair<const char*, Parameter> all[] = {
      {"exchange_clocks", fitted(exchange_clocks, 60, 140)},
      {"issue_efficiency", fitted(issue_efficiency, 0.6, 1)},
      {"masked_score_instructions", fitted(masked_score_instructions, 8, 20)},
      {"operations_per_access", fitted(operations_per_access, 40, 120)},
      {"product_handoff_clocks", fitted(product_handoff_clocks, 150, 450)},
      {"promoted_handoffs", fitted(promoted_handoffs, 1, 8)},
      {"spilled_score_instructions", fitted(spilled_score_instructions, 14, 60)},
      {"tile_issue_efficiency", fitted(tile_issue_efficiency, 0.4, 1)},
      {"tiling_tie", fitted(tiling_tie, 1, 1.1)}};
  ParameterSet set;
  for (const auto& [name, parameter] : all) set.set(name, parameter);
  return set;
}

}  // namespace tandem::gpu::shared
