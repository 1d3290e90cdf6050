#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "sim/config/studies.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/commands.hpp"

namespace tandem::entry {
namespace {

using Json = nlohmann::ordered_json;

struct CheckArguments {
  std::string baseline;
  std::string junit;
  std::string reason;
  std::string store = "none";
  bool update = false;
};

/// One figure compared.
struct Comparison {
  std::string entry;
  ExpectedFigure expected;
  double actual = 0;
  [[nodiscard]] double change() const {
    if (expected.value == 0) return actual == 0 ? 0 : INFINITY;
    return actual / expected.value - 1;
  }
  [[nodiscard]] bool holds() const { return std::abs(change()) <= expected.tolerance; }
};

/// The number at a dotted path of a result's summary.
double figure_of(const Json& result, const ExpectedFigure& figure) {
  const Json* at = &result["summary"];
  std::string rest = figure.key;
  while (!rest.empty()) {
    const std::size_t dot = rest.find('.');
    const std::string key = rest.substr(0, dot);
    rest = dot == std::string::npos ? "" : rest.substr(dot + 1);
    if (!at->is_object() || !at->contains(key)) {
      throw ConfigError(figure.place, fmt::format("the summary has no figure '{}'", figure.key));
    }
    at = &(*at)[key];
  }
  if (!at->is_number()) {
    throw ConfigError(figure.place, fmt::format("figure '{}' is not a number here", figure.key));
  }
  return at->get<double>();
}

std::vector<Comparison> compare(const Baseline& baseline, const CheckArguments& arguments,
                                const Context& context) {
  std::vector<Comparison> comparisons;
  for (const BaselineEntry& entry : baseline.entries) {
    RunRequest request;
    request.scenario = entry.scenario;
    request.overrides = entry.overrides;
    request.store = arguments.store;
    const Json result = Json::parse(run_scenario(context, request).json);
    for (const ExpectedFigure& figure : entry.expected) {
      comparisons.push_back({entry.name, figure, figure_of(result, figure)});
    }
  }
  return comparisons;
}

std::string xml_escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string describe(const Comparison& comparison) {
  return fmt::format("{} {} is {:.6g}, expected {:.6g} within {:.3g} % ({:+.3g} %)",
                     comparison.entry, comparison.expected.key, comparison.actual,
                     comparison.expected.value, comparison.expected.tolerance * 100,
                     comparison.change() * 100);
}

std::string junit_text(const std::vector<Comparison>& comparisons, std::size_t failed) {
  std::string text = fmt::format("<testsuite name=\"tandem check\" tests=\"{}\" failures=\"{}\">\n",
                                 comparisons.size(), failed);
  for (const Comparison& comparison : comparisons) {
    text += fmt::format("  <testcase classname=\"{}\" name=\"{}\">", xml_escaped(comparison.entry),
                        xml_escaped(comparison.expected.key));
    if (!comparison.holds()) {
      text += fmt::format("<failure message=\"{}\"/>", xml_escaped(describe(comparison)));
    }
    text += "</testcase>\n";
  }
  return text + "</testsuite>\n";
}

void update(Baseline baseline, const std::vector<Comparison>& comparisons,
            const std::string& reason) {
  std::size_t next = 0;
  for (BaselineEntry& entry : baseline.entries) {
    for (ExpectedFigure& figure : entry.expected) figure.value = comparisons[next++].actual;
  }
  write_output(baseline.file, [&](std::ostream& out) { out << baseline_text(baseline); });
  std::cout << "updated; put this into CHANGELOG.md under Numbers:\n";
  for (const Comparison& comparison : comparisons) {
    constexpr double noise = 1e-6;
    if (std::abs(comparison.change()) < noise) continue;
    std::cout << fmt::format("- {} {}: {:.6g} -> {:.6g} ({})\n", comparison.entry,
                             comparison.expected.key, comparison.expected.value, comparison.actual,
                             reason);
  }
}

int run_check(const CheckArguments& arguments, const Context& context) {
  if (arguments.update && arguments.reason.empty()) {
    throw ConfigError("--update needs --reason TEXT: why did the figures move?");
  }
  const Baseline baseline = load_baseline(context.loader.roots(), arguments.baseline);
  const std::vector<Comparison> comparisons = compare(baseline, arguments, context);
  std::size_t failed = 0;
  for (const Comparison& comparison : comparisons) {
    failed += comparison.holds() ? 0 : 1;
    std::cout << (comparison.holds() ? "  ok    " : "  MOVED ") << describe(comparison) << '\n';
  }
  if (!arguments.junit.empty()) {
    write_output(arguments.junit,
                 [&](std::ostream& out) { out << junit_text(comparisons, failed); });
  }
  if (arguments.update) {
    update(baseline, comparisons, arguments.reason);
    return good;
  }
  std::cout << fmt::format("{} figures, {} moved\n", comparisons.size(), failed);
  return failed == 0 ? good : check_failed;
}

}  // namespace

void add_check(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<CheckArguments>();
  CLI::App* command = app.add_subcommand(
      "check", "Compares scenarios with the figures of a baseline; exit 1 when one has moved");
  command->add_option("baseline", arguments->baseline, "Baseline file or name")->required();
  command->add_option("--junit", arguments->junit, "Write the outcome as JUnit XML");
  command->add_option("--store", arguments->store, "Folder of reusable step results, or none");
  command->add_flag("--update", arguments->update, "Write the figures found into the file");
  command->add_option("--reason", arguments->reason, "Why the figures moved; needed to update");
  command->callback(
      [arguments, &session] { session.exit_code = run_check(*arguments, session.context); });
}

}  // namespace tandem::entry
