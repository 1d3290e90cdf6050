#include "sim/entry/systems/served_power.hpp"

#include "sim/account/accounting.hpp"

namespace tandem::entry {

MeteredRun metered(const Scenario& scenario, const RunResult& result) {
  MeteredRun run;
  run.seconds = result.simulated_s;
  run.output_tokens = static_cast<double>(result.output_tokens);
  const Accounting books = account(scenario, result);
  if (!books.energy_j) return run;
  run.chip_joules = books.energy_j->chips_dynamic + books.energy_j->chips_static;
  run.wall_joules = books.energy_j->total();
  for (const PoolUse& pool : result.pools) {
    const ParameterSet& chip = scenario.system.chips.at(pool.chip).parameters;
    if (chip.has("tdp")) run.limit_watts += pool.kept_chips() * chip.value("tdp");
  }
  return run;
}

MeteredRun behind(const MeteredRun& more, const MeteredRun& less) {
  return {more.seconds - less.seconds, more.output_tokens - less.output_tokens,
          more.chip_joules - less.chip_joules, more.wall_joules - less.wall_joules,
          more.limit_watts};
}

std::map<std::string, double> power_figures(const MeteredRun& run, const ServedCase& served) {
  std::map<std::string, double> figures;
  if (run.wall_joules <= 0 || run.seconds <= 0) return figures;
  const auto copies = static_cast<double>(served.copies);
  figures["mean_power"] = figures["power"] = run.chip_joules / run.seconds * copies;
  figures["wall_power"] = run.wall_joules / run.seconds * copies;
  if (run.limit_watts > 0) {
    figures["mean_power_of_limit"] = run.chip_joules / run.seconds / run.limit_watts;
  }
  figures["energy_per_token"] =
      (served.reads_wall ? run.wall_joules : run.chip_joules) / run.output_tokens;
  return figures;
}

}  // namespace tandem::entry
