#include "sim/config/check_prices.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/config/library.hpp"

namespace tandem::config {
namespace {

/// Names of the scenario's own parts of a kind.
std::vector<std::string> own_names(const System* system, std::string_view kind) {
  std::vector<std::string> names;
  if (system == nullptr) return names;
  if (kind == "system") names.push_back(system->name);
  if (kind == "chip") {
    for (const auto& [name, chip] : system->chips) names.push_back(name);
  }
  return names;
}

/// Names that are one of the others misspelt. A book may price more than there is here.
void check_names(const Tree& tree, const char* key, std::string_view kind, const System* system,
                 ReadContext& context) {
  const Tree* priced = tree.find(key);
  if (priced == nullptr || context.library == nullptr) return;
  const FileKind& file_kind = *find_file_kind(kind);
  const std::vector<std::string> own = own_names(system, kind);
  for (const TreeEntry& entry : priced->entries) {
    if (std::find(own.begin(), own.end(), entry.key) != own.end()) continue;
    if (context.library->has(file_kind, entry.key, entry.key_place)) continue;
    std::vector<std::string> unpriced = context.library->names(file_kind);
    unpriced.insert(unpriced.end(), own.begin(), own.end());
    std::erase_if(unpriced, [&](const std::string& name) { return priced->find(name) != nullptr; });
    const std::string near = closest_match(entry.key, unpriced);
    // Else it is of another scenario, which shares the book: "h100_fast" is no slip of "h100".
    if (near.empty() || entry.key.starts_with(near + "_")) continue;
    context.problems.report(entry.key_place,
                            fmt::format("there is no {} '{}' to price{}", kind, entry.key,
                                        suggestion(entry.key, unpriced)));
  }
}

void check_own_names(const Tree& tree, const char* key, std::string_view kind, const System& system,
                     const std::vector<std::string>& files, ReadContext& context) {
  const Tree* priced = tree.find(key);
  if (priced == nullptr || context.library == nullptr) return;
  const FileKind& file_kind = *find_file_kind(kind);
  const std::vector<std::string> own = own_names(&system, kind);
  std::vector<std::string> known = context.library->names(file_kind);
  known.insert(known.end(), own.begin(), own.end());
  for (const TreeEntry& entry : priced->entries) {
    const SourcePlace& place = entry.key_place;
    const bool is_of_book = !is_override_place(place) &&
                            std::find(files.begin(), files.end(), place.file) == files.end();
    if (is_of_book || std::find(known.begin(), known.end(), entry.key) != known.end()) continue;
    if (context.library->has(file_kind, entry.key, place) || context.problems.has(place)) continue;
    const std::string near = suggestion(entry.key, known);
    context.problems.report(place, fmt::format("there is no {} '{}' to price{}", kind, entry.key,
                                               near.empty() ? fmt::format("; this scenario has {}",
                                                                          fmt::join(own, ", "))
                                                            : near));
  }
}

}  // namespace

void check_own_prices(const Tree& tree, const System& system,
                      const std::vector<std::string>& scenario_files, ReadContext& context) {
  check_own_names(tree, "chips", "chip", system, scenario_files, context);
  check_own_names(tree, "systems", "system", system, scenario_files, context);
}

void check_prices(const Tree& tree, const System* system, ReadContext& context) {
  check_names(tree, "chips", "chip", system, context);
  check_names(tree, "systems", "system", system, context);
  const Tree* purchase = tree.find("purchase");
  const TreeEntry* input = purchase == nullptr ? nullptr : purchase->find_entry("input");
  if (input != nullptr && purchase->find("output") == nullptr) {
    context.problems.report(input->key_place,
                            "'purchase.input' says nothing without 'purchase.output'; write what "
                            "a million generated tokens cost to buy too");
  }
}

}  // namespace tandem::config
