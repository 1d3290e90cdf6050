#include "sim/describe/parameter.hpp"

#include <fmt/format.h>

#include <cmath>

namespace tandem {

std::string_view name_of(Basis basis) {
  switch (basis) {
    case Basis::Datasheet:
      return "datasheet";
    case Basis::Measured:
      return "measured";
    case Basis::Published:
      return "published";
    case Basis::Derived:
      return "derived";
    case Basis::Fitted:
      return "fitted";
    case Basis::Assumed:
      return "assumed";
  }
  return "assumed";
}

std::string_view name_of(Dimension dimension) {
  switch (dimension) {
    case Dimension::Scalar:
      return "plain number";
    case Dimension::Count:
      return "count";
    case Dimension::Size:
      return "size";
    case Dimension::Bandwidth:
      return "bandwidth";
    case Dimension::ComputeRate:
      return "compute rate";
    case Dimension::Frequency:
      return "frequency";
    case Dimension::Time:
      return "time";
    case Dimension::Power:
      return "power";
    case Dimension::Energy:
      return "energy";
    case Dimension::Money:
      return "money";
    case Dimension::MoneyRate:
      return "money per time";
    case Dimension::EnergyPrice:
      return "money per energy";
    case Dimension::Carbon:
      return "mass of CO2";
    case Dimension::CarbonIntensity:
      return "mass of CO2 per energy";
    case Dimension::Fraction:
      return "fraction";
    case Dimension::RequestRate:
      return "request rate";
  }
  return "plain number";
}

std::string_view example_of(Dimension dimension) {
  switch (dimension) {
    case Dimension::Scalar:
      return "1.5";
    case Dimension::Count:
      return "132";
    case Dimension::Size:
      return "80 GB";
    case Dimension::Bandwidth:
      return "3.35 TB/s";
    case Dimension::ComputeRate:
      return "989 TFLOPS";
    case Dimension::Frequency:
      return "1.83 GHz";
    case Dimension::Time:
      return "350 ns";
    case Dimension::Power:
      return "700 W";
    case Dimension::Energy:
      return "3.9 pJ";
    case Dimension::Money:
      return "30000 USD";
    case Dimension::MoneyRate:
      return "2.5 USD/h";
    case Dimension::EnergyPrice:
      return "0.08 USD/kWh";
    case Dimension::Carbon:
      return "500 g";
    case Dimension::CarbonIntensity:
      return "367 g/kWh";
    case Dimension::Fraction:
      return "0.92";
    case Dimension::RequestRate:
      return "4 req/s";
  }
  return "1.5";
}

void ParameterSet::set(std::string name, Parameter parameter) {
  items_.insert_or_assign(std::move(name), std::move(parameter));
}

bool ParameterSet::has(std::string_view name) const {
  return items_.find(name) != items_.end();
}

const Parameter& ParameterSet::at(std::string_view name) const {
  const auto found = items_.find(name);
  if (found == items_.end()) throw ModelError(fmt::format("no parameter '{}'", name));
  return found->second;
}

std::int64_t ParameterSet::count(std::string_view name) const {
  return static_cast<std::int64_t>(std::llround(value(name)));
}

}  // namespace tandem
