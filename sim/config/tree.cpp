#include "sim/config/tree.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "sim/config/loader.hpp"

namespace tandem::config {

const TreeEntry* Tree::find_entry(std::string_view key) const {
  for (const TreeEntry& entry : entries) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

const Tree* Tree::find(std::string_view key) const {
  const TreeEntry* entry = find_entry(key);
  return entry == nullptr ? nullptr : &entry->value;
}

Tree* Tree::find(std::string_view key) {
  return const_cast<Tree*>(std::as_const(*this).find(key));
}

Tree& Tree::child(std::string_view key, const SourcePlace& key_place) {
  if (Tree* found = find(key)) return *found;
  if (kind != Kind::Map) {
    kind = Kind::Map;
    text.clear();
    items.clear();
  }
  TreeEntry entry;
  entry.key = key;
  entry.key_place = key_place;
  entry.value.place = key_place;
  entries.push_back(std::move(entry));
  return entries.back().value;
}

void Tree::remove(std::string_view key) {
  std::erase_if(entries, [&](const TreeEntry& entry) { return entry.key == key; });
}

bool is_sourced_number(const Tree& tree) {
  return tree.is_map() && tree.find("value") != nullptr;
}

Tree make_scalar(std::string text, SourcePlace place) {
  Tree tree;
  tree.kind = Tree::Kind::Scalar;
  tree.text = std::move(text);
  tree.place = std::move(place);
  return tree;
}

void merge_into(Tree& base, const Tree& changes) {
  const bool is_deep =
      base.is_map() && changes.is_map() && !is_sourced_number(base) && !is_sourced_number(changes);
  if (!is_deep) {
    base = changes;
    return;
  }
  base.place = changes.place;
  for (const TreeEntry& entry : changes.entries) {
    const auto found = std::find_if(base.entries.begin(), base.entries.end(),
                                    [&](const TreeEntry& own) { return own.key == entry.key; });
    if (found == base.entries.end()) {
      base.entries.push_back(entry);
    } else if (entry.value.is_null()) {
      base.entries.erase(found);
    } else {
      found->key_place = entry.key_place;
      merge_into(found->value, entry.value);
    }
  }
}

bool is_override_place(const SourcePlace& place) {
  return place.line == 0 && place.file.starts_with("--set ");
}

void Problems::report(SourcePlace place, std::string message) {
  if (checks_ > 0) ++combinations_;
  diagnostics_.push_back({std::move(place), std::move(message)});
}

void Problems::report(const ConfigError& error) {
  if (checks_ > 0) combinations_ += error.diagnostics().size();
  diagnostics_.insert(diagnostics_.end(), error.diagnostics().begin(), error.diagnostics().end());
}

bool Problems::has(const SourcePlace& place) const {
  return std::ranges::any_of(diagnostics_, [&](const Diagnostic& known) {
    return std::tie(known.place.file, known.place.line, known.place.column) ==
           std::tie(place.file, place.line, place.column);
  });
}

std::vector<Diagnostic> Problems::all() const {
  std::map<std::string, std::size_t> rank;
  for (const Diagnostic& d : diagnostics_) rank.emplace(d.place.file, rank.size());
  const auto key = [&](const Diagnostic& d) {
    return std::tuple(rank.at(d.place.file), d.place.line, d.place.column);
  };
  std::vector<Diagnostic> sorted;
  for (const Diagnostic& d : diagnostics_) {
    const bool is_known = std::any_of(sorted.begin(), sorted.end(), [&](const Diagnostic& other) {
      return key(other) == key(d) && other.message == d.message;
    });
    if (!is_known) sorted.push_back(d);
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](const Diagnostic& a, const Diagnostic& b) { return key(a) < key(b); });
  return sorted;
}

void Problems::throw_if_any() const {
  if (diagnostics_.empty()) return;
  std::vector<Diagnostic> sorted = all();
  if (combinations_ == diagnostics_.size()) throw RefusedError(std::move(sorted));
  throw ConfigError(std::move(sorted));
}

std::string suggestion(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string best = closest_match(word, candidates);
  return best.empty() ? std::string{} : fmt::format("; did you mean '{}'?", best);
}

}  // namespace tandem::config
