// Numbers with their origin: value, unit, bounds, source, basis, range.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sim/config/map_reader.hpp"
#include "sim/config/unit_text.hpp"

namespace tandem::config {
namespace {

constexpr std::array all_bases = {Basis::Datasheet, Basis::Measured, Basis::Published,
                                  Basis::Derived,   Basis::Fitted,   Basis::Assumed};

/// Reads the text of a number and checks its bounds; the lowest legal fraction is 0, the highest 1.
std::optional<double> read_number(const Tree& tree, const ParameterSpec& spec, Problems& problems) {
  const auto complain = [&](const std::string& words) {
    problems.report(tree.place, fmt::format("'{}' {}", spec.name, words));
    return std::nullopt;
  };
  if (!tree.is_scalar()) return complain("needs a single number");
  const ParsedNumber parsed = parse_number(tree.text, spec.dimension);
  if (!parsed.is_good()) return complain(parsed.error);
  const bool is_fraction = spec.dimension == Dimension::Fraction;
  const double maximum = is_fraction ? std::min(spec.maximum, 1.0) : spec.maximum;
  if (parsed.value < spec.minimum) {
    return complain(fmt::format("is {}; must be at least {}", tree.text,
                                print_number(spec.minimum, spec.dimension)));
  }
  if (parsed.value > maximum) {
    return complain(
        fmt::format("is {}; must be at most {}", tree.text, print_number(maximum, spec.dimension)));
  }
  return parsed.value;
}

void read_source(const Tree& tree, const ParameterSpec& spec, Parameter& parameter,
                 ReadContext& context) {
  const Tree* source = tree.find("source");
  if (source == nullptr || !source->is_scalar()) {
    context.problems.report(tree.place, fmt::format("'{}' needs a source: a key of "
                                                    "hw_configs/sources.yaml",
                                                    spec.name));
    return;
  }
  parameter.source = source->text;
  if (!context.sources.contains(source->text)) {
    context.problems.report(
        source->place,
        fmt::format("source '{}' is not in hw_configs/sources.yaml{}", source->text,
                    suggestion(source->text, {context.sources.begin(), context.sources.end()})));
  }
}

void read_basis(const Tree& tree, const ParameterSpec& spec, Parameter& parameter,
                ReadContext& context) {
  std::vector<std::string> names;
  for (const Basis basis : all_bases) names.emplace_back(name_of(basis));
  const Tree* basis = tree.find("basis");
  if (basis == nullptr || !basis->is_scalar()) {
    context.problems.report(
        tree.place, fmt::format("'{}' needs a basis: {}", spec.name, fmt::join(names, ", ")));
    return;
  }
  const auto found = std::find(names.begin(), names.end(), basis->text);
  if (found == names.end()) {
    context.problems.report(basis->place, fmt::format("basis of '{}' is one of {}; got '{}'{}",
                                                      spec.name, fmt::join(names, ", "),
                                                      basis->text, suggestion(basis->text, names)));
    return;
  }
  parameter.basis = all_bases.at(static_cast<std::size_t>(found - names.begin()));
}

void read_range(const Tree& tree, const ParameterSpec& spec, Parameter& parameter,
                ReadContext& context) {
  const Tree* range = tree.find("range");
  if (range == nullptr) return;
  if (!range->is_sequence() || range->items.size() != 2) {
    context.problems.report(range->place,
                            fmt::format("range of '{}' needs two numbers, [low, high]", spec.name));
    return;
  }
  const auto low = read_number(range->items[0], spec, context.problems);
  const auto high = read_number(range->items[1], spec, context.problems);
  if (!low || !high) return;
  if (*low > parameter.value || parameter.value > *high) {
    context.problems.report(range->place,
                            fmt::format("range of '{}' does not hold its value {}", spec.name,
                                        print_number(parameter.value, spec.dimension)));
    return;
  }
  parameter.low = low;
  parameter.high = high;
}

void set_from_command_line(Parameter& parameter) {
  parameter.source = "command-line";
  parameter.basis = Basis::Assumed;
}

std::optional<Parameter> read_sourced(const Tree& tree, const ParameterSpec& spec,
                                      bool needs_origin, ReadContext& context) {
  const std::vector<std::string> known = {"value", "source", "basis", "range", "note"};
  for (const TreeEntry& entry : tree.entries) {
    if (std::find(known.begin(), known.end(), entry.key) == known.end()) {
      context.problems.report(entry.key_place,
                              unknown_key(entry.key, fmt::format("'{}'", spec.name), known));
    }
  }
  const Tree& value = *tree.find("value");
  const auto number = read_number(value, spec, context.problems);
  Parameter parameter{number.value_or(0), spec.dimension, {}, Basis::Assumed, {}, {}, value.place};
  if (is_override_place(value.place) && !is_override_place(tree.place)) {
    set_from_command_line(parameter);
    if (!number) return std::nullopt;
    return parameter;
  }
  if (needs_origin || tree.find("source") != nullptr) read_source(tree, spec, parameter, context);
  if (needs_origin || tree.find("basis") != nullptr) read_basis(tree, spec, parameter, context);
  if (!number) return std::nullopt;
  read_range(tree, spec, parameter, context);
  return parameter;
}

}  // namespace

std::optional<Parameter> read_parameter(const Tree& tree, const ParameterSpec& spec,
                                        bool needs_origin, ReadContext& context) {
  if (is_sourced_number(tree)) return read_sourced(tree, spec, needs_origin, context);
  const auto number = read_number(tree, spec, context.problems);
  if (!number) return std::nullopt;
  Parameter parameter{*number, spec.dimension, {}, Basis::Assumed, {}, {}, tree.place};
  if (is_override_place(tree.place)) {
    set_from_command_line(parameter);
  } else if (needs_origin) {
    context.problems.report(
        tree.place,
        fmt::format("'{}' needs its source and basis; write {{value: {}, source: own, basis: "
                    "measured}}, or another key of hw_configs/sources.yaml",
                    spec.name, tree.text));
    return std::nullopt;
  }
  return parameter;
}

std::vector<double> read_numbers(const Tree& tree, const ParameterSpec& spec,
                                 const std::string& per, const std::string& example,
                                 ReadContext& context) {
  std::vector<double> numbers;
  const auto read = [&](const Tree& one) {
    const auto parameter = read_parameter(one, spec, false, context);
    if (parameter) numbers.push_back(parameter->value);
  };
  if (!tree.is_sequence()) {
    read(tree);
    return numbers;
  }
  if (tree.items.empty()) {
    context.problems.report(
        tree.place, fmt::format("'{}' is an empty list; write one number per {}, e.g. '{}: {}'",
                                spec.name, per, spec.name, example));
  }
  for (const Tree& item : tree.items) read(item);
  return numbers;
}

}  // namespace tandem::config
