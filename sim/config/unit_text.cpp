#include "sim/config/unit_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <optional>

namespace tandem {
namespace {

/// base value = number x 10^exponent x factor / divisor. The power of ten goes into the decimal
/// text before it is converted, so that "3.9 pJ" is the double nearest to 3.9e-12.
struct Unit {
  Dimension dimension;
  std::string_view name;
  int exponent;
  double factor;
  double divisor;
  bool is_printed;  ///< false: an accepted spelling that print_number() does not use
};

constexpr double kibi = 1024.0;
constexpr double joules_per_kilowatt_hour = 3.6e6;
constexpr double hours_per_year = 8760;

constexpr Unit units[] = {
    {Dimension::Size, "B", 0, 1, 1, true},
    {Dimension::Size, "kB", 3, 1, 1, true},
    {Dimension::Size, "KB", 3, 1, 1, false},
    {Dimension::Size, "KiB", 0, kibi, 1, false},
    {Dimension::Size, "MB", 6, 1, 1, true},
    {Dimension::Size, "MiB", 0, kibi* kibi, 1, false},
    {Dimension::Size, "GB", 9, 1, 1, true},
    {Dimension::Size, "GiB", 0, kibi* kibi* kibi, 1, false},
    {Dimension::Size, "TB", 12, 1, 1, true},
    {Dimension::Size, "TiB", 0, kibi* kibi* kibi* kibi, 1, false},
    {Dimension::Size, "PB", 15, 1, 1, true},
    {Dimension::Bandwidth, "b/s", 0, 1, 8, false},
    {Dimension::Bandwidth, "B/s", 0, 1, 1, true},
    {Dimension::Bandwidth, "kb/s", 3, 1, 8, false},
    {Dimension::Bandwidth, "kB/s", 3, 1, 1, true},
    {Dimension::Bandwidth, "KB/s", 3, 1, 1, false},
    {Dimension::Bandwidth, "KiB/s", 0, kibi, 1, false},
    {Dimension::Bandwidth, "Mb/s", 6, 1, 8, false},
    {Dimension::Bandwidth, "MB/s", 6, 1, 1, true},
    {Dimension::Bandwidth, "MiB/s", 0, kibi* kibi, 1, false},
    {Dimension::Bandwidth, "Gb/s", 9, 1, 8, false},
    {Dimension::Bandwidth, "GB/s", 9, 1, 1, true},
    {Dimension::Bandwidth, "GiB/s", 0, kibi* kibi* kibi, 1, false},
    {Dimension::Bandwidth, "Tb/s", 12, 1, 8, false},
    {Dimension::Bandwidth, "TB/s", 12, 1, 1, true},
    {Dimension::Bandwidth, "TiB/s", 0, kibi* kibi* kibi* kibi, 1, false},
    {Dimension::Bandwidth, "PB/s", 15, 1, 1, true},
    {Dimension::ComputeRate, "FLOPS", 0, 1, 1, true},
    {Dimension::ComputeRate, "OPS", 0, 1, 1, false},
    {Dimension::ComputeRate, "GFLOPS", 9, 1, 1, true},
    {Dimension::ComputeRate, "GOPS", 9, 1, 1, false},
    {Dimension::ComputeRate, "TFLOPS", 12, 1, 1, true},
    {Dimension::ComputeRate, "TOPS", 12, 1, 1, false},
    {Dimension::ComputeRate, "PFLOPS", 15, 1, 1, true},
    {Dimension::ComputeRate, "POPS", 15, 1, 1, false},
    {Dimension::ComputeRate, "EFLOPS", 18, 1, 1, true},
    {Dimension::Frequency, "Hz", 0, 1, 1, true},
    {Dimension::Frequency, "kHz", 3, 1, 1, true},
    {Dimension::Frequency, "MHz", 6, 1, 1, true},
    {Dimension::Frequency, "GHz", 9, 1, 1, true},
    {Dimension::Time, "ps", -12, 1, 1, true},
    {Dimension::Time, "ns", -9, 1, 1, true},
    {Dimension::Time, "us", -6, 1, 1, true},
    {Dimension::Time, "ms", -3, 1, 1, true},
    {Dimension::Time, "s", 0, 1, 1, true},
    {Dimension::Time, "min", 0, 60, 1, true},
    {Dimension::Time, "h", 0, 3600, 1, true},
    {Dimension::Time, "days", 0, 86400, 1, false},
    {Dimension::Time, "years", 0, hours_per_year * 3600, 1, true},
    {Dimension::Power, "mW", -3, 1, 1, true},
    {Dimension::Power, "W", 0, 1, 1, true},
    {Dimension::Power, "kW", 3, 1, 1, true},
    {Dimension::Power, "MW", 6, 1, 1, true},
    {Dimension::Energy, "fJ", -15, 1, 1, true},
    {Dimension::Energy, "pJ", -12, 1, 1, true},
    {Dimension::Energy, "nJ", -9, 1, 1, true},
    {Dimension::Energy, "uJ", -6, 1, 1, true},
    {Dimension::Energy, "mJ", -3, 1, 1, true},
    {Dimension::Energy, "J", 0, 1, 1, true},
    {Dimension::Energy, "kJ", 3, 1, 1, true},
    {Dimension::Energy, "kWh", 0, joules_per_kilowatt_hour, 1, false},
    {Dimension::Money, "USD", 0, 1, 1, true},
    {Dimension::Money, "kUSD", 3, 1, 1, false},
    {Dimension::MoneyRate, "USD/year", 0, 1, hours_per_year, false},
    {Dimension::MoneyRate, "USD/h", 0, 1, 1, true},
    {Dimension::EnergyPrice, "USD/MWh", -3, 1, joules_per_kilowatt_hour, false},
    {Dimension::EnergyPrice, "USD/kWh", 0, 1, joules_per_kilowatt_hour, true},
    {Dimension::EnergyPrice, "USD/J", 0, 1, 1, false},
    {Dimension::EnergyPrice, "USD/kW/h", 0, 1, joules_per_kilowatt_hour, false},
    {Dimension::EnergyPrice, "USD/kW/month", 0, 12, joules_per_kilowatt_hour* hours_per_year,
     false},
    {Dimension::EnergyPrice, "USD/kW/year", 0, 1, joules_per_kilowatt_hour* hours_per_year, false},
    {Dimension::Carbon, "g", 0, 1, 1, true},
    {Dimension::Carbon, "kg", 3, 1, 1, true},
    {Dimension::Carbon, "t", 6, 1, 1, true},
    {Dimension::CarbonIntensity, "g/kWh", 0, 1, joules_per_kilowatt_hour, true},
    {Dimension::CarbonIntensity, "kg/MWh", 0, 1, joules_per_kilowatt_hour, false},
    {Dimension::CarbonIntensity, "kg/kWh", 3, 1, joules_per_kilowatt_hour, false},
    {Dimension::CarbonIntensity, "g/J", 0, 1, 1, false},
    {Dimension::Fraction, "%", -2, 1, 1, false},
    {Dimension::RequestRate, "req/h", 0, 1, 3600, false},
    {Dimension::RequestRate, "req/min", 0, 1, 60, false},
    {Dimension::RequestRate, "req/s", 0, 1, 1, true},
};

bool takes_no_unit(Dimension dimension) {
  return dimension == Dimension::Scalar || dimension == Dimension::Count ||
         dimension == Dimension::Fraction || dimension == Dimension::RequestRate;
}

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

/// A decimal number split into mantissa text and power of ten.
struct Decimal {
  std::string_view mantissa;
  int exponent = 0;
};

/// Takes the number off the front of `text`; nothing when it does not start with one.
std::optional<Decimal> take_decimal(std::string_view& text) {
  std::size_t i = 0;
  if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
  std::size_t digits = 0;
  bool has_point = false;
  for (; i < text.size(); ++i) {
    if (text[i] == '.' && !has_point) {
      has_point = true;
    } else if (text[i] >= '0' && text[i] <= '9') {
      ++digits;
    } else {
      break;
    }
  }
  if (digits == 0) return std::nullopt;
  Decimal decimal{text.substr(0, i), 0};
  if (i + 1 < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    const char* first = text.data() + i + 1 + (text[i + 1] == '+' ? 1 : 0);
    const auto [end, failure] = std::from_chars(first, text.data() + text.size(), decimal.exponent);
    if (failure == std::errc{}) {
      i = static_cast<std::size_t>(end - text.data());
      decimal.exponent = std::clamp(decimal.exponent, -100000, 100000);
    }
  }
  text.remove_prefix(i);
  return decimal;
}

double to_double(const Decimal& decimal, int extra_exponent) {
  std::string_view mantissa = decimal.mantissa;
  if (mantissa.front() == '+') mantissa.remove_prefix(1);
  const std::string text = fmt::format("{}e{}", mantissa, decimal.exponent + extra_exponent);
  double value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure == std::errc::result_out_of_range) return std::numeric_limits<double>::infinity();
  return value;
}

std::string quoted_example(std::string_view number, Dimension dimension) {
  const std::string_view example = example_of(dimension);
  const std::size_t space = example.find(' ');
  if (space == std::string_view::npos || number.empty()) return fmt::format("'{}'", example);
  if (dimension == Dimension::Time) return fmt::format("'{0} ms' or '{0} s'", number);
  return fmt::format("'{}{}'", number, example.substr(space));
}

std::string unknown_unit(std::string_view text, std::string_view unit, Dimension dimension) {
  for (const Unit& candidate : units) {
    if (candidate.name == unit) {
      return fmt::format("is a {}, got '{}' which is a {}; write e.g. '{}'", name_of(dimension),
                         text, name_of(candidate.dimension), example_of(dimension));
    }
  }
  const std::vector<std::string> known = units_of(dimension);
  if (known.empty()) {
    return fmt::format("is a {} without a unit, got '{}'; write e.g. '{}'", name_of(dimension),
                       text, example_of(dimension));
  }
  return fmt::format("has the unknown unit '{}' in '{}'; units of {} are {}", unit, text,
                     name_of(dimension), fmt::join(known, ", "));
}

}  // namespace

