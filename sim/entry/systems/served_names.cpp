#include "sim/entry/systems/served_names.hpp"

#include <algorithm>
#include <cctype>

namespace tandem::entry {
namespace {

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::string letters_and_digits(const std::string& text) {
  std::string kept;
  for (const char c : lower(text)) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) kept += c;
  }
  return kept;
}

/// Without any of these at its end, as often as one is there.
std::string without_endings(std::string name) {
  const char* endings[] = {"-instruct", "-hf",    "-chat", "-it",   "-fp8",  "-fp4",
                           "-nvfp4",    "-mxfp4", "-bf16", "-base", "-0528", "-2507"};
  for (bool changed = true; changed;) {
    changed = false;
    for (const std::string ending : endings) {
      if (!name.ends_with(ending)) continue;
      name.resize(name.size() - ending.size());
      changed = true;
    }
  }
  return name;
}

/// Other names of networks of the same shapes.
std::string same_shapes(const std::string& name) {
  static const std::map<std::string, std::string> names = {
      {"llama-3.3-70b", "llama-3.1-70b"},  {"llama-3-70b", "llama-3.1-70b"},
      {"llama-3-8b", "llama-3.1-8b"},      {"llama2-70b", "llama-2-70b"},
      {"llama2-7b", "llama-2-7b"},         {"mixtral-8x7b-v0.1", "mixtral-8x7b"},
      {"deepseek-v3-0324", "deepseek-v3"}, {"deepseek-v3.1", "deepseek-v3"},
      {"mistral-7b-v0.3", "mistral-7b"},   {"llama-7b", "llama-2-7b"}};
  const auto found = names.find(name);
  return found == names.end() ? name : found->second;
}

}  // namespace

ServedNames::ServedNames(const Context& context)
    : models_(context.loader.list("models")), chips_(context.loader.list("chips")) {
  for (const std::string& name : context.loader.list("systems")) {
    const System system = context.loader.system(name);
    if (system.groups.size() != 1) continue;
    boxes_.emplace(system.groups.front().chip, Box{name, system.groups.front().count});
  }
}

std::optional<std::string> ServedNames::model(const std::string& name) const {
  std::string plain = lower(name.substr(name.rfind('/') + 1));
  if (plain.starts_with("meta-")) plain.erase(0, 5);
  plain = same_shapes(without_endings(plain));
  const auto found = std::ranges::find(models_, plain);
  return found == models_.end() ? std::nullopt : std::optional(*found);
}

std::optional<std::string> ServedNames::chip(const std::string& name) const {
  if (std::ranges::find(chips_, name) != chips_.end()) return name;
  // The longest of the chips' own names, form factor left out, that the text has in it.
  const std::string text = letters_and_digits(name);
  std::optional<std::string> best;
  std::size_t length = 0;
  for (const std::string& chip : chips_) {
    std::string stem = chip.ends_with("_sxm") ? chip.substr(0, chip.size() - 4) : chip;
    stem = letters_and_digits(stem);
    if (stem.size() <= length || text.find(stem) == std::string::npos) continue;
    best = chip;
    length = stem.size();
  }
  return best;
}

std::optional<std::string> ServedNames::system_of(const std::string& chip,
                                                  std::int64_t count) const {
  const auto [begin, end] = boxes_.equal_range(chip);
  const Box* best = nullptr;
  for (auto it = begin; it != end; ++it) {
    const Box& box = it->second;
    if (box.count >= count && (best == nullptr || box.count < best->count)) best = &box;
  }
  return best == nullptr ? std::nullopt : std::optional(best->name);
}

}  // namespace tandem::entry
