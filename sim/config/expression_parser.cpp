// Texts of conditions to the nodes of an Expression.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "sim/config/expression.hpp"

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

  [[noreturn]] void fail(
      const std::string& what,
      const std::string& instead = "e.g. 'chips <= 64 and tpot_ms.p99 < 50'") const {
    throw ConfigError(target_.place_, fmt::format("the expression '{}': {}; write {}",
                                                  target_.text_, what, instead));
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
      const auto length = static_cast<std::size_t>(end - rest_.data());
      take(length + unit_length(rest_, length));
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

  /// Characters behind the number of `length` at the front that are its unit: "4 ms", "3 TB/s".
  std::size_t unit_length(std::string_view text, std::size_t length) const {
    std::size_t start = length;
    while (start < text.size() && text[start] == ' ') ++start;
    const auto is_unit = [](char c) {
      return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '/' || c == '%';
    };
    std::size_t end = start;
    while (end < text.size() && is_unit(text[end])) ++end;
    // A name behind a slash is a divisor unless it belongs to the unit.
    for (; end > start; --end) {
      if (end < text.size() && is_name_part(text[end])) continue;
      const std::string_view whole = text.substr(0, end);
      if (!std::holds_alternative<std::string>(value_of_text(std::string(whole)))) {
        refuse_other_rates(text, end);
        return end - length;
      }
    }
    return 0;
  }

  /// "120 USD/day" is meant as a unit, not as a division by a path of that name.
  void refuse_other_rates(std::string_view text, std::size_t end) const {
    if (end >= text.size() || text[end] != '/') return;
    std::size_t last = end + 1;
    while (last < text.size() && is_name_part(text[last])) ++last;
    const std::string_view word = text.substr(end + 1, last - end - 1);
    for (const char* time :
         {"sec", "second", "min", "minute", "hour", "day", "week", "month", "year"}) {
      if (word != time) continue;
      fail(fmt::format("'{}' has no unit that is known", text.substr(0, last)),
           "money per hour or year as '5 USD/h', '5 USD/year', other rates per second, as '5 "
           "req/s'");
    }
  }

  std::size_t add(std::string op, ExpressionValue value, std::string text, std::size_t left = 0,
                  std::size_t right = 0) {
    target_.nodes_.push_back({std::move(op), std::move(value), left, right, std::move(text)});
    return target_.nodes_.size() - 1;
  }

  /// An operand as a larger expression shows it.
  std::string shown(std::size_t index) const {
    const Node& node = target_.nodes_[index];
    return node.op == "value" || node.op == "name" ? node.text : fmt::format("({})", node.text);
  }
  std::size_t add_unary(const std::string& op, std::string_view sign, std::size_t operand) {
    return add(op, 0.0, fmt::format("{}{}", sign, shown(operand)), operand);
  }
  std::size_t add_binary(const std::string& op, std::size_t left, std::size_t right) {
    return add(op, 0.0, fmt::format("{} {} {}", shown(left), op, shown(right)), left, right);
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
      left = add_binary(op, left, right);
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
    return add_unary("not", "not ", negation());
  }
  std::size_t comparison() {
    const std::size_t left = sum();
    if (is_at({"=", "!"})) fail("a comparison is one of < <= > >= == !=");
    if (!is_at({"<", "<=", ">", ">=", "==", "!="})) return left;
    const std::string op(token_);
    next();
    const std::size_t right = sum();
    if (is_at({"<", "<=", ">", ">=", "==", "!="})) fail_chained(left, op, right);
    return add_binary(op, left, right);
  }
  /// At the second comparison of "1 < x < 2".
  [[noreturn]] void fail_chained(std::size_t left, const std::string& op, std::size_t middle) {
    const std::string second(token_);
    next();
    const std::size_t right = sum();
    fail("comparisons do not chain",
         fmt::format("'{} {} {} and {} {} {}'", shown(left), op, shown(middle), shown(middle),
                     second, shown(right)));
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
      return add_unary("negate", "-", factor());
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
    if (c == '\'' || c == '"') return add("value", token.substr(1, token.size() - 2), token);
    if (is_name_start(c)) {
      target_.names_.insert(token);
      return add("name", token, token);
    }
    return add("value", value_of_text(token), token);
  }

  Expression& target_;
  std::string_view rest_;
  std::string_view token_;
};

Expression::Expression(std::string text, const SourcePlace& place)
    : text_(std::move(text)), place_(place) {
  ExpressionParser(*this).parse();
}

}  // namespace tandem
