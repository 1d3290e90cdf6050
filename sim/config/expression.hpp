// Conditions over named values, as sweeps and plans write them: "chips <= 64 and tpot_ms.p99 < 50".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/describe/parameter.hpp"

namespace tandem {

/// A number with a unit. That of a figure ("tpot_ms.p99") stands for a plain number too: numbers
/// without a unit beside it are in its unit.
struct UnitNumber {
  double number = 0;  ///< times `unit` in the base unit of the dimension
  double unit = 1;
  Dimension dimension = Dimension::Scalar;
  bool is_figure = false;
};

/// A number, a word or a quantity. Conditions are 1 or 0. Words that are numbers with a unit count
/// as quantities beside quantities.
using ExpressionValue = std::variant<double, std::string, UnitNumber>;

/// "4 ms" as a quantity, "8" and "50 %" as numbers, other texts as words.
[[nodiscard]] ExpressionValue value_of_text(const std::string& text);

/// What a name stands for; nothing where it has no value.
using ValueOf = std::function<std::optional<ExpressionValue>(const std::string&)>;

/// A parsed condition.
///
/// Grammar, weakest first: `or`; `and`; `not`; one of < <= > >= == !=; + -; * /; unary -. Operands
/// are numbers, numbers with a unit (4 ms), 'words' in quotes, dotted names and (...).
class Expression {
 public:
  /// Throws ConfigError at `place` for what is no expression.
  Expression(std::string text, const SourcePlace& place);
  /// The value; nothing where a name has none, words meet arithmetic, a divisor is 0, or a quantity
  /// meets a number or one of another dimension that it cannot be compared with.
  [[nodiscard]] std::optional<ExpressionValue> evaluate(const ValueOf& value_of) const;
  /// Whether it holds; nothing where it has no value. A number other than 0 holds.
  [[nodiscard]] std::optional<bool> holds(const ValueOf& value_of) const;
  /// Two parts that no numbers make comparable, a time and a power: which they are and what to
  /// write instead, as words. `value_of` gives names any value of their kind; nothing is said of
  /// names without one, nor of words beside anything but figures: a path may be a number or a word.
  [[nodiscard]] std::optional<std::string> mismatch(const ValueOf& value_of) const;
  [[nodiscard]] const std::set<std::string>& names() const { return names_; }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const SourcePlace& place() const { return place_; }

 private:
  friend class ExpressionParser;
  /// In order of need: operands stand before what uses them.
  struct Node {
    std::string op;  ///< an operator, "negate", "value" or "name"
    ExpressionValue value;
    std::size_t left = 0, right = 0;
    std::string text;
  };
  [[nodiscard]] std::optional<ExpressionValue> value_at(std::size_t index,
                                                        const ValueOf& value_of) const;
  std::string text_;
  SourcePlace place_;
  std::vector<Node> nodes_;
  std::set<std::string> names_;
};

}  // namespace tandem
