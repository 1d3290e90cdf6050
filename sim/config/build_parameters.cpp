#include <fmt/format.h>

#include <algorithm>

#include "sim/config/build.hpp"

namespace tandem::config {
namespace {

std::vector<std::string> pattern_parts(const std::string& name) {
  std::vector<std::string> words(1);
  for (const char c : name) {
    if (c == '.') {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}

/// Whether the words match the first words of a schema name, `*` matching any.
bool matches_front(const std::vector<std::string>& pattern, const std::vector<std::string>& words) {
  if (words.size() > pattern.size()) return false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (pattern[i] != "*" && pattern[i] != words[i]) return false;
  }
  return true;
}

bool has_wildcard(const ParameterSpec& spec) {
  return spec.name.find('*') != std::string::npos;
}

/// Walks a map and the maps in it, matching dotted names against the schema.
class ParameterWalk {
 public:
  ParameterWalk(const Section& section, const ParameterSchema& schema, std::string subject,
                ReadContext& context)
      : section_(section), schema_(schema), subject_(std::move(subject)), context_(context) {}

  void visit(const Tree& tree, const std::vector<std::string>& above) {
    for (const TreeEntry& entry : tree.entries) {
      if (above.empty() && is_head(entry.key)) continue;
      std::vector<std::string> words = above;
      words.push_back(entry.key);
      visit_entry(entry, words);
    }
  }
  void check_missing(const Tree& tree) {
    for (const ParameterSpec& spec : schema_) {
      if (has_wildcard(spec) || seen_.contains(spec.name)) continue;
      if (!spec.fallback) {
        context_.problems.report(
            tree.place, fmt::format("{} needs the key '{}': {}", subject_, spec.name, spec.doc));
        continue;
      }
      Parameter parameter;
      parameter.value = *spec.fallback;
      parameter.dimension = spec.dimension;
      parameter.source = "model-default";
      parameters_.set(spec.name, std::move(parameter));
    }
  }
  [[nodiscard]] ParameterSet take() { return std::move(parameters_); }

 private:
  void visit_entry(const TreeEntry& entry, const std::vector<std::string>& words) {
    const std::string name = fmt::format("{}", fmt::join(words, "."));
    for (const ParameterSpec& spec : schema_) {
      const std::vector<std::string> pattern = pattern_parts(spec.name);
      if (!matches_front(pattern, words)) continue;
      if (pattern.size() > words.size()) return visit_inner(entry, words, name);
      ParameterSpec own = spec;
      own.name = name;
      seen_.insert(name);
      if (entry.value.is_null()) {
        context_.problems.report(entry.key_place, fmt::format("'{}' has no value", name));
        return;
      }
      auto parameter = read_parameter(entry.value, own, true, context_);
      if (parameter) parameters_.set(name, std::move(*parameter));
      return;
    }
    context_.problems.report(entry.key_place, unknown_key(entry.key, subject_, known_at(words)));
  }
  void visit_inner(const TreeEntry& entry, const std::vector<std::string>& words,
                   const std::string& name) {
    if (entry.value.is_map()) {
      visit(entry.value, words);
    } else {
      context_.problems.report(entry.value.place, fmt::format("'{}' needs keys", name));
    }
  }
  [[nodiscard]] bool is_head(const std::string& key) const {
    return std::any_of(section_.keys.begin(), section_.keys.end(),
                       [&](const KeySpec& spec) { return spec.name == key; });
  }
  /// Words that may stand where the last of `words` stands.
  [[nodiscard]] std::vector<std::string> known_at(const std::vector<std::string>& words) const {
    std::vector<std::string> known;
    const std::vector<std::string> above(words.begin(), words.end() - 1);
    for (const ParameterSpec& spec : schema_) {
      const std::vector<std::string> pattern = pattern_parts(spec.name);
      if (pattern.size() > above.size() && matches_front(pattern, above)) {
        known.push_back(pattern[above.size()]);
      }
    }
    if (above.empty()) {
      for (const KeySpec& key : section_.keys) known.push_back(key.name);
    }
    return known;
  }

  const Section& section_;
  const ParameterSchema& schema_;
  std::string subject_;
  ReadContext& context_;
  std::set<std::string> seen_;
  ParameterSet parameters_;
};

}  // namespace

ParameterSet build_parameters(const Tree& tree, const Section& section,
                              const ParameterSchema& schema, const std::string& subject,
                              ReadContext& context) {
  ParameterWalk walk(section, schema, subject, context);
  walk.visit(tree, {});
  walk.check_missing(tree);
  return walk.take();
}

}  // namespace tandem::config
