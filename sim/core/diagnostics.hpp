// Errors as values: what is wrong with the user's input, where, and what to write instead.
// The library collects diagnostics and throws them once; only the entry room prints or exits.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tandem {

/// A place in a file the user wrote. Line and column count from 1; 0 means "unknown".
struct SourcePlace {
  std::string file;
  int line = 0;
  int column = 0;
};

/// One complaint: a place and a sentence that says what is wrong and what to write instead.
struct Diagnostic {
  SourcePlace place;
  std::string message;
};

/// Renders `file:line:column: error: message`, leaving out the parts that are unknown.
[[nodiscard]] std::string format_diagnostic(const Diagnostic& diagnostic);

/// The user's input is wrong. Carries every complaint found, not only the first.
class ConfigError : public std::runtime_error {
 public:
  explicit ConfigError(std::vector<Diagnostic> diagnostics);
  ConfigError(SourcePlace place, std::string message);
  /// For input that has no file, such as the command line.
  explicit ConfigError(std::string message);
  [[nodiscard]] const std::vector<Diagnostic>& diagnostics() const { return diagnostics_; }

 private:
  std::vector<Diagnostic> diagnostics_;
};

/// The model was asked for something it does not support. The message names the component.
class ModelError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Collects complaints and throws them all at once.
class DiagnosticSink {
 public:
  void report(SourcePlace place, std::string message);
  [[nodiscard]] bool empty() const { return diagnostics_.empty(); }
  [[nodiscard]] std::size_t size() const { return diagnostics_.size(); }
  /// Throws ConfigError when anything was reported.
  void throw_if_any();

 private:
  std::vector<Diagnostic> diagnostics_;
};

/// The candidate nearest to `word` in edit distance, or empty when none is near enough to suggest.
[[nodiscard]] std::string closest_match(std::string_view word,
                                        const std::vector<std::string>& candidates);

}  // namespace tandem
