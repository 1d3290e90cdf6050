// Complaints about a checkpoint, kept until all of it has been looked at.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "sim/core/diagnostics.hpp"

namespace tandem {

/// Collects complaints about one checkpoint and throws them at once.
class CheckpointProblems {
 public:
  explicit CheckpointProblems(std::string path) : path_(std::move(path)) {}
  void add(std::string message) { found_.push_back({{path_, 0, 0}, std::move(message)}); }
  /// Runs a step and keeps what it throws as ConfigError.
  template <class Step>
  void attempt(Step step) {
    try {
      step();
    } catch (const ConfigError& error) {
      found_.insert(found_.end(), error.diagnostics().begin(), error.diagnostics().end());
    }
  }
  /// Throws ConfigError where there were complaints, each different one once. Beyond `most` only
  /// their number is given: a checkpoint of another network is wrong in every layer.
  void throw_if_any(std::size_t most) const;

 private:
  std::string path_;
  std::vector<Diagnostic> found_;
};

}  // namespace tandem
