#include "sim/entry/describe_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "sim/describe/mix.hpp"
#include "sim/entry/describe_load.hpp"
#include "sim/report/summary.hpp"
#include "sim/step/generate.hpp"
#include "sim/step/pool_fit.hpp"

namespace tandem::entry {
namespace {

struct Prefix {
  double scale;
  const char* letter;
};

std::string bytes_text(Bytes bytes) {
  return si_text(static_cast<double>(bytes.count()), "B");
}

// Tokens of KV; requests where a stage keeps states alone; yes or no where it keeps nothing.
std::string room_text(const Stage& stage, const Fit& fit) {
  if (!fit.holds_weights()) return "too big";
  if (fit.state_per_sequence.count() > 0) return fmt::format("{} requests", fit.sequences(1));
  const bool keeps_kv = fit.kv_per_token.count() > 0;
  return stage.layers > 0 && keeps_kv ? std::to_string(fit.kv_tokens()) : "fits";
}

void add_fit_row(std::string& page, std::size_t index, const Stage& stage, const Fit& fit) {
  std::string part = stage.layers > 0 ? fmt::format("layers {}..{}", stage.first_layer,
                                                    stage.first_layer + stage.layers - 1)
                                      : std::string();
  if (stage.has_head()) {
    part += fmt::format("{}head {}..{}", part.empty() ? "" : ", ", stage.head_begin,
                        stage.head_end - 1);
  }
  page +=
      fmt::format("    {:>3} {:<26}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}\n", index, part,
                  bytes_text(fit.weights), bytes_text(fit.program), bytes_text(fit.workspace),
                  bytes_text(fit.kv_per_token), bytes_text(fit.capacity), room_text(stage, fit));
}

/// "tensor 8, ": how chips share a stage.
std::string gang_text(const PoolPlacement& placement) {
  std::string text;
  const auto add = [&](const char* key, std::int64_t count) {
    if (count > 1) text += fmt::format("{} {}, ", key, count);
  };
  add("tensor", placement.tensor);
  add("context", placement.context);
  add("attention_data", placement.attention_data);
  add("expert", placement.expert);
  return text;
}

/// One pool of the scenario, which runs the scenario's model.
void add_pool(std::string& page, const Scenario& scenario, const Catalogue& catalogue,
              const std::string& phase, const PoolPlacement& placement) {
  const auto model = make_chip_model(scenario, catalogue, placement.pool);
  const std::int64_t context = scenario.traffic.prompt_tokens + scenario.traffic.output_tokens;
  page +=
      fmt::format("\n  {} on pool '{}' ({}), {}pipeline {}, replicas {}\n", phase, placement.pool,
                  model->chip().name, gang_text(placement), placement.pipeline, placement.replicas);
  page += fmt::format("    {:>3} {:<26}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}\n", "", "part",
                      "weights", "program", "workspace", "KV/token", "capacity", "KV tokens");
  const auto stages = stages_of(*model, scenario.model, placement, placement.head_chips);
  for (std::size_t i = 0; i < stages.size(); ++i) {
    add_fit_row(page, i, stages[i], model->fit(stages[i], scenario.serving.max_sequences, context));
  }
}

/// What a round is; nothing where there are none.
void add_rounds(std::string& page, const Scenario& scenario) {
  const Speculation& speculation = scenario.placement.speculation;
  if (!speculation.is_on()) return;
  page +=
      fmt::format("  {} drafts per round by {}", speculation.drafted(), name_of_drafter(scenario));
  if (!speculation.acceptance.empty()) {
    page +=
        fmt::format(", accepted with probability {:.4g}", fmt::join(speculation.acceptance, ", "));
  }
  page += "\n";
}

void add_drafter_pools(std::string& page, const Scenario& scenario, const Catalogue& catalogue) {
  const Placement& placement = scenario.placement;
  add_pool(page, verifying_side(scenario), catalogue, "verify", placement.prefill);
  if (scenario.draft_model.layers() == 0) return;
  add_pool(page, drafting_side(scenario), catalogue,
           fmt::format("draft ({})", scenario.draft_model.name), placement.draft);
}

/// The pools of one model.
void add_pools(std::string& page, const Scenario& scenario, const Catalogue& catalogue) {
  add_rounds(page, scenario);
  if (scenario.placement.has_drafter()) return add_drafter_pools(page, scenario, catalogue);
  const bool drafts = scenario.placement.drafts_in_place();
  const Scenario verifying = drafts ? verifying_side(scenario) : scenario;
  const Placement& placement = verifying.placement;
  add_pool(page, verifying, catalogue,
           placement.mode == PlacementMode::Disaggregated ? "prefill" : "everything",
           placement.prefill);
  if (placement.mode == PlacementMode::Disaggregated) {
    add_pool(page, verifying, catalogue, "decode", placement.decode);
  }
  if (!scenario.placement.drafts_by_network()) return;
  const Scenario drafting = drafting_side(scenario);
  if (drafting.model.layers() > 0) {
    add_pool(page, drafting, catalogue,
             fmt::format("drafts ({} x {}), on the same chips", drafting_copies(scenario),
                         drafting.model.name),
             drafting.placement.decode);
  }
}

/// The models of a mix one after the other, with the share of requests that each computes.
void add_mix(std::string& page, const Scenario& mix, const Catalogue& catalogue) {
  const std::vector<double> loads = expected_loads(mix);
  for (std::size_t i = 0; i < mix.deployments.size(); ++i) {
    const Deployment& own = mix.deployments[i];
    page += fmt::format("\n  {}: {}, {:.4g} % of the requests{}\n", own.name, own.model.name,
                        100 * loads[i],
                        own.host ? ", on the chips of " + mix.deployments[*own.host].name : "");
    add_pools(page, deployment_side(mix, i), catalogue);
  }
}

/// Nobody reads megaseconds: from an hour on hours, from a year on years.
std::string time_text(double seconds) {
  constexpr double hour = 3600;
  constexpr double year = 8760 * hour;
  if (seconds >= year) return fmt::format("{:.6g} years", seconds / year);
  return seconds >= hour ? fmt::format("{:.6g} h", seconds / hour) : si_text(seconds, "s");
}

}  // namespace

std::string si_text(double value, const char* unit) {
  static constexpr std::array<Prefix, 10> prefixes{{{1e15, "P"},
                                                    {1e12, "T"},
                                                    {1e9, "G"},
                                                    {1e6, "M"},
                                                    {1e3, "k"},
                                                    {1, ""},
                                                    {1e-3, "m"},
                                                    {1e-6, "u"},
                                                    {1e-9, "n"},
                                                    {1e-12, "p"}}};
  if (value == 0) return fmt::format("0 {}", unit);
  for (const Prefix& prefix : prefixes) {
    if (std::abs(value) >= prefix.scale * 0.9999999) {
      return fmt::format("{:.6g} {}{}", value / prefix.scale, prefix.letter, unit);
    }
  }
  return fmt::format("{:.6g} {}", value, unit);
}

std::string with_unit(double value, Dimension dimension) {
  switch (dimension) {
    case Dimension::Scalar:
    case Dimension::Count:
      return fmt::format("{:.10g}", value);
    case Dimension::Size:
      return si_text(value, "B");
    case Dimension::Bandwidth:
      return si_text(value, "B/s");
    case Dimension::ComputeRate:
      return si_text(value, "FLOPS");
    case Dimension::Frequency:
      return si_text(value, "Hz");
    case Dimension::Time:
      return time_text(value);
    case Dimension::Power:
      return si_text(value, "W");
    case Dimension::Energy:
      return si_text(value, "J");
    case Dimension::Money:
      return fmt::format("{:.10g} USD", value);
    case Dimension::MoneyRate:
      return fmt::format("{:.10g} USD/h", value);
    case Dimension::EnergyPrice:
      return fmt::format("{:.10g} USD/kWh", value * 3.6e6);
    case Dimension::Carbon:
      return si_text(value, "g");
    case Dimension::CarbonIntensity:
      return fmt::format("{:.10g} g/kWh", value * 3.6e6);
    case Dimension::RequestRate:
      return fmt::format("{:.10g} 1/s", value);
    case Dimension::Fraction:
      return fmt::format("{:.6g} %", value * 100);
  }
  return {};
}

std::string describe_parameters(const std::string& name, const ParameterSet& parameters,
                                bool fitted_only) {
  std::string page = fmt::format("{}\n", name);
  for (const auto& [key, parameter] : parameters.all()) {
    if (fitted_only && parameter.basis != Basis::Fitted) continue;
    std::string range;
    if (parameter.low && parameter.high) {
      range = fmt::format(" [{} .. {}]", with_unit(*parameter.low, parameter.dimension),
                          with_unit(*parameter.high, parameter.dimension));
    }
    page += fmt::format("  {:<32}{:<18}{:<11}{}{}\n", key,
                        with_unit(parameter.value, parameter.dimension), name_of(parameter.basis),
                        parameter.source, range);
  }
  return page;
}

std::string assumption_note(const Chip& chip, const char* consequence) {
  std::int64_t assumed = 0;
  for (const auto& [key, parameter] : chip.parameters.all()) {
    assumed += parameter.basis == Basis::Assumed && parameter.source != "model-default" ? 1 : 0;
  }
  if (assumed == 0) return {};
  return fmt::format("{}: {} of {} numbers are assumed; {}\n", chip.name, assumed,
                     chip.parameters.all().size(), consequence);
}

std::string describe_system(const System& system) {
  std::string page = fmt::format("{}\n", system.name);
  for (const ChipGroup& group : system.groups) {
    page += fmt::format("  pool {:<8}{} x {}, {} per node, {} within, {} out\n", group.pool,
                        group.count, group.chip, group.chips_per_node,
                        group.link.empty() ? "nothing" : group.link,
                        group.scale_out.empty() ? "nothing" : group.scale_out);
  }
  for (const Bridge& bridge : system.bridges) {
    page += fmt::format("  bridge {} -> {}: {} lanes of {}\n", bridge.from, bridge.to, bridge.lanes,
                        fmt::join(bridge.links, " -> "));
  }
  return page + describe_parameters("  box", system.parameters, false);
}

std::string describe_scenario(const Scenario& scenario, const Catalogue& catalogue) {
  std::string page =
      fmt::format("{}: {} on {}\n", scenario.name, models_text(scenario), scenario.system.name);
  page += describe_load(scenario);
  page += fmt::format("  config hash {}\n", scenario.config_hash);
  if (scenario.is_mix()) {
    add_mix(page, scenario, catalogue);
  } else if (scenario.model.layers() == 0) {
    page += "  the model comes from the checkpoint given to 'tandem generate'\n";
  } else {
    add_pools(page, scenario, catalogue);
  }
  return page;
}

}  // namespace tandem::entry
