#include "sim/config/expression.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <initializer_list>
#include <string_view>
#include <utility>

namespace tandem {

/// One pass over the text, a function per level of the grammar.
class ExpressionParser {
 public:
  explicit ExpressionParser(Expression& target) : target_(target), rest_(target.text_) {}

  void parse() {
    next();
    disjunction();
    if (!token_.empty()) fail(fmt::format("'{}' is one too many", token_));
  }

 private:
  using Node = Expression::Node;

  [[noreturn]] void fail(const std::string& what) const {
    throw ConfigError(
        target_.place_,
        fmt::format("the expression '{}': {}; write e.g. 'chips <= 64 and tpot_ms.p99 < 50'",
                    target_.text_, what));
  }

  static bool is_name_start(char c) {
    return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_';
  }
  static bool is_name_part(char c) {
    return is_name_start(c) || std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '.';
  }

  void take(std::size_t length) {
    token_ = rest_.substr(0, length);
    rest_.remove_prefix(length);
  }

  void next() {
    while (!rest_.empty() && rest_.front() == ' ') rest_.remove_prefix(1);
    if (rest_.empty()) {
      token_ = {};
      return;
    }
    const char c = rest_.front();
    if (is_name_start(c)) {
      std::size_t length = 1;
      while (length < rest_.size() && is_name_part(rest_[length])) ++length;
      take(length);
    } else if (std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '.') {
      double ignored = 0;
      const auto [end, failure] =
          std::from_chars(rest_.data(), rest_.data() + rest_.size(), ignored);
      if (failure != std::errc{}) fail(fmt::format("'{}' is no number", rest_));
      take(static_cast<std::size_t>(end - rest_.data()));
    } else if (c == '\'' || c == '"') {
      const std::size_t end = rest_.find(c, 1);
      if (end == std::string_view::npos) fail("a quote is not closed");
      take(end + 1);
    } else if (std::string_view("<>=!").find(c) != std::string_view::npos) {
      take(rest_.size() > 1 && rest_[1] == '=' ? 2 : 1);
    } else if (std::string_view("+-*/()").find(c) != std::string_view::npos) {
      take(1);
    } else {
      fail(fmt::format("'{}' means nothing here", c));
    }
  }

  std::size_t add(std::string op, ExpressionValue value, std::size_t left = 0,
                  std::size_t right = 0) {
    target_.nodes_.push_back({std::move(op), std::move(value), left, right});
    return target_.nodes_.size() - 1;
  }

  bool is_at(std::initializer_list<std::string_view> tokens) const {
    return std::find(tokens.begin(), tokens.end(), token_) != tokens.end();
  }

  template <class Operand>
  std::size_t chain(std::initializer_list<std::string_view> operators, Operand operand) {
    std::size_t left = operand();
    while (is_at(operators)) {
      const std::string op(token_);
      next();
      const std::size_t right = operand();
      left = add(op, 0.0, left, right);
    }
    return left;
  }

  std::size_t disjunction() {
    return chain({"or"}, [this] { return conjunction(); });
  }
  std::size_t conjunction() {
    return chain({"and"}, [this] { return negation(); });
  }
  std::size_t negation() {
    if (!is_at({"not"})) return comparison();
    next();
    return add("not", 0.0, negation());
  }
  std::size_t comparison() {
    const std::size_t left = sum();
    if (is_at({"=", "!"})) fail("a comparison is one of < <= > >= == !=");
    if (!is_at({"<", "<=", ">", ">=", "==", "!="})) return left;
    const std::string op(token_);
    next();
    const std::size_t whole = add(op, 0.0, left, sum());
    if (is_at({"<", "<=", ">", ">=", "==", "!="}))
      fail("comparisons do not chain; join them by 'and'");
    return whole;
  }
  std::size_t sum() {
    return chain({"+", "-"}, [this] { return product(); });
  }
  std::size_t product() {
    return chain({"*", "/"}, [this] { return factor(); });
  }
  std::size_t factor() {
    if (token_.empty()) fail("something is missing at its end");
    if (is_at({"-"})) {
      next();
      return add("negate", 0.0, factor());
    }
    if (is_at({"("})) {
      next();
      const std::size_t inner = disjunction();
      if (!is_at({")"})) fail("a bracket is not closed");
      next();
      return inner;
    }
    return operand();
  }
  std::size_t operand() {
    const std::string token(token_);
    const char c = token.front();
    if (is_at({"and", "or", "not"}) ||
        std::string_view("<>=!+*/)").find(c) != std::string_view::npos) {
      fail(fmt::format("a value is missing before '{}'", token));
    }
    next();
    if (c == '\'' || c == '"') return add("value", token.substr(1, token.size() - 2));
    if (is_name_start(c)) {
      target_.names_.insert(token);
      return add("name", token);
    }
    double number = 0;
    std::from_chars(token.data(), token.data() + token.size(), number);
    return add("value", number);
  }

  Expression& target_;
  std::string_view rest_;
  std::string_view token_;
};

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

std::optional<ExpressionValue> combined(const std::string& op, const ExpressionValue& left,
                                        const ExpressionValue& right) {
  if (left.index() != right.index()) return std::nullopt;
  if (const auto* word = std::get_if<std::string>(&left)) {
    const auto answer = compared(op, *word, std::get<std::string>(right));
    return answer ? std::optional<ExpressionValue>(as_number(*answer)) : std::nullopt;
  }
  const double a = std::get<double>(left);
  const double b = std::get<double>(right);
  if (const auto answer = compared(op, a, b)) return as_number(*answer);
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "/" && b != 0) return a / b;
  return std::nullopt;
}

}  // namespace

Expression::Expression(std::string text, const SourcePlace& place)
    : text_(std::move(text)), place_(place) {
  ExpressionParser(*this).parse();
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
  if (node.op == "not" || node.op == "negate") {
    const auto* number = std::get_if<double>(&*left);
    if (number == nullptr) return std::nullopt;
    return node.op == "not" ? as_number(*number == 0) : -*number;
  }
  const std::optional<ExpressionValue> right = value_at(node.right, value_of);
  if (!right) return std::nullopt;
  if (node.op != "and" && node.op != "or") return combined(node.op, *left, *right);
  const auto* a = std::get_if<double>(&*left);
  const auto* b = std::get_if<double>(&*right);
  if (a == nullptr || b == nullptr) return std::nullopt;
  return as_number(node.op == "and" ? *a != 0 && *b != 0 : *a != 0 || *b != 0);
}

std::optional<bool> Expression::holds(const ValueOf& value_of) const {
  const std::optional<ExpressionValue> value = evaluate(value_of);
  const auto* number = value ? std::get_if<double>(&*value) : nullptr;
  if (number == nullptr) return std::nullopt;
  return *number != 0;
}

}  // namespace tandem
