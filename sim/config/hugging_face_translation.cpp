#include "sim/config/hugging_face_translation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sim/config/unit_text.hpp"

namespace tandem::config {
namespace {

const Tree* written(const Tree& map, std::string_view key) {
  const Tree* found = map.find(key);
  return found == nullptr || found->is_null() ? nullptr : found;
}

}  // namespace

Translation::Translation(const Tree& config, const Tree& root, std::string model_type,
                         Problems& problems)
    : config_(config), root_(root), problems_(problems), model_type_(std::move(model_type)) {
  model_.kind = Tree::Kind::Map;
  model_.place = config.place;
  set("kind", "model");
  set("source", "hugging-face-config");
}

const Tree* Translation::find(std::string_view key) const {
  const Tree* own = written(config_, key);
  return own != nullptr ? own : written(root_, key);
}

std::string Translation::text(std::string_view key, const std::string& fallback) const {
  const Tree* found = find(key);
  return found != nullptr && found->is_scalar() ? found->text : fallback;
}

bool Translation::flag(std::string_view key, bool fallback) const {
  return text(key, fallback ? "true" : "false") == "true";
}

double Translation::number(std::string_view key, double fallback) const {
  return number_in(has(key) && !written(config_, key) ? &root_ : &config_, key, fallback);
}

double Translation::number_in(const Tree* map, std::string_view key, double fallback) const {
  const Tree* found = map == nullptr ? nullptr : written(*map, key);
  if (found == nullptr) return fallback;
  const ParsedNumber parsed = parse_number(found->text, Dimension::Scalar);
  if (found->is_scalar() && parsed.is_good()) return parsed.value;
  problems_.report(found->place, fmt::format("'{}' needs a {}", key,
                                             found->is_scalar() ? "number" : "single value"));
  return fallback;
}

Tree& Translation::slot(const std::string& path, const SourcePlace& place) {
  Tree* at = &model_;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    at = &at->child(std::string_view(path).substr(begin, end - begin), place);
    begin = end + 1;
  }
  return *at;
}

void Translation::take(const std::string& path, std::string_view key) {
  if (!has(key)) need(key);
  take_if(path, key);
}

void Translation::take_or(const std::string& path, std::string_view key,
                          const std::string& fallback) {
  if (has(key)) {
    take_if(path, key);
  } else {
    set(path, fallback);
  }
}

void Translation::take_if(const std::string& path, std::string_view key) {
  const Tree* found = find(key);
  if (found == nullptr) return;
  if (!found->is_scalar()) {
    problems_.report(found->place, fmt::format("'{}' needs a single value", key));
    return;
  }
  put(path, *found);
}

void Translation::put(const std::string& path, const Tree& value) {
  slot(path, value.place) = value;
}

void Translation::set(const std::string& path, const std::string& value, std::string_view key) {
  const Tree* from = key.empty() ? nullptr : find(key);
  const SourcePlace& place = from != nullptr ? from->place : config_.place;
  slot(path, place) = make_scalar(value, place);
}

void Translation::set(const std::string& path, double value, std::string_view key) {
  set(path, fmt::format("{}", value), key);
}

void Translation::allow(std::string_view key, std::initializer_list<std::string_view> allowed) {
  const Tree* found = find(key);
  if (found == nullptr || found->text == "false") return;
  const bool is_empty_list = found->is_sequence() && found->items.empty();
  const bool is_allowed =
      is_empty_list || std::find(allowed.begin(), allowed.end(), found->text) != allowed.end();
  if (is_allowed) return;
  const std::string value = found->is_scalar() ? " '" + found->text + "'" : std::string{};
  problems_.report(
      found->place,
      fmt::format("'{}'{} of model_type '{}' is not supported{}{}", key, value, model_type_,
                  allowed.size() == 0 ? "" : "; supported: ", fmt::join(allowed, ", ")));
}

void Translation::refuse(std::string_view key, const std::string& reason) {
  const Tree* found = find(key);
  if (found == nullptr) return;
  problems_.report(found->place, fmt::format("'{}' of model_type '{}' is not supported: {}", key,
                                             model_type_, reason));
}

void Translation::need(std::string_view key) {
  problems_.report(config_.place,
                   fmt::format("a config of model_type '{}' needs the key '{}'", model_type_, key));
}

}  // namespace tandem::config
