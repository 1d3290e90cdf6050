#include "sim/config/studies.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "sim/config/library.hpp"
#include "sim/config/map_reader.hpp"
#include "sim/config/sweep_axes.hpp"
#include "sim/config/unit_text.hpp"
#include "sim/config/yaml_reader.hpp"

namespace tandem {
namespace {

using config::Problems;
using config::Tree;

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

double number_of(const Tree& tree, const std::string& what, Problems& problems) {
  const auto number = tree.is_scalar() ? plain_number(tree.text) : std::nullopt;
  if (!number) problems.report(tree.place, fmt::format("write a number of {}", what));
  return number.value_or(0);
}

/// A key's map; null, after a complaint, where it is something else.
const Tree* map_of(const Tree& tree, const std::string& key, const std::string& example,
                   Problems& problems) {
  const Tree* value = tree.find(key);
  if (value == nullptr || value->is_map()) return value;
  problems.report(value->place, fmt::format("'{}' is a map; write e.g. {}", key, example));
  return nullptr;
}

BaselineEntry read_entry(const Tree& tree, Problems& problems) {
  const std::string what = "an entry of the baseline";
  check_keys(tree, what, {"name", "scenario", "set", "expect", "config_hash", "pass_s"}, problems);
  BaselineEntry entry;
  entry.name = text_of(tree, "name", what, problems);
  entry.point.scenario = text_of(tree, "scenario", what, problems);
  if (const Tree* scenario = tree.find("scenario")) entry.point.place = scenario->place;
  if (const Tree* changes = map_of(tree, "set", "{traffic.requests: 100}", problems)) {
    for (const auto& change : changes->entries) {
      entry.point.changes.push_back(
          {{change.key, config::flow_text(change.value)}, change.value.place});
    }
  }
  if (const Tree* hash = tree.find("config_hash")) entry.config_hash = hash->text;
  if (const Tree* times = map_of(tree, "pass_s", "{gpu.attention: 0.5}", problems)) {
    for (const auto& time : times->entries) {
      entry.pass_s[time.key] = number_of(time.value, "seconds", problems);
    }
  }
  const Tree* expected = tree.find("expect");
  if (expected == nullptr || expected->entries.empty()) {
    problems.report(expected == nullptr ? tree.place : expected->place,
                    "an entry of the baseline needs 'expect' with at least one figure, e.g. "
                    "{tpot_ms.p99: {value: 4.5, tolerance: 0.1 %}}");
    return entry;
  }
  for (const auto& figure : expected->entries) {
    entry.expected.push_back(read_figure(figure, problems));
  }
  return entry;
}

void read_parts(const Tree& tree, Baseline& baseline, Problems& problems) {
  const Tree* parts = map_of(tree, "parts", "{chips/h100_sxm: {hash: 1}}", problems);
  if (parts == nullptr) return;
  for (const auto& part : parts->entries) {
    for (const auto& value : part.value.entries) {
      baseline.parts[part.key][value.key] = value.value.text;
    }
  }
}

void read_history(const Tree& tree, Baseline& baseline, Problems& problems) {
  const Tree* history = tree.find("history");
  if (history == nullptr) return;
  if (!history->is_sequence()) {
    problems.report(history->place, "'history' is a list; write e.g. [{reason: new sheet}]");
  }
  for (const Tree& item : history->items) {
    check_keys(item, "an update in the history", {"reason", "moved"}, problems);
    BaselineUpdate update{text_of(item, "reason", "an update in the history", problems), {}};
    if (const Tree* moved = item.find("moved")) {
      for (const Tree& line : moved->items) update.moved.push_back(line.text);
    }
    baseline.history.push_back(std::move(update));
  }
}

/// A double-quoted YAML text.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' || c == '\t' ? ' ' : c;
  }
  return out + '"';
}

/// {key: text, ...} on one line.
std::string flow_map(const std::map<std::string, std::string>& values) {
  std::string text;
  for (const auto& [key, value] : values) {
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", quoted(key), quoted(value));
  }
  return "{" + text + "}";
}

void add_entry_text(const BaselineEntry& entry, std::string& text) {
  text += fmt::format("  - name: {}\n    scenario: {}\n", entry.name, entry.point.scenario);
  if (!entry.point.changes.empty()) text += "    set:\n";
  for (const SweepChange& set : entry.point.changes) {
    text += fmt::format("      {}: {}\n", set.change.path, set.change.value);
  }
  text += "    expect:\n";
  for (const ExpectedFigure& figure : entry.expected) {
    text += fmt::format("      {}: {{value: {:.10g}, tolerance: {:.6g} %}}\n", figure.key,
                        figure.value, figure.tolerance * 100);
  }
  if (!entry.config_hash.empty())
    text += fmt::format("    config_hash: \"{}\"\n", entry.config_hash);
  if (!entry.pass_s.empty()) text += "    pass_s:\n";
  for (const auto& [family, seconds] : entry.pass_s) {
    text += fmt::format("      {}: {:.8g}\n", family, seconds);
  }
}

}  // namespace

Baseline read_baseline(const ConfigRoots& roots, const std::string& path_or_name) {
  Baseline baseline;
  baseline.file = config::study_path(roots, "baseline", path_or_name);
  Problems problems;
  const Tree tree = config::read_yaml(baseline.file, problems);
  problems.throw_if_any();
  check_kind(tree, "baseline", problems);
  check_keys(tree, "a baseline", {"kind", "entries", "parts", "history"}, problems);
  read_parts(tree, baseline, problems);
  read_history(tree, baseline, problems);
  const Tree* entries = tree.find("entries");
  if (entries == nullptr || !entries->is_sequence() || entries->items.empty()) {
    problems.report(tree.place, "a baseline needs 'entries', a list with at least one scenario");
  } else {
    for (const Tree& entry : entries->items) {
      baseline.entries.push_back(read_entry(entry, problems));
    }
  }
  baseline.mistakes = problems.all();
  return baseline;
}

std::string baseline_text(const Baseline& baseline) {
  std::string text =
      "# Figures that CI expects; `tandem check FILE --update --reason TEXT` rewrites them.\n"
      "# Figures and tolerances are what is checked; the rest names what moved them.\n"
      "kind: baseline\nentries:\n";
  for (const BaselineEntry& entry : baseline.entries) add_entry_text(entry, text);
  if (!baseline.parts.empty()) text += "parts:\n";
  for (const auto& [name, part] : baseline.parts) {
    text += fmt::format("  {}: {}\n", quoted(name), flow_map(part));
  }
  if (!baseline.history.empty()) text += "history:\n";
  for (const BaselineUpdate& update : baseline.history) {
    text += fmt::format("  - reason: {}\n", quoted(update.reason));
    if (!update.moved.empty()) text += "    moved:\n";
    for (const std::string& line : update.moved) text += fmt::format("      - {}\n", quoted(line));
  }
  return text;
}

}  // namespace tandem
