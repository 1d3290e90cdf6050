#include "sim/config/map_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <string_view>
#include <utility>

#include "sim/config/unit_text.hpp"

namespace tandem::config {
namespace {

bool contains(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// Element types by the names that other tools give them, where they are not choices themselves.
std::string written_out(const std::string& word, const std::vector<std::string>& choices) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 4> types = {
      {{"fp16", "float16"}, {"bf16", "bfloat16"}, {"fp32", "float32"}, {"half", "float16"}}};
  for (const auto& [name, type] : types) {
    if (word == name && contains(choices, std::string(type))) return std::string(type);
  }
  return word;
}

/// How a key of another section is written; null for any other.
const std::string* written_elsewhere(const Section& section, const std::string& key) {
  for (const auto& [word, form] : section.elsewhere) {
    if (word == key) return &form;
  }
  return nullptr;
}

}  // namespace

MapReader::MapReader(const Tree& tree, const Section& section, std::string subject,
                     ReadContext& context, const std::vector<std::string>& extra)
    : tree_(tree), section_(section), subject_(std::move(subject)), context_(context) {
  if (tree.is_null()) return;  // reported by the reader of the map it stands in
  if (!tree.is_map()) {
    context_.problems.report(tree.place, fmt::format("{} needs keys ({}), one per line", subject_,
                                                     fmt::join(names_of(section_), ", ")));
    return;
  }
  check_keys(extra);
}

void MapReader::check_keys(const std::vector<std::string>& extra) const {
  std::vector<std::string> known = names_of(section_);
  known.insert(known.end(), extra.begin(), extra.end());
  for (const TreeEntry& entry : tree_.entries) {
    if (contains(section_.later, entry.key)) {
      context_.problems.report(entry.key_place,
                               fmt::format("'{}' in {} is not supported yet", entry.key, subject_));
    } else if (const std::string* place = written_elsewhere(section_, entry.key)) {
      context_.problems.report(entry.key_place, fmt::format("'{}' is not a key of {}; write '{}'",
                                                            entry.key, subject_, *place));
    } else if (!contains(known, entry.key)) {
      context_.problems.report(entry.key_place, unknown_key(entry.key, subject_, known));
    } else if (entry.value.is_null()) {
      context_.problems.report(entry.key_place, fmt::format("'{}' has no value", entry.key));
    }
  }
  for (const KeySpec& key : section_.keys) {
    if (key.is_required && tree_.find(key.name) == nullptr) {
      context_.problems.report(
          tree_.place, fmt::format("{} needs the key '{}': {}", subject_, key.name, key.doc));
    }
  }
}

const KeySpec& MapReader::spec(const std::string& key) const {
  const auto found = std::find_if(section_.keys.begin(), section_.keys.end(),
                                  [&](const KeySpec& candidate) { return candidate.name == key; });
  assert(found != section_.keys.end());
  return *found;
}

bool MapReader::has(const std::string& key) const {
  const Tree* value = tree_.find(key);
  return value != nullptr && !value->is_null();
}

bool MapReader::has_all(std::initializer_list<const char*> keys) const {
  return std::all_of(keys.begin(), keys.end(), [&](const char* key) { return has(key); });
}

const Tree* MapReader::scalar(const std::string& key) const {
  const Tree* value = tree_.find(key);
  if (value == nullptr || value->is_null()) return nullptr;
  if (value->is_scalar()) return value;
  context_.problems.report(value->place, fmt::format("'{}' needs a single value", key));
  return nullptr;
}

std::string MapReader::text(const std::string& key) const {
  const Tree* value = scalar(key);
  return value == nullptr ? spec(key).fallback : value->text;
}

std::optional<double> MapReader::optional_number(const std::string& key) const {
  if (!has(key)) return std::nullopt;
  const KeySpec& own = spec(key);
  const ParameterSpec parameter{own.name,     own.dimension, own.doc,
                                std::nullopt, own.minimum,   own.maximum};
  const auto read = read_parameter(*tree_.find(key), parameter, false, context_);
  if (!read) return std::nullopt;
  return read->value;
}

double MapReader::number(const std::string& key) const {
  const std::optional<double> written = optional_number(key);
  if (written) return *written;
  const KeySpec& own = spec(key);
  return own.fallback.empty() ? own.minimum : parse_number(own.fallback, own.dimension).value;
}

std::int64_t MapReader::count(const std::string& key) const {
  return static_cast<std::int64_t>(std::llround(number(key)));
}

bool MapReader::flag(const std::string& key) const {
  const std::string word = text(key);
  if (word != "true" && word != "false") {
    report(key, fmt::format("'{}' is true or false, got '{}'", key, word));
  }
  return word == "true";
}

std::string MapReader::choice_word(const std::string& key) const {
  const KeySpec& own = spec(key);
  const std::string word = text(key);
  if (!has(key) || contains(own.choices, word)) return word;
  const std::string known = fmt::format("{}", fmt::join(own.choices, ", "));
  if (contains(own.later, word)) {
    report(key, fmt::format("'{}: {}' is not supported yet; supported are {}", key, word, known));
  } else {
    report(key, fmt::format("'{}' is one of {}; got '{}'{}", key, known, word,
                            suggestion(written_out(word, own.choices), own.choices)));
  }
  return own.fallback;
}

SourcePlace MapReader::place(const std::string& key) const {
  const Tree* value = tree_.find(key);
  return value == nullptr ? tree_.place : value->place;
}

std::string MapReader::source(const std::string& key) const {
  const std::string word = text(key);
  if (has(key) && !context_.sources.contains(word)) {
    report(key, fmt::format("source '{}' is not in hw_configs/sources.yaml{}", word,
                            suggestion(word, {context_.sources.begin(), context_.sources.end()})));
  }
  return word;
}

void MapReader::report(const std::string& key, std::string message) const {
  context_.problems.report(place(key), std::move(message));
}

void check_kind(const Tree& tree, const std::string& kind, Problems& problems) {
  const Tree* value = tree.find("kind");
  if (value == nullptr) {
    problems.report(tree.place, fmt::format("'kind' is missing; write 'kind: {}'", kind));
  } else if (value->text != kind) {
    problems.report(value->place,
                    fmt::format("kind is '{}'; this place wants '{}'", value->text, kind));
  }
}

std::string unknown_key(const std::string& key, const std::string& subject,
                        const std::vector<std::string>& known) {
  const std::size_t colon = key.find(':');
  if (colon != std::string::npos && contains(known, key.substr(0, colon))) {
    return fmt::format("unknown key '{}' in {}; YAML wants a space behind the colon: '{}: {}'", key,
                       subject, key.substr(0, colon), key.substr(colon + 1));
  }
  return fmt::format("unknown key '{}' in {}{}", key, subject, suggestion(key, known));
}

}  // namespace tandem::config
