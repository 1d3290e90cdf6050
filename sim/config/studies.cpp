#include "sim/config/studies.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "sim/config/map_reader.hpp"
#include "sim/config/unit_text.hpp"
#include "sim/config/yaml_reader.hpp"

namespace tandem {
namespace {

using config::Problems;
using config::Tree;

std::string resolve(const std::string& folder, const std::string& path_or_name) {
  const bool is_path =
      path_or_name.ends_with(".yaml") || path_or_name.find('/') != std::string::npos;
  return is_path ? path_or_name : folder + "/" + path_or_name + ".yaml";
}

void check_keys(const Tree& tree, const std::string& what, const std::vector<std::string>& known,
                Problems& problems) {
  if (!tree.is_map()) {
    problems.report(tree.place,
                    fmt::format("{} must be a map with the keys {}", what, fmt::join(known, ", ")));
    return;
  }
  for (const auto& entry : tree.entries) {
    if (std::find(known.begin(), known.end(), entry.key) != known.end()) continue;
    problems.report(entry.key_place, fmt::format("unknown key '{}' in {}{}", entry.key, what,
                                                 config::suggestion(entry.key, known)));
  }
}

/// The text of a required scalar key; empty after a complaint.
std::string text_of(const Tree& tree, const std::string& key, const std::string& what,
                    Problems& problems) {
  const Tree* value = tree.find(key);
  if (value == nullptr) {
    problems.report(tree.place, fmt::format("{} needs a key '{}'", what, key));
    return {};
  }
  if (!value->is_scalar()) {
    problems.report(value->place, fmt::format("'{}' must be a single value", key));
    return {};
  }
  return value->text;
}

/// A relative tolerance: "0.1 %" or "0".
std::optional<double> tolerance_of(std::string text) {
  double scale = 1;
  if (!text.empty() && text.back() == '%') {
    scale = 0.01;
    text.pop_back();
    while (!text.empty() && text.back() == ' ') text.pop_back();
  }
  const auto value = plain_number(text);
  if (!value || *value < 0) return std::nullopt;
  return *value * scale;
}

ExpectedFigure read_figure(const config::TreeEntry& entry, Problems& problems) {
  ExpectedFigure figure;
  figure.key = entry.key;
  figure.place = entry.key_place;
  check_keys(entry.value, "an expected figure", {"value", "tolerance"}, problems);
  const std::string value = text_of(entry.value, "value", "an expected figure", problems);
  const std::string tolerance = text_of(entry.value, "tolerance", "an expected figure", problems);
  const auto number = plain_number(value);
  const auto relative = tolerance_of(tolerance);
  if (!value.empty() && !number) {
    problems.report(entry.value.find("value")->place,
                    fmt::format("'value' is '{}'; write a number", value));
  }
  if (!tolerance.empty() && !relative) {
    problems.report(entry.value.find("tolerance")->place,
                    fmt::format("'tolerance' is '{}'; write e.g. '0.1 %'", tolerance));
  }
  figure.value = number.value_or(0);
  figure.tolerance = relative.value_or(0);
  return figure;
}

BaselineEntry read_entry(const Tree& tree, Problems& problems) {
  const std::string what = "an entry of the baseline";
  check_keys(tree, what, {"name", "scenario", "set", "expect"}, problems);
  BaselineEntry entry;
  entry.name = text_of(tree, "name", what, problems);
  entry.scenario = text_of(tree, "scenario", what, problems);
  if (const Tree* changes = tree.find("set")) {
    for (const auto& change : changes->entries) {
      entry.overrides.push_back({change.key, change.value.text});
    }
  }
  const Tree* expected = tree.find("expect");
  if (expected == nullptr || expected->entries.empty()) {
    problems.report(tree.place, "an entry of the baseline needs 'expect' with at least one figure");
    return entry;
  }
  for (const auto& figure : expected->entries) {
    entry.expected.push_back(read_figure(figure, problems));
  }
  return entry;
}

}  // namespace

Baseline load_baseline(const ConfigRoots& roots, const std::string& path_or_name) {
  Baseline baseline;
  baseline.file = resolve(roots.workloads + "/baselines", path_or_name);
  Problems problems;
  const Tree tree = config::read_yaml(baseline.file, problems);
  problems.throw_if_any();
  check_kind(tree, "baseline", problems);
  check_keys(tree, "a baseline", {"kind", "entries"}, problems);
  const Tree* entries = tree.find("entries");
  if (entries == nullptr || !entries->is_sequence() || entries->items.empty()) {
    problems.report(tree.place, "a baseline needs 'entries', a list with at least one scenario");
  } else {
    for (const Tree& entry : entries->items) {
      baseline.entries.push_back(read_entry(entry, problems));
    }
  }
  problems.throw_if_any();
  return baseline;
}

std::string baseline_text(const Baseline& baseline) {
  std::string text =
      "# Figures that CI expects; `tandem check FILE --update --reason TEXT` rewrites them.\n"
      "kind: baseline\nentries:\n";
  for (const BaselineEntry& entry : baseline.entries) {
    text += fmt::format("  - name: {}\n    scenario: {}\n", entry.name, entry.scenario);
    if (!entry.overrides.empty()) text += "    set:\n";
    for (const Override& change : entry.overrides) {
      text += fmt::format("      {}: {}\n", change.path, change.value);
    }
    text += "    expect:\n";
    for (const ExpectedFigure& figure : entry.expected) {
      text += fmt::format("      {}: {{value: {:.10g}, tolerance: {:.6g} %}}\n", figure.key,
                          figure.value, figure.tolerance * 100);
    }
  }
  return text;
}

}  // namespace tandem