ParsedNumber parse_number(std::string_view text, Dimension dimension) {
  text = trim(text);
  std::string_view rest = text;
  const std::optional<Decimal> decimal = take_decimal(rest);
  if (!decimal) {
    return {0, fmt::format("needs a number ({}), got '{}'; write e.g. '{}'", name_of(dimension),
                           text, example_of(dimension))};
  }
  const std::string_view number = text.substr(0, text.size() - rest.size());
  const std::string_view unit = trim(rest);
  double value = 0;
  if (unit.empty()) {
    if (!takes_no_unit(dimension)) {
      return {0, fmt::format("needs a unit of {}, got '{}'; write e.g. {}; units of {} are {}",
                             name_of(dimension), text, quoted_example(number, dimension),
                             name_of(dimension), fmt::join(units_of(dimension), ", "))};
    }
    value = to_double(*decimal, 0);
  } else {
    const auto* found = std::find_if(std::begin(units), std::end(units), [&](const Unit& u) {
      return u.dimension == dimension && u.name == unit;
    });
    if (found == std::end(units)) return {0, unknown_unit(text, unit, dimension)};
    value = to_double(*decimal, found->exponent) * found->factor / found->divisor;
  }
  if (!std::isfinite(value)) return {0, fmt::format("is out of range: '{}'", text)};
  if (dimension == Dimension::Count && value != std::floor(value)) {
    return {0, fmt::format("needs a whole number, got '{}'", text)};
  }
  return {value, {}};
}

