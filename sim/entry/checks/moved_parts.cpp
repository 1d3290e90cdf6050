#include "sim/entry/checks/moved_parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/config/unit_text.hpp"

namespace tandem::entry {
namespace {

/// "hbm_bandwidth 3.35e+12 -> 3.3165e+12 (-1 %)".
std::string key_change(const std::string& key, const std::string& before,
                       const std::string& after) {
  if (key == "hash") return "content";
  std::string text = fmt::format("{} {} -> {}", key, before.empty() ? "none" : before,
                                 after.empty() ? "none" : after);
  const auto old_value = plain_number(before);
  const auto new_value = plain_number(after);
  if (old_value && new_value && *old_value != 0) {
    text += fmt::format(" ({:+.3g} %)", (*new_value / *old_value - 1) * 100);
  }
  return text;
}

std::string at_or_empty(const ConfigPart& part, const std::string& key) {
  const auto found = part.find(key);
  return found == part.end() ? "" : found->second;
}

std::vector<std::string> key_changes(const ConfigPart& before, const ConfigPart& after) {
  std::vector<std::string> changes;
  for (const auto& [key, value] : before) {
    const std::string now = at_or_empty(after, key);
    if (now != value) changes.push_back(key_change(key, value, now));
  }
  for (const auto& [key, value] : after) {
    if (before.count(key) == 0) changes.push_back(key_change(key, "", value));
  }
  return changes;
}

constexpr const char* scenario_moved = "scenario: placement, serving, traffic, SLO, seed or audits";

void add_configuration(const Baseline& baseline, const BaselineEntry& entry,
                       const EntryOutcome& outcome, std::vector<std::string>& reasons) {
  bool knows_scenario = false;
  for (const auto& [name, part] : outcome.parts) {
    auto found = baseline.parts.find(entry.name + ":" + name);
    if (found == baseline.parts.end()) found = baseline.parts.find(name);
    if (name == "scenario") {
      knows_scenario = found != baseline.parts.end();
      if (knows_scenario && found->second != part) reasons.emplace_back(scenario_moved);
    } else if (found == baseline.parts.end()) {
      reasons.push_back(fmt::format("{}: not in the baseline", name));
    } else if (const auto changes = key_changes(found->second, part); !changes.empty()) {
      reasons.push_back(fmt::format("{}: {}", name, fmt::join(changes, ", ")));
    }
  }
  if (reasons.empty() && outcome.config_hash != entry.config_hash) {
    reasons.emplace_back(knows_scenario ? "a source or range of a number"
                                        : "scenario: placement, serving, traffic, SLO, or a source "
                                          "or range");
  }
}

/// One family of kernels whose time moved.
struct MovedFamily {
  std::string name;
  double change = 0;   ///< relative; infinite for a new one
  double seconds = 0;  ///< by how much
};

std::vector<MovedFamily> moved_families(const std::map<std::string, double>& before,
                                        const std::map<std::string, double>& after) {
  constexpr double noise = 1e-6;
  std::vector<MovedFamily> families;
  const auto add = [&](const std::string& name, double then, double now) {
    if (std::abs(now - then) <= noise * std::max(now, then)) return;
    families.push_back({name, now / then - 1, now - then});
  };
  for (const auto& [name, then] : before) {
    const auto found = after.find(name);
    add(name, then, found == after.end() ? 0 : found->second);
  }
  for (const auto& [name, now] : after) {
    if (before.count(name) == 0) add(name, 0, now);
  }
  std::stable_sort(families.begin(), families.end(), [](const auto& a, const auto& b) {
    return std::abs(a.seconds) > std::abs(b.seconds);
  });
  return families;
}

void add_families(const BaselineEntry& entry, const EntryOutcome& outcome,
                  std::vector<std::string>& reasons) {
  const std::vector<MovedFamily> families = moved_families(entry.pass_s, outcome.pass_s);
  if (families.empty()) return;
  if (reasons.empty()) {
    reasons.emplace_back(
        "the program: its configuration is as it was, the times of kernels are not");
  }
  double all = 0;
  for (const MovedFamily& family : families) all += std::abs(family.seconds);
  constexpr std::size_t most = 5;
  std::string text = "times of kernels:";
  for (std::size_t i = 0; i < std::min(most, families.size()); ++i) {
    const MovedFamily& family = families[i];
    text += fmt::format("{} {} {} ({:.0f} % of the change)", i == 0 ? "" : ",", family.name,
                        std::isfinite(family.change) ? fmt::format("{:+.3g} %", family.change * 100)
                                                     : std::string("new"),
                        std::abs(family.seconds) / all * 100);
  }
  if (families.size() > most) text += fmt::format(", and {} more", families.size() - most);
  reasons.push_back(text);
}

}  // namespace

std::vector<std::string> moved_parts(const Baseline& baseline, const BaselineEntry& entry,
                                     const EntryOutcome& outcome) {
  std::vector<std::string> reasons;
  if (entry.config_hash.empty()) {
    if (outcome.moved() == 0) return {};
    return {
        "unknown: the baseline has no parts; 'tandem check FILE --update --reason TEXT' adds "
        "them"};
  }
  add_configuration(baseline, entry, outcome, reasons);
  add_families(entry, outcome, reasons);
  return reasons;
}

}  // namespace tandem::entry
