#include "sim/config/assemble.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

namespace tandem::config {
namespace {

bool starts_with(const std::vector<std::string>& path, const std::vector<std::string>& prefix) {
  return path.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), path.begin());
}

/// Keys of a scenario whose value names a file.
bool is_reference(const std::string& key) {
  return key == "model" || key == "system" || key == "prices" || key == "software" ||
         key == "traffic";
}

/// True when the path names something inside a file that is only known by name before it is read.
bool is_inside_reference(const std::vector<std::string>& path) {
  return path.size() > 1 && is_reference(path[0]) && path[1] != "name" && path[1] != "extends";
}

bool is_part_folder(const std::string& key) {
  return key == "chips" || key == "links";
}

std::string stem(const std::string& reference) {
  return reference.ends_with(".yaml") ? std::filesystem::path(reference).stem().string()
                                      : reference;
}

}  // namespace

/// Applies the overrides below `prefix`. In a system, those that go into a chip or link wait until
/// the parts are in place.
void Assembler::apply(Tree& root, const std::vector<std::string>& prefix, bool is_system) {
  for (const ParsedOverride& change : overrides_) {
    if (!starts_with(change.path, prefix) || change.path.size() == prefix.size()) continue;
    const bool waits = is_system && change.path.size() > prefix.size() + 1 &&
                       is_part_folder(change.path[prefix.size()]);
    if (!waits) apply_override(root, change, prefix.size(), problems_);
  }
}

/// The description that `key: name` or `key: {name: name, changes}` stands for, changes merged in.
std::optional<Tree> Assembler::referred(const std::string& key, std::string_view kind,
                                        const Tree& slot) {
  const bool is_traffic = kind == "traffic";
  const Tree* named = slot.is_scalar() ? &slot : slot.find(is_traffic ? "extends" : "name");
  if (named == nullptr && is_traffic && slot.is_map()) return slot;
  if (named == nullptr || !named->is_scalar()) {
    problems_.report(slot.place, fmt::format("'{}' needs the name of a {}", key, kind));
    return std::nullopt;
  }
  auto found = library_.resolve(kind, named->text, named->place, problems_);
  if (!found) return std::nullopt;
  if (slot.is_map()) {
    Tree changes = slot;
    changes.remove(is_traffic ? "extends" : "name");
    merge_into(found->tree, changes);
  }
  found->tree.child("name", found->tree.place) = make_scalar(found->name, found->tree.place);
  return std::move(found->tree);
}

/// Puts the description that `key` names in its place. When there is none, a scalar stays behind,
/// which says that the complaint has been made. False then, or when the key is missing.
bool Assembler::put_in_place(Tree& root, const std::string& key, std::string_view kind,
                             const std::string& fallback) {
  if (root.find(key) == nullptr && !fallback.empty()) {
    root.child(key, root.place) = make_scalar(fallback, root.place);
  }
  Tree* slot = root.find(key);
  if (slot == nullptr || slot->is_null()) return false;
  std::optional<Tree> tree = referred(key, kind, *slot);
  const bool is_found = tree.has_value();
  *slot = is_found ? std::move(*tree) : make_scalar(key, slot->place);
  return is_found;
}

void Assembler::put_part_in_place(Tree& system, const std::string& folder, std::string_view kind,
                                  const Tree& reference, const std::vector<std::string>& prefix,
                                  Assembled& assembled) {
  if (!reference.is_scalar()) return;
  const std::string name = stem(reference.text);
  if (kind == "chip" && assembled.chip_files.contains(name)) return;
  Tree& parts = system.child(folder, system.place);
  const Tree* written = std::as_const(parts).find(name);
  const Tree changes = written == nullptr ? Tree{} : *written;
  if (written != nullptr && changes.find("kind") != nullptr) return;  // in place already
  auto found = library_.resolve(kind, reference.text, reference.place, problems_);
  if (!found) return;
  if (changes.is_map()) merge_into(found->tree, changes);
  for (const ParsedOverride& change : overrides_) {
    std::vector<std::string> own = prefix;
    own.push_back(folder);
    own.push_back(name);
    if (starts_with(change.path, own) && change.path.size() > own.size()) {
      apply_override(found->tree, change, own.size(), problems_);
    }
  }
  parts.child(name, reference.place) = std::move(found->tree);
  if (kind == "chip") assembled.chip_files[name] = found->files;
}

