#include "sim/entry/plans/plan_prices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "sim/account/ownership.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/sweeps/sweep_figures.hpp"

namespace tandem::entry {
namespace {

/// What a price book lacks for a figure of a scenario, as the keys to write.
using Lacks = std::set<std::string>;

bool has_price(const ParameterSet& prices, const std::string& chip) {
  const std::string prefix = "chips." + chip;
  return rented_usd_per_hour(prices, prefix) || owned_usd_per_hour(prices, prefix);
}

/// A cost is that of all placed chips, so one without a price leaves none.
Lacks lacks_of(const std::string& figure, const Scenario& scenario) {
  const ParameterSet& prices = scenario.prices.parameters;
  Lacks lacks;
  if (figure.find("carbon") != std::string::npos && price_or(prices, "carbon", 0) <= 0) {
    lacks.insert("prices.carbon");
  }
  if (!figure.starts_with("usd_per_")) return lacks;
  for (const auto& [pool, count] : placed_chips_by_pool(scenario)) {
    const std::string& chip = scenario.system.group(pool).chip;
    if (!has_price(prices, chip)) lacks.insert(fmt::format("prices.chips.{}", chip));
  }
  return lacks;
}

/// A value that the key may have.
std::string example_of(const std::string& key) {
  return key == "prices.carbon" ? key + ": 400 g/kWh" : key + ".rent: 3 USD/h";
}

}  // namespace

void check_priced(const Context& context, const Plan& plan, const std::vector<SweepTask>& tasks) {
  const Loader loader = context.loader.remembering();
  for (const Objective& objective : plan.candidates.objectives) {
    Lacks lacks;
    std::set<std::string> books;
    bool is_known = false;
    for (const SweepTask& task : tasks) {
      if (task.status != "due") continue;
      const SweepPoint& point = plan.candidates.points[static_cast<std::size_t>(task.point)];
      const Scenario scenario = loader.scenario(point.scenario, point_overrides(point));
      Lacks own = lacks_of(objective.figure, scenario);
      is_known = own.empty();
      if (is_known) break;
      lacks.merge(own);
      books.insert(fmt::format("'{}'", scenario.prices.name));
    }
    if (is_known || lacks.empty()) continue;
    throw ConfigError(objective.place,
                      fmt::format("no candidate can have '{}', which this goal compares: price "
                                  "book {} lacks {}; write e.g. 'set: {{{}}}', or name another "
                                  "book by 'set: {{prices: NAME}}' ('tandem list prices')",
                                  objective.figure, fmt::join(books, ", "), fmt::join(lacks, ", "),
                                  example_of(*lacks.begin())));
  }
}

}  // namespace tandem::entry
