// A number from a configuration file together with its origin, and named sets of such numbers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/diagnostics.hpp"

namespace tandem {

/// How far a number can be trusted.
enum class Basis : std::uint8_t { Datasheet, Measured, Published, Derived, Fitted, Assumed };
[[nodiscard]] std::string_view name_of(Basis basis);

/// What a number counts. Values are held in the base unit named here.
enum class Dimension : std::uint8_t {
  Scalar,           // plain number
  Count,            // whole plain number
  Size,             // bytes
  Bandwidth,        // bytes per second
  ComputeRate,      // operations per second
  Frequency,        // hertz
  Time,             // seconds
  Power,            // watts
  Energy,           // joules
  Money,            // US dollars
  MoneyRate,        // US dollars per hour
  EnergyPrice,      // US dollars per joule
  Carbon,           // grams of CO2
  CarbonIntensity,  // grams of CO2 per joule
  Fraction,         // 0..1
  RequestRate,      // requests per second
};
/// "size", "bandwidth", ... and an example to write, "80 GB", "3.35 TB/s", ...
[[nodiscard]] std::string_view name_of(Dimension dimension);
[[nodiscard]] std::string_view example_of(Dimension dimension);

/// One resolved number: value in the base unit of its dimension, source key, basis, plausible
/// range.
struct Parameter {
  double value = 0;
  Dimension dimension = Dimension::Scalar;
  std::string source;
  Basis basis = Basis::Assumed;
  std::optional<double> low;  ///< plausible range; both or neither
  std::optional<double> high;
  SourcePlace place;
};

/// Declares one parameter of a hardware model: the loader, the unknown-key check, the reference
/// page and `tandem describe` all come from this.
struct ParameterSpec {
  std::string name;
  Dimension dimension = Dimension::Scalar;
  std::string doc;
  std::optional<double> fallback;  ///< none: the key is required
  double minimum = 0;              ///< smallest legal value
  double maximum = 1e30;
};
using ParameterSchema = std::vector<ParameterSpec>;

/// Named numbers in the order of their schema. Missing optional ones hold the fallback.
class ParameterSet {
 public:
  void set(std::string name, Parameter parameter);
  [[nodiscard]] bool has(std::string_view name) const;
  /// Throws ModelError when there is no such parameter: the schema should have required it.
  [[nodiscard]] const Parameter& at(std::string_view name) const;
  [[nodiscard]] double value(std::string_view name) const { return at(name).value; }
  [[nodiscard]] std::int64_t count(std::string_view name) const;
  [[nodiscard]] const std::map<std::string, Parameter, std::less<>>& all() const { return items_; }

 private:
  std::map<std::string, Parameter, std::less<>> items_;
};

}  // namespace tandem
