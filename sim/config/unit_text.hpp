// Numbers with units, as text: "3.35 TB/s" <-> 3.35e12 bytes per second.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/describe/parameter.hpp"

namespace tandem {

/// Outcome of reading a number: a value in the base unit of its dimension, or what is wrong.
struct ParsedNumber {
  double value = 0;
  std::string error;  ///< empty when the text is good; else words that follow the key's name
  [[nodiscard]] bool is_good() const { return error.empty(); }
};

/// Reads `text` as a number of `dimension`. Decimal prefixes are powers of ten (GB = 10^9), IEC
/// prefixes powers of two (GiB = 2^30), `b` is a bit and `B` a byte. Decimal text is rounded once.
/// Plain numbers, counts and fractions take no unit (`%` for fractions is allowed; a request rate
/// may leave its unit out); everything else needs one.
[[nodiscard]] ParsedNumber parse_number(std::string_view text, Dimension dimension);

/// The whole of `text` as a number without a unit; nothing when it is none.
[[nodiscard]] std::optional<double> plain_number(const std::string& text);

/// A number with a unit of any dimension, in base units.
struct NumberWithUnit {
  double value = 0;
  Dimension dimension = Dimension::Scalar;
};
/// The whole of `text` as one; nothing for plain numbers and for what is none.
[[nodiscard]] std::optional<NumberWithUnit> number_with_unit(const std::string& text);

/// Writes a value so that parse_number() gives back exactly the same double: the largest unit that
/// leaves at least 1, or a smaller one where the larger does not round-trip.
[[nodiscard]] std::string print_number(double value, Dimension dimension);

/// All units of a dimension, smallest first; empty for plain numbers and counts.
[[nodiscard]] std::vector<std::string> units_of(Dimension dimension);

}  // namespace tandem
