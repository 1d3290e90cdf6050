#include "sim/config/expression.hpp"

#include <fmt/format.h>

#include <utility>

#include "sim/config/unit_text.hpp"

namespace tandem {
namespace {

double as_number(bool holds) {
  return holds ? 1.0 : 0.0;
}

template <class T>
std::optional<bool> compared(const std::string& op, const T& a, const T& b) {
  if (op == "==") return a == b;
  if (op == "!=") return a != b;
  if (op == "<") return a < b;
  if (op == "<=") return a <= b;
  if (op == ">") return a > b;
  if (op == ">=") return a >= b;
  return std::nullopt;
}

std::optional<ExpressionValue> of_numbers(const std::string& op, double a, double b) {
  if (const auto answer = compared(op, a, b)) return as_number(*answer);
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "/" && b != 0) return a / b;
  return std::nullopt;
}

/// A number beside a quantity: in the unit of a figure; of another quantity only a factor.
std::optional<ExpressionValue> scaled(const std::string& op, UnitNumber quantity, double other,
                                      bool is_left) {
  const auto number =
      is_left ? of_numbers(op, quantity.number, other) : of_numbers(op, other, quantity.number);
  const bool is_factor = op == "*" || (op == "/" && is_left);
  if (!number || (!quantity.is_figure && !is_factor)) return std::nullopt;
  if (!is_factor && op != "+" && op != "-") return number;
  quantity.number = std::get<double>(*number);
  return quantity;
}

std::optional<ExpressionValue> of_quantities(const std::string& op, const UnitNumber& a,
                                             const UnitNumber& b) {
  const bool are_alike = a.dimension == b.dimension;
  const bool are_figures = a.is_figure && b.is_figure;
  if (!are_alike && op != "*" && op != "/") return std::nullopt;
  if (!are_alike || op == "*" || (are_figures && a.unit == b.unit && op != "+" && op != "-")) {
    return are_figures ? of_numbers(op, a.number, b.number) : std::nullopt;
  }
  if (op != "+" && op != "-") return of_numbers(op, a.number * a.unit, b.number * b.unit);
  const UnitNumber& scale = a.is_figure || !b.is_figure ? a : b;
  UnitNumber sum = scale;
  sum.number = std::get<double>(
      *of_numbers(op, a.number * (a.unit / scale.unit), b.number * (b.unit / scale.unit)));
  return sum;
}

std::optional<ExpressionValue> combined(const std::string& op, ExpressionValue left,
                                        ExpressionValue right) {
  auto* left_word = std::get_if<std::string>(&left);
  auto* right_word = std::get_if<std::string>(&right);
  if (left_word != nullptr && right_word != nullptr) {
    const auto answer = compared(op, *left_word, *right_word);
    return answer ? std::optional<ExpressionValue>(as_number(*answer)) : std::nullopt;
  }
  if (left_word != nullptr && std::holds_alternative<UnitNumber>(right)) {
    left = value_of_text(*left_word);
  }
  if (right_word != nullptr && std::holds_alternative<UnitNumber>(left)) {
    right = value_of_text(*right_word);
  }
  if (std::holds_alternative<std::string>(left) || std::holds_alternative<std::string>(right)) {
    return std::nullopt;
  }
  const auto* a = std::get_if<UnitNumber>(&left);
  const auto* b = std::get_if<UnitNumber>(&right);
  if (a != nullptr && b != nullptr) return of_quantities(op, *a, *b);
  if (a != nullptr) return scaled(op, *a, std::get<double>(right), true);
  if (b != nullptr) return scaled(op, *b, std::get<double>(left), false);
  return of_numbers(op, std::get<double>(left), std::get<double>(right));
}

bool is_word(const ExpressionValue& value) {
  return std::holds_alternative<std::string>(value);
}

bool is_figure(const ExpressionValue& value) {
  const auto* quantity = std::get_if<UnitNumber>(&value);
  return quantity != nullptr && quantity->is_figure;
}

/// "a time", "a plain number", "a word".
std::string kind_of(const ExpressionValue& value) {
  if (is_word(value)) return "a word";
  const auto* quantity = std::get_if<UnitNumber>(&value);
  const Dimension dimension = quantity != nullptr ? quantity->dimension : Dimension::Scalar;
  return fmt::format("{} {}", dimension == Dimension::Energy ? "an" : "a", name_of(dimension));
}

std::string in_quotes(const std::string& text) {
  return text.front() == '\'' || text.front() == '"' ? text : fmt::format("'{}'", text);
}

/// What may stand beside a value: one like it.
std::string like(const ExpressionValue& value) {
  if (const auto* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  const auto* quantity = std::get_if<UnitNumber>(&value);
  return quantity == nullptr ? "'word'"
                             : print_number(quantity->number * quantity->unit, quantity->dimension);
}

/// Of a number or a quantity: nothing of a word.
std::optional<double> number_of(const ExpressionValue& value) {
  if (const auto* number = std::get_if<double>(&value)) return *number;
  if (const auto* quantity = std::get_if<UnitNumber>(&value)) return quantity->number;
  return std::nullopt;
}

}  // namespace

ExpressionValue value_of_text(const std::string& text) {
  if (const auto number = plain_number(text)) return *number;
  const auto found = number_with_unit(text);
  if (!found) return text;
  if (found->dimension == Dimension::Fraction) return found->value;
  return UnitNumber{found->value, 1, found->dimension, false};
}

// The last node is the whole expression.
std::optional<ExpressionValue> Expression::evaluate(const ValueOf& value_of) const {
  return value_at(nodes_.size() - 1, value_of);
}

std::optional<ExpressionValue> Expression::value_at(std::size_t index,
                                                    const ValueOf& value_of) const {
  const Node& node = nodes_[index];
  if (node.op == "value") return node.value;
  if (node.op == "name") return value_of(std::get<std::string>(node.value));
  const std::optional<ExpressionValue> left = value_at(node.left, value_of);
  if (!left) return std::nullopt;
  if (node.op == "negate" && std::holds_alternative<UnitNumber>(*left)) {
    return combined("*", *left, -1.0);
  }
  if (node.op == "not" || node.op == "negate") {
    const std::optional<double> number = number_of(*left);
    if (!number) return std::nullopt;
    return node.op == "not" ? as_number(*number == 0) : -*number;
  }
  const std::optional<ExpressionValue> right = value_at(node.right, value_of);
  if (!right) return std::nullopt;
  if (node.op != "and" && node.op != "or") return combined(node.op, *left, *right);
  const std::optional<double> a = number_of(*left);
  const std::optional<double> b = number_of(*right);
  if (!a || !b) return std::nullopt;
  return as_number(node.op == "and" ? *a != 0 && *b != 0 : *a != 0 || *b != 0);
}

std::optional<std::string> Expression::mismatch(const ValueOf& value_of) const {
  for (const Node& node : nodes_) {
    if (node.op == "value" || node.op == "name" || node.op == "not" || node.op == "negate" ||
        node.op == "and" || node.op == "or") {
      continue;
    }
    const std::optional<ExpressionValue> left = value_at(node.left, value_of);
    const std::optional<ExpressionValue> right = value_at(node.right, value_of);
    if (!left || !right || combined(node.op, *left, *right)) continue;
    if (node.op == "/" && number_of(*right) == 0.0) continue;
    const Node& one = nodes_[node.left];
    const Node& other = nodes_[node.right];
    if ((is_word(*left) && !is_figure(*right)) || (is_word(*right) && !is_figure(*left))) continue;
    const std::string kinds = fmt::format("{} is {} and {} is {}", in_quotes(one.text),
                                          kind_of(*left), in_quotes(other.text), kind_of(*right));
    if (node.op == "*" || node.op == "/") {
      return fmt::format("{}; '{}' has one quantity at most, on its left", kinds, node.op);
    }
    const bool keeps_left = one.op == "name" || other.op != "name";
    return fmt::format("{}; write e.g. '{} {} {}'", kinds, keeps_left ? one.text : like(*right),
                       node.op, keeps_left ? like(*left) : other.text);
  }
  return std::nullopt;
}

std::optional<bool> Expression::holds(const ValueOf& value_of) const {
  const std::optional<ExpressionValue> value = evaluate(value_of);
  const std::optional<double> number = value ? number_of(*value) : std::nullopt;
  if (!number) return std::nullopt;
  return *number != 0;
}

}  // namespace tandem
