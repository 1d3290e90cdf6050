#include "sim/config/sweep_axes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <numeric>
#include <optional>

#include "sim/config/unit_text.hpp"
#include "sim/core/random.hpp"

namespace tandem::config {
namespace {

constexpr std::size_t most_values = 10000;
constexpr std::size_t most_points = 1000000;

/// "3.35 TB/s" as 3.35 and "TB/s".
struct Quantity {
  double number = 0;
  std::string unit;
};

std::optional<Quantity> quantity_of(const std::string& text) {
  Quantity quantity;
  const char* last = text.data() + text.size();
  const auto [end, failure] = std::from_chars(text.data(), last, quantity.number);
  if (failure != std::errc{}) return std::nullopt;
  quantity.unit = std::string(end, last);
  quantity.unit.erase(0, quantity.unit.find_first_not_of(' ') == std::string::npos
                             ? quantity.unit.size()
                             : quantity.unit.find_first_not_of(' '));
  return quantity;
}

/// From a low to a high value, in a unit, evenly or by equal factors.
struct Span {
  double low = 0, high = 0;
  std::string unit;
  bool is_log = false;
  bool is_whole = false;
  /// The value at a share of the way.
  [[nodiscard]] std::string at(double share) const {
    double value = is_log ? low * std::pow(high / low, share) : low + (high - low) * share;
    if (share >= 1) value = high;
    return text(value);
  }
  [[nodiscard]] std::string text(double value) const {
    const double rounded = is_whole ? std::round(value) : value;
    return fmt::format("{:.12g}{}{}", rounded, unit.empty() ? "" : " ", unit);
  }
};

Section section_of_span(const Section& whole, bool has_points) {
  Section section = whole;
  std::erase_if(section.keys, [&](const KeySpec& key) {
    return !has_points && (key.name == "points" || key.name == "step");
  });
  return section;
}

std::optional<Span> read_span(const MapReader& reader, const std::string& path) {
  const auto low = quantity_of(reader.text("from"));
  const auto high = quantity_of(reader.text("to"));
  if (!reader.has_all({"from", "to"})) return std::nullopt;
  for (const char* key : {"from", "to"}) {
    if (quantity_of(reader.text(key))) continue;
    reader.report(key, fmt::format("'{}' of '{}' is '{}'; write a number, with its unit if it has "
                                   "one",
                                   key, path, reader.text(key)));
  }
  if (!low || !high) return std::nullopt;
  Span span{low->number, high->number, low->unit, reader.choice_word("scale") == "log",
            reader.flag("whole")};
  if (low->unit != high->unit) {
    reader.report("to", fmt::format("'{}' goes from '{}' to '{}'; write both in the same unit",
                                    path, low->unit, high->unit));
    return std::nullopt;
  }
  if (high->number < low->number || (span.is_log && low->number <= 0)) {
    reader.report("to", fmt::format("the range of '{}' needs to >= from{}", path,
                                    span.is_log ? " and, on a log scale, from > 0" : ""));
    return std::nullopt;
  }
  return span;
}

std::vector<std::string> range_texts(const Tree& tree, const std::string& path,
                                     ReadContext& context) {
  const MapReader reader(tree, range_section(), fmt::format("the range of '{}'", path), context);
  const std::optional<Span> span = read_span(reader, path);
  if (!span) return {};
  std::vector<std::string> texts;
  if (reader.has("points") == reader.has("step")) {
    context.problems.report(tree.place, fmt::format("the range of '{}' needs either 'step' or "
                                                    "'points'",
                                                    path));
    return {};
  }
  if (reader.has("points")) {
    const std::int64_t points = reader.count("points");
    for (std::int64_t i = 0; i < points; ++i) {
      const double share =
          points == 1 ? 0 : static_cast<double>(i) / static_cast<double>(points - 1);
      texts.push_back(span->at(share));
    }
  } else {
    const double step = quantity_of(reader.text("step")).value_or(Quantity{}).number;
    const double count = step > 0 ? std::floor((span->high - span->low) / step * (1 + 1e-12)) : -1;
    if (span->is_log || count < 0 || count >= static_cast<double>(most_values)) {
      reader.report("step",
                    fmt::format("the range of '{}' needs step > 0 for at most {} values; on "
                                "a log scale write 'points'",
                                path, most_values));
      return {};
    }
    for (int i = 0; i <= static_cast<int>(count); ++i)
      texts.push_back(span->text(span->low + i * step));
  }
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  return texts;
}

/// What one item of a list changes: a value of the path, or with a map the paths in it.
Changes item_changes(const std::string& path, const Tree& item, ReadContext& context) {
  if (item.is_map()) return read_changes(item, context);
  return {{{path, flow_text(item)}, item.place}};
}

std::vector<Changes> list_choices(const std::string& path, const Tree& list, ReadContext& context) {
  std::vector<Changes> choices;
  for (const Tree& item : list.items) choices.push_back(item_changes(path, item, context));
  return choices;
}

bool is_range(const Tree& tree) {
  return tree.is_map() && tree.find("from") != nullptr;
}

bool is_list(const Tree& tree) {
  return tree.is_sequence() && !tree.items.empty();
}

void report_values(const TreeEntry& entry, ReadContext& context) {
  context.problems.report(
      entry.key_place,
      fmt::format("'{}' needs a list of values, of bundles or a range, e.g. [1, 8, 64], [{{a.b: 1, "
                  "c.d: 2}}, {{a.b: 2, c.d: 4}}] or {{from: 1, to: 9, step: 2}}",
                  entry.key));
}

std::vector<Changes> read_axis(const TreeEntry& entry, ReadContext& context) {
  if (is_list(entry.value)) return list_choices(entry.key, entry.value, context);
  std::vector<Changes> choices;
  if (is_range(entry.value)) {
    for (std::string& text : range_texts(entry.value, entry.key, context)) {
      choices.push_back({{{entry.key, std::move(text)}, entry.value.place}});
    }
  } else {
    report_values(entry, context);
  }
  return choices;
}

/// What a sampled path becomes at a share in [0, 1).
using Draw = std::function<Changes(double)>;

Draw read_draw(const TreeEntry& entry, ReadContext& context) {
  if (is_list(entry.value)) {
    std::vector<Changes> choices = list_choices(entry.key, entry.value, context);
    return [choices](double share) {
      return choices[static_cast<std::size_t>(share * static_cast<double>(choices.size()))];
    };
  }
  if (!is_range(entry.value)) {
    report_values(entry, context);
    return {};
  }
  const MapReader reader(entry.value, section_of_span(range_section(), false),
                         fmt::format("the range of '{}'", entry.key), context);
  const std::optional<Span> span = read_span(reader, entry.key);
  if (!span) return {};
  const SourcePlace place = entry.value.place;
  return [span = *span, path = entry.key, place](double share) {
    return Changes{{{path, span.at(share)}, place}};
  };
}

/// One share per point: independent ones, or one in each of as many equal strata, in random order.
std::vector<double> shares(RandomStream stream, std::size_t points, bool in_strata) {
  std::vector<double> result;
  std::vector<std::size_t> strata(points);
  std::iota(strata.begin(), strata.end(), std::size_t{0});
  for (std::size_t i = points; in_strata && i > 1; --i) {
    const auto other =
        static_cast<std::size_t>(stream.integer(0, static_cast<std::int64_t>(i) - 1));
    std::swap(strata[i - 1], strata[other]);
  }
  for (const std::size_t stratum : strata) {
    const double inside = stream.uniform();
    result.push_back(
        in_strata ? (static_cast<double>(stratum) + inside) / static_cast<double>(points) : inside);
  }
  return result;
}

}  // namespace

std::string flow_text(const Tree& tree) {
  std::vector<std::string> parts;
  switch (tree.kind) {
    case Tree::Kind::Null:
      return "null";
    case Tree::Kind::Scalar:
      return tree.text;
    case Tree::Kind::Sequence:
      for (const Tree& item : tree.items) parts.push_back(flow_text(item));
      return fmt::format("[{}]", fmt::join(parts, ", "));
    case Tree::Kind::Map:
      for (const TreeEntry& entry : tree.entries) {
        parts.push_back(fmt::format("{}: {}", entry.key, flow_text(entry.value)));
      }
      return fmt::format("{{{}}}", fmt::join(parts, ", "));
  }
  return {};
}

Changes read_changes(const Tree& tree, ReadContext& context) {
  if (!tree.is_map() || tree.entries.empty()) {
    context.problems.report(tree.place,
                            "changes are a map of paths to values, e.g. "
                            "{traffic.concurrency: 8}");
    return {};
  }
  Changes changes;
  for (const TreeEntry& entry : tree.entries) {
    changes.push_back({{entry.key, flow_text(entry.value)}, entry.value.place});
  }
  return changes;
}

std::vector<Changes> read_grid(const Tree* vary, ReadContext& context) {
  std::vector<Changes> grid{{}};
  if (vary == nullptr) return grid;
  if (!vary->is_map() || vary->entries.empty()) {
    context.problems.report(vary->place, "'vary' needs at least one path and its values");
    return grid;
  }
  for (const TreeEntry& entry : vary->entries) {
    const std::vector<Changes> choices = read_axis(entry, context);
    if (choices.empty()) continue;  // reported; the other axes are looked at without it
    if (grid.size() * choices.size() > most_points) {
      context.problems.report(vary->place,
                              fmt::format("these are more than {} points", most_points));
      return {};
    }
    std::vector<Changes> wider;
    for (const Changes& point : grid) {
      for (const Changes& choice : choices) {
        wider.push_back(point);
        wider.back().insert(wider.back().end(), choice.begin(), choice.end());
      }
    }
    grid = std::move(wider);
  }
  return grid;
}

std::vector<Changes> read_sample(const Tree* sample, ReadContext& context) {
  if (sample == nullptr) return {{}};
  const MapReader reader(*sample, sample_section(), "the sample", context);
  const Tree* over = reader.child("over");
  if (over == nullptr) return {{}};
  if (!over->is_map() || over->entries.empty()) {
    reader.report("over", "'over' needs at least one path and its values");
    return {{}};
  }
  const auto points = static_cast<std::size_t>(reader.count("points"));
  const auto seed = static_cast<std::uint64_t>(reader.count("seed"));
  const bool in_strata = reader.choice_word("method") == "latin_hypercube";
  std::vector<Changes> result(points);
  for (const TreeEntry& entry : over->entries) {
    const Draw draw = read_draw(entry, context);
    if (!draw) continue;
    const std::vector<double> at =
        shares(RandomStream(seed, "sample of " + entry.key), points, in_strata);
    for (std::size_t i = 0; i < points; ++i) {
      const Changes changes = draw(at[i]);
      result[i].insert(result[i].end(), changes.begin(), changes.end());
    }
  }
  return result;
}

}  // namespace tandem::config
