#include "sim/core/diagnostics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <numeric>
#include <utility>

namespace tandem {
namespace {

std::string join(const std::vector<Diagnostic>& diagnostics) {
  std::string text;
  for (const Diagnostic& diagnostic : diagnostics) {
    if (!text.empty()) text += '\n';
    text += format_diagnostic(diagnostic);
  }
  if (diagnostics.size() > 1) text += fmt::format("\n{} errors", diagnostics.size());
  return text;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row.back();
}

constexpr std::size_t shortest_stem = 3;

/// Whether `whole` is `stem` and goes on behind it; where words must be whole ones with no letter,
/// or with a last one.
bool continues(std::string_view whole, std::string_view stem, bool in_words) {
  if (stem.size() < shortest_stem || whole.size() <= stem.size()) return false;
  const auto next = static_cast<unsigned char>(whole[stem.size()]);
  const bool ends_word = std::isalnum(next) == 0 || whole.size() == stem.size() + 1;
  return whole.starts_with(stem) && (ends_word || !in_words);
}

/// The shortest candidate that begins with `word`: "h100_sxm" of "h100".
std::string shortest_beginning(std::string_view word, const std::vector<std::string>& candidates,
                               bool in_words) {
  std::string best;
  for (const std::string& candidate : candidates) {
    if (candidate == word) return candidate;
    const bool is_shorter = best.empty() || candidate.size() < best.size();
    if (is_shorter && continues(candidate, word, in_words)) best = candidate;
  }
  return best;
}

/// The longest candidate that `word` begins with: "tensor" of "tensor_parallel".
std::string longest_stem(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > best.size() && continues(word, candidate, true)) best = candidate;
  }
  return best;
}

}  // namespace

std::string format_diagnostic(const Diagnostic& diagnostic) {
  const SourcePlace& place = diagnostic.place;
  if (place.file.empty()) return fmt::format("error: {}", diagnostic.message);
  if (place.line <= 0) return fmt::format("{}: error: {}", place.file, diagnostic.message);
  return fmt::format("{}:{}:{}: error: {}", place.file, place.line, place.column,
                     diagnostic.message);
}

ConfigError::ConfigError(std::vector<Diagnostic> diagnostics)
    : std::runtime_error(join(diagnostics)), diagnostics_(std::move(diagnostics)) {}

ConfigError::ConfigError(SourcePlace place, std::string message)
    : ConfigError(std::vector<Diagnostic>{{std::move(place), std::move(message)}}) {}

ConfigError::ConfigError(std::string message) : ConfigError(SourcePlace{}, std::move(message)) {}

void DiagnosticSink::report(SourcePlace place, std::string message) {
  diagnostics_.push_back({std::move(place), std::move(message)});
}

void DiagnosticSink::throw_if_any() {
  if (!diagnostics_.empty()) throw ConfigError(std::exchange(diagnostics_, {}));
}

std::string closest_match(std::string_view word, const std::vector<std::string>& candidates) {
  if (std::string whole = shortest_beginning(word, candidates, true); !whole.empty()) return whole;
  std::string best;
  // At most a third of the letters may differ (two in short words), and never all of them.
  std::size_t best_distance = std::min(std::max<std::size_t>(2, word.size() / 3) + 1, word.size());
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  if (best.empty()) best = shortest_beginning(word, candidates, false);
  if (best.empty()) best = longest_stem(word, candidates);
  return best;
}

}  // namespace tandem
