#include "sim/lower/checkpoint_problems.hpp"

#include <set>
#include <string>
#include <utility>

namespace tandem {

void CheckpointProblems::throw_if_any(std::size_t most) const {
  std::vector<Diagnostic> shown;
  std::set<std::string> messages;  // two halves of one fused tensor make the same complaint
  for (const Diagnostic& diagnostic : found_) {
    if (messages.insert(diagnostic.message).second && shown.size() < most) {
      shown.push_back(diagnostic);
    }
  }
  if (shown.empty()) return;
  if (messages.size() > most) {
    Diagnostic rest;
    rest.place.file = path_;
    rest.message = "and " + std::to_string(messages.size() - most) + " more";
    shown.push_back(std::move(rest));
  }
  throw ConfigError(shown);
}

}  // namespace tandem