/// Puts the chips and link classes that a system names under its keys `chips` and `links`.
void Assembler::put_parts_in_place(Tree& system, const std::vector<std::string>& prefix,
                                   Assembled& assembled) {
  std::vector<Tree> chips;
  std::vector<Tree> links;
  if (const Tree* groups = system.find("groups")) {
    for (const TreeEntry& group : groups->entries) {
      if (const Tree* chip = group.value.find("chip")) chips.push_back(*chip);
      for (const char* key : {"link", "scale_out"}) {
        if (const Tree* link = group.value.find(key)) links.push_back(*link);
      }
    }
  }
  if (const Tree* bridges = system.find("bridges")) {
    for (const TreeEntry& bridge : bridges->entries) {
      if (const Tree* path = bridge.value.find("links")) {
        links.insert(links.end(), path->items.begin(), path->items.end());
      }
    }
  }
  for (const Tree& chip : chips) {
    put_part_in_place(system, "chips", "chip", chip, prefix, assembled);
  }
  for (const Tree& link : links) {
    put_part_in_place(system, "links", "link", link, prefix, assembled);
  }
  // Changes to a part that the system does not have stay in the tree and are reported there.
  for (const ParsedOverride& change : overrides_) {
    if (!starts_with(change.path, prefix) || change.path.size() < prefix.size() + 3) continue;
    const std::string& folder = change.path[prefix.size()];
    if (!is_part_folder(folder)) continue;
    Tree& parts = system.child(folder, system.place);
    const std::string& part = change.path[prefix.size() + 1];
    if (parts.find(part) == nullptr) parts.child(part, change.place) = change.value;
  }
}

std::optional<Assembled> Assembler::scenario(const std::string& path_or_name) {
  auto found = library_.resolve("scenario", path_or_name, {}, problems_);
  if (!found) return std::nullopt;
  Assembled assembled{found->name, found->files.front(), std::move(found->tree), {}};
  Tree& tree = assembled.tree;
  for (const ParsedOverride& change : overrides_) {
    if (is_inside_reference(change.path)) continue;
    const bool renames = change.path.size() == 2 && is_reference(change.path[0]) &&
                         change.path[1] == "name" && tree.find(change.path[0]) != nullptr &&
                         tree.find(change.path[0])->is_scalar();
    apply_override(renames ? *tree.find(change.path[0]) : tree, change, renames ? 2 : 0, problems_);
  }
  const Tree* model = std::as_const(tree).find("model");
  const bool is_open = model != nullptr && model->is_scalar() && model->text == from_checkpoint;
  if (!is_open) put_in_place(tree, "model", "model", {});
  const bool has_system = put_in_place(tree, "system", "system", {});
  put_in_place(tree, "prices", "prices", "default_2026");
  put_in_place(tree, "software", "software", "generic");
  put_in_place(tree, "traffic", "traffic", {});
  for (const char* key : {"model", "system", "prices", "software", "traffic"}) {
    Tree* slot = tree.find(key);
    if (slot != nullptr && slot->is_map()) apply(*slot, {key}, std::string_view(key) == "system");
  }
  if (has_system) put_parts_in_place(*tree.find("system"), {"system"}, assembled);
  return assembled;
}

std::optional<Assembled> Assembler::system(const std::string& name) {
  auto assembled = plain("system", name);
  if (assembled) put_parts_in_place(assembled->tree, {}, *assembled);
  return assembled;
}

std::optional<Assembled> Assembler::plain(std::string_view kind, const std::string& name) {
  auto found = library_.resolve(kind, name, {}, problems_);
  if (!found) return std::nullopt;
  Assembled assembled{found->name, found->files.front(), std::move(found->tree), {}};
  if (kind == "chip") assembled.chip_files[found->name] = found->files;
  apply(assembled.tree, {}, kind == "system");
  return assembled;
}

}  // namespace tandem::config
