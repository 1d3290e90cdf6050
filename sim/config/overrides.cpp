#include "sim/config/overrides.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "sim/config/yaml_reader.hpp"

namespace tandem::config {
namespace {

void set_place(Tree& tree, const SourcePlace& place) {
  tree.place = place;
  for (Tree& item : tree.items) set_place(item, place);
  for (TreeEntry& entry : tree.entries) {
    entry.key_place = place;
    set_place(entry.value, place);
  }
}

std::vector<std::string> path_parts(const std::string& path) {
  std::vector<std::string> parts(1);
  for (const char c : path) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

/// The item that a path's word names in a list, by its number or its key `name`; null for neither.
Tree* item_of(Tree& list, const std::string& word) {
  std::size_t index = 0;
  const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), index);
  const bool is_index = failure == std::errc{} && end == word.data() + word.size();
  if (is_index) return index < list.items.size() ? &list.items[index] : nullptr;
  for (Tree& item : list.items) {
    const Tree* name = item.find("name");
    if (name != nullptr && name->is_scalar() && name->text == word) return &item;
  }
  return nullptr;
}

}  // namespace

std::vector<ParsedOverride> parse_overrides(const std::vector<Override>& overrides,
                                            Problems& problems) {
  std::vector<ParsedOverride> parsed;
  for (const Override& override_text : overrides) {
    ParsedOverride change;
    change.place = {"--set " + override_text.path, 0, 0};
    change.path = path_parts(override_text.path);
    if (std::any_of(change.path.begin(), change.path.end(),
                    [](const std::string& part) { return part.empty(); })) {
      problems.report(change.place, "the path is dotted words, e.g. traffic.concurrency");
      continue;
    }
    if (override_text.value.find_first_not_of(' ') == std::string::npos) {
      problems.report(change.place, "has no value; 'null' removes a key");
      continue;
    }
    Problems own;
    change.value = parse_yaml(override_text.value, change.place.file, own);
    set_place(change.value, change.place);
    try {
      own.throw_if_any();
    } catch (const ConfigError& error) {
      for (const Diagnostic& d : error.diagnostics()) problems.report(change.place, d.message);
      continue;
    }
    parsed.push_back(std::move(change));
  }
  return parsed;
}

void apply_override(Tree& root, const ParsedOverride& change, std::size_t skip,
                    Problems& problems) {
  Tree* at = &root;
  for (std::size_t i = skip; i < change.path.size(); ++i) {
    const std::string& word = change.path[i];
    const bool is_last = i + 1 == change.path.size();
    if (at->is_sequence()) {
      at = item_of(*at, word);
      if (at == nullptr) {
        problems.report(
            change.place,
            fmt::format("'{}' is neither an index of the list nor the name of an entry", word));
        return;
      }
      continue;
    }
    if (at->is_scalar()) {
      problems.report(change.place, fmt::format("'{}' has no keys, so no '{}'",
                                                i == 0 ? "the file" : change.path[i - 1], word));
      return;
    }
    if (is_last && change.value.is_null()) {
      at->remove(word);
      return;
    }
    at = &at->child(word, change.place);
  }
  *at = change.value;
}

}  // namespace tandem::config
