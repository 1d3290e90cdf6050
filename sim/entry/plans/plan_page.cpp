#include "sim/entry/plans/plan_page.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/entry/sweeps/sweep_figures.hpp"
#include "sim/entry/sweeps/sweep_summary.hpp"

namespace tandem::entry {
namespace {

const PointResult* best_result(const PlanSearch& search, const std::vector<PointResult>& results) {
  const std::optional<std::size_t> best = search.best();
  if (!best) return nullptr;
  const auto found = std::find_if(results.begin(), results.end(), [&](const PointResult& result) {
    return result.point == static_cast<std::int64_t>(*best);
  });
  return found == results.end() ? nullptr : &*found;
}

}  // namespace

std::string plan_page(const PlanSearch& search) {
  const std::vector<PointResult> results = search.results();
  const PointResult* best = best_result(search, results);
  std::string page;
  if (best != nullptr) {
    const std::size_t index = static_cast<std::size_t>(best->point);
    page += fmt::format("answer: {} with {}\n", search.plan().candidates.points[index].scenario,
                        best->overrides);
    const auto figures = figures_of_result(best->result);
    for (const char* name : {"usd_per_m_total_tokens", "usd_per_hour_used", "output_tokens_per_s",
                             "output_tokens_per_s_per_user", "ttft_ms.p99", "tpot_ms.p99",
                             "average_power_w", "energy_j_per_output_token"}) {
      const auto figure = figures.find(name);
      if (figure != figures.end()) page += fmt::format("  {:32} {:.5g}\n", name, figure->second);
    }
  }
  return page + sweep_page(search.plan().candidates, results);
}

}  // namespace tandem::entry
