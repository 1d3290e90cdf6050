// What a check found, for people and for CI.
#include <fmt/format.h>

#include <algorithm>

#include "sim/entry/checks/baseline_check.hpp"

namespace tandem::entry {
namespace {

std::string xml_escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::size_t figures_of(const std::vector<EntryOutcome>& outcomes) {
  std::size_t count = 0;
  for (const EntryOutcome& outcome : outcomes) count += outcome.figures.size();
  return count;
}

/// Those that are refused, as one text.
std::string refusal_of(const EntryOutcome& outcome) {
  std::vector<std::string> lines;
  for (const Diagnostic& d : outcome.refusals) lines.push_back(format_diagnostic(d));
  return fmt::format("{}", fmt::join(lines, "\n"));
}

std::size_t refused_of(const std::vector<EntryOutcome>& outcomes) {
  return static_cast<std::size_t>(
      std::count_if(outcomes.begin(), outcomes.end(),
                    [](const EntryOutcome& outcome) { return !outcome.refusals.empty(); }));
}

std::size_t moved_of(const std::vector<EntryOutcome>& outcomes) {
  std::size_t count = 0;
  for (const EntryOutcome& outcome : outcomes) count += outcome.moved();
  return count;
}

}  // namespace

std::string describe(const std::string& entry, const Comparison& comparison) {
  return fmt::format("{} {} is {:.6g}, expected {:.6g} within {:.3g} % ({:+.3g} %)", entry,
                     comparison.expected.key, comparison.actual, comparison.expected.value,
                     comparison.expected.tolerance * 100, comparison.change() * 100);
}

std::string check_page(const std::vector<EntryOutcome>& outcomes) {
  std::string page;
  for (const EntryOutcome& outcome : outcomes) {
    if (!outcome.refusals.empty()) page += fmt::format("  REFUSED {}\n", outcome.name);
    for (const Comparison& figure : outcome.figures) {
      page += fmt::format("  {} {}\n", figure.holds() ? "ok   " : "MOVED",
                          describe(outcome.name, figure));
    }
    if (outcome.reasons.empty()) continue;
    page += outcome.moved() > 0 ? "        what moved:\n"
                                : "        moved without reaching a tolerance:\n";
    for (const std::string& reason : outcome.reasons) page += "          " + reason + "\n";
  }
  page += fmt::format("{} figures, {} moved", figures_of(outcomes), moved_of(outcomes));
  const std::size_t refused = refused_of(outcomes);
  return page + (refused > 0 ? fmt::format(", {} entries refused\n", refused) : "\n");
}

std::string junit_text(const std::vector<EntryOutcome>& outcomes) {
  std::string text = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"tandem check\" tests=\"{}\" "
      "failures=\"{}\">\n",
      figures_of(outcomes) + refused_of(outcomes), moved_of(outcomes) + refused_of(outcomes));
  for (const EntryOutcome& outcome : outcomes) {
    const std::string name = xml_escaped(outcome.name);
    if (!outcome.refusals.empty()) {
      text += fmt::format(
          "  <testsuite name=\"{0}\" tests=\"1\" failures=\"1\">\n    <testcase classname=\"{0}\" "
          "name=\"runs\">\n      <failure message=\"refused\">{1}</failure>\n    </testcase>\n  "
          "</testsuite>\n",
          name, xml_escaped(refusal_of(outcome)));
      continue;
    }
    text += fmt::format("  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\">\n", name,
                        outcome.figures.size(), outcome.moved());
    for (const Comparison& figure : outcome.figures) {
      text += fmt::format("    <testcase classname=\"{}\" name=\"{}\"", name,
                          xml_escaped(figure.expected.key));
      if (figure.holds()) {
        text += "/>\n";
        continue;
      }
      text += fmt::format(">\n      <failure message=\"{}\">",
                          xml_escaped(describe(outcome.name, figure)));
      for (const std::string& reason : outcome.reasons) text += xml_escaped(reason) + "\n";
      text += "</failure>\n    </testcase>\n";
    }
    text += "  </testsuite>\n";
  }
  return text + "</testsuites>\n";
}

}  // namespace tandem::entry
