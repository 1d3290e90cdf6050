// Mistakes of a file that more than one check finds.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "sim/core/diagnostics.hpp"

namespace tandem::entry {

/// Each mistake once, in the order of the file.
class Mistakes {
 public:
  void add(const SourcePlace& place, const std::string& message) {
    places_.emplace(std::tuple(place.file, place.line, place.column, message),
                    Diagnostic{place, message});
  }
  void add(const std::vector<Diagnostic>& diagnostics) {
    for (const Diagnostic& diagnostic : diagnostics) add(diagnostic.place, diagnostic.message);
  }
  /// Throws ConfigError with all of them.
  void throw_if_any() const {
    if (places_.empty()) return;
    std::vector<Diagnostic> all;
    for (const auto& [key, diagnostic] : places_) all.push_back(diagnostic);
    throw ConfigError(std::move(all));
  }

 private:
  std::map<std::tuple<std::string, int, int, std::string>, Diagnostic> places_;
};

}  // namespace tandem::entry