std::optional<double> plain_number(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<NumberWithUnit> number_with_unit(const std::string& text) {
  std::string_view rest = trim(text);
  if (!take_decimal(rest)) return std::nullopt;
  const std::string_view name = trim(rest);
  const auto* unit = std::find_if(std::begin(units), std::end(units),
                                  [&](const Unit& u) { return u.name == name; });
  if (unit == std::end(units)) return std::nullopt;
  const ParsedNumber number = parse_number(text, unit->dimension);
  if (!number.is_good()) return std::nullopt;
  return NumberWithUnit{number.value, unit->dimension};
}

std::string print_number(double value, Dimension dimension) {
  if (takes_no_unit(dimension) && dimension != Dimension::RequestRate) {
    return fmt::format("{}", value);
  }
  const auto* base = std::find_if(std::begin(units), std::end(units), [&](const Unit& u) {
    return u.dimension == dimension && u.exponent == 0 && u.factor == 1 && u.divisor == 1;
  });
  if (value == 0) return fmt::format("0 {}", base->name);
  std::string best;
  std::string smallest;
  for (const Unit& unit : units) {
    if (unit.dimension != dimension || !unit.is_printed) continue;
    const double scaled = value * unit.divisor / unit.factor / std::pow(10.0, unit.exponent);
    // Twelve digits read well ("3.9 pJ"); seventeen are needed where twelve lose something.
    for (const int digits : {12, 17}) {
      const std::string text = fmt::format("{:.{}g} {}", scaled, digits, unit.name);
      if (parse_number(text, dimension).value != value) continue;
      if (smallest.empty()) smallest = text;
      if (std::abs(scaled) >= 1) best = text;
      break;
    }
  }
  if (!best.empty()) return best;
  if (!smallest.empty()) return smallest;
  return fmt::format("{} {}", value, base->name);
}

std::vector<std::string> units_of(Dimension dimension) {
  std::vector<std::string> names;
  for (const Unit& unit : units) {
    if (unit.dimension == dimension) names.emplace_back(unit.name);
  }
  return names;
}

}  // namespace tandem
