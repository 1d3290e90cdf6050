#include "sim/config/key_makers.hpp"

#include <utility>

namespace tandem::config {

std::vector<std::string> names_of(const Section& section) {
  std::vector<std::string> names;
  for (const KeySpec& key : section.keys) names.push_back(key.name);
  return names;
}

namespace make {

KeySpec number(std::string name, Dimension dimension, std::string fallback, double minimum,
               double maximum, std::string doc) {
  KeySpec key = text_or(std::move(name), std::move(fallback), std::move(doc));
  key.form = Form::Number;
  key.is_required = key.fallback.empty();
  key.dimension = dimension;
  key.minimum = minimum;
  key.maximum = maximum;
  return key;
}

KeySpec text(std::string name, std::string doc) {
  KeySpec key;
  key.name = std::move(name);
  key.doc = std::move(doc);
  return key;
}

KeySpec text_or(std::string name, std::string fallback, std::string doc) {
  KeySpec key = text(std::move(name), std::move(doc));
  key.fallback = std::move(fallback);
  return key;
}

KeySpec map(std::string name, std::string doc) {
  KeySpec key = text(std::move(name), std::move(doc));
  key.form = Form::Map;
  return key;
}

KeySpec keys(std::string name, std::string doc) {
  KeySpec key = text(std::move(name), std::move(doc));
  key.form = Form::Keys;
  return key;
}

KeySpec flag(std::string name, std::string fallback, std::string doc) {
  KeySpec key = text_or(std::move(name), std::move(fallback), std::move(doc));
  key.form = Form::Flag;
  return key;
}

KeySpec choice(std::string name, std::string fallback, std::vector<std::string> choices,
               std::vector<std::string> later, std::string doc) {
  KeySpec key = text_or(std::move(name), std::move(fallback), std::move(doc));
  key.form = Form::Choice;
  key.is_required = key.fallback.empty();
  key.choices = std::move(choices);
  key.later = std::move(later);
  return key;
}

KeySpec required(KeySpec key) {
  key.is_required = true;
  return key;
}

std::vector<KeySpec> head() {
  return {
      required(text("kind", "What the file describes.")),
      text("name", "The file's name without `.yaml`; it may be left out."),
      text("extends", "Another file of this kind; this one then changes only what it names."),
      text("note", "Free text."),
  };
}

std::vector<KeySpec> with_head(std::vector<KeySpec> keys) {
  std::vector<KeySpec> all = head();
  all.insert(all.end(), keys.begin(), keys.end());
  return all;
}

}  // namespace make
}  // namespace tandem::config
