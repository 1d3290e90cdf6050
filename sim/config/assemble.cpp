#include "sim/config/assemble.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <utility>

namespace tandem::config {
namespace {

bool starts_with(const std::vector<std::string>& path, const std::vector<std::string>& prefix) {
  return path.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), path.begin());
}

/// Keys of a scenario whose value names a file.
bool is_reference(const std::string& key) {
  return key == "model" || key == "draft_model" || key == "system" || key == "prices" ||
         key == "software" || key == "traffic";
}

/// Where in a path the key stands that may name a file: in a mix within an entry of `models`.
std::size_t position_of_reference(const std::vector<std::string>& path) {
  return path.front() == "models" ? 2 : 0;
}

/// True when the path names something inside a file that is only known by name before it is read.
bool is_inside_reference(const std::vector<std::string>& path) {
  const std::size_t at = position_of_reference(path);
  return path.size() > at + 1 && is_reference(path[at]) && path[at + 1] != "name" &&
         path[at + 1] != "extends";
}

bool is_part_folder(const std::string& key) {
  return key == "chips" || key == "links";
}

std::string stem(const std::string& reference) {
  return reference.ends_with(".yaml") ? std::filesystem::path(reference).stem().string()
                                      : reference;
}

/// Calls `visit(reference, is_chip)` for every name of a chip or link class in a system.
template <class Visit>
void visit_references(Tree& system, Visit visit) {
  const auto visit_key = [&](TreeEntry& entry, const char* key, bool is_chip) {
    Tree* reference = entry.value.find(key);
    if (reference != nullptr && reference->is_scalar()) visit(*reference, is_chip);
  };
  if (Tree* groups = system.find("groups")) {
    for (TreeEntry& group : groups->entries) {
      visit_key(group, "chip", true);
      visit_key(group, "link", false);
      visit_key(group, "scale_out", false);
    }
  }
  if (Tree* bridges = system.find("bridges")) {
    for (TreeEntry& bridge : bridges->entries) {
      Tree* path = bridge.value.find("links");
      if (path == nullptr) continue;
      for (Tree& link : path->items) {
        if (link.is_scalar()) visit(link, false);
      }
    }
  }
}

/// What is wrong with a slot that names no description.
std::string nameless(const std::string& key, std::string_view kind, const Tree& slot) {
  if (!slot.is_map()) return fmt::format("'{}' needs the name of a {}", key, kind);
  return fmt::format(
      "'{0}' changes a {1} but does not say which; write {{name: ..., ...}}, with one "
      "of the {1}s that 'tandem list' knows or the path of a file",
      key, kind);
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
    problems_.report(slot.place, nameless(key, kind, slot));
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
  if (slot->is_map() && !fallback.empty() && std::as_const(*slot).find("name") == nullptr) {
    slot->child("name", slot->place) = make_scalar(fallback, slot->place);
  }
  std::optional<Tree> tree = referred(key, kind, *slot);
  const bool is_found = tree.has_value();
  *slot = is_found ? std::move(*tree) : make_scalar(key, slot->place);
  return is_found;
}

/// Puts one chip or link under `folder`, by the name of its file.
void Assembler::put_part_in_place(Tree& system, const Part& part,
                                  const std::vector<std::string>& prefix, Assembled& assembled) {
  const std::string name = stem(part.reference.text);
  const auto [known, is_new] =
      assembled.part_references.emplace(part.folder + "/" + name, part.reference.text);
  if (!is_new) {
    if (known->second != part.reference.text) {
      problems_.report(part.reference.place, fmt::format("'{}' and '{}' would both be called '{}'",
                                                         known->second, part.reference.text, name));
    }
    return;
  }
  auto found = library_.resolve(part.kind, part.reference.text, part.reference.place, problems_);
  if (!found) return;
  Tree& slot = system.child(part.folder, system.place).child(name, part.reference.place);
  if (slot.is_map()) merge_into(found->tree, slot);
  std::vector<std::string> own = prefix;
  own.insert(own.end(), {part.folder, name});
  for (const ParsedOverride& change : overrides_) {
    if (starts_with(change.path, own) && change.path.size() > own.size()) {
      apply_override(found->tree, change, own.size(), problems_);
    }
  }
  slot = std::move(found->tree);
  if (part.kind == "chip") assembled.chip_files[name] = found->files;
}

/// Puts the chips and link classes that a system names under its keys `chips` and `links`, and
/// leaves their names where paths were.
void Assembler::put_parts_in_place(Tree& system, const std::vector<std::string>& prefix,
                                   Assembled& assembled) {
  std::vector<Part> parts;
  visit_references(system, [&](Tree& reference, bool is_chip) {
    const Part chip{"chips", "chip", reference};
    parts.push_back(is_chip ? chip : Part{"links", "link", reference});
    reference.text = stem(reference.text);
  });
  for (const Part& part : parts) put_part_in_place(system, part, prefix, assembled);
  // Changes to a part that the system does not have stay in the tree and are reported there.
  for (const ParsedOverride& change : overrides_) {
    if (!starts_with(change.path, prefix) || change.path.size() < prefix.size() + 3) continue;
    const std::string& folder = change.path[prefix.size()];
    if (!is_part_folder(folder)) continue;
    Tree& all = system.child(folder, system.place);
    const std::string& part = change.path[prefix.size() + 1];
    if (all.find(part) == nullptr) all.child(part, change.place) = change.value;
  }
}

/// Puts the networks that a map names in place: that of a scenario of one model, or an entry of
/// `models`, which overrides may call by each of `names`.
void Assembler::put_models_in_place(Tree& tree,
                                    const std::vector<std::vector<std::string>>& names) {
  for (const char* key : {"model", "draft_model"}) {
    const Tree* model = std::as_const(tree).find(key);
    const bool is_open = model != nullptr && model->is_scalar() && model->text == from_checkpoint;
    if (!is_open) put_in_place(tree, key, "model", {});
    Tree* slot = tree.find(key);
    if (slot == nullptr || !slot->is_map()) continue;
    for (std::vector<std::string> path : names) {
      path.emplace_back(key);
      apply(*slot, path, false);
    }
  }
}

/// The entries of `models`, which paths call by number or by name.
void Assembler::put_entries_in_place(Tree& models) {
  for (std::size_t i = 0; i < models.items.size(); ++i) {
    Tree& entry = models.items[i];
    if (!entry.is_map()) continue;
    std::vector<std::vector<std::string>> names = {{"models", std::to_string(i)}};
    const Tree* name = std::as_const(entry).find("name");
    if (name != nullptr && name->is_scalar()) names.push_back({"models", name->text});
    put_models_in_place(entry, names);
  }
}

std::optional<Assembled> Assembler::scenario(const std::string& path_or_name) {
  auto found = library_.resolve("scenario", path_or_name, {}, problems_);
  if (!found) return std::nullopt;
  Assembled assembled{found->name, found->files.front(), std::move(found->tree), {},
                      {},          found->files};
  Tree& tree = assembled.tree;
  for (const ParsedOverride& change : overrides_) {
    if (is_inside_reference(change.path)) continue;
    const bool renames = change.path.size() == 2 && is_reference(change.path[0]) &&
                         change.path[1] == "name" && tree.find(change.path[0]) != nullptr &&
                         tree.find(change.path[0])->is_scalar();
    apply_override(renames ? *tree.find(change.path[0]) : tree, change, renames ? 2 : 0, problems_);
  }
  put_models_in_place(tree, {{}});
  if (Tree* models = tree.find("models")) put_entries_in_place(*models);
  const bool has_system = put_in_place(tree, "system", "system", {});
  put_in_place(tree, "prices", "prices", "default_2026");
  put_in_place(tree, "software", "software", "generic");
  put_in_place(tree, "traffic", "traffic", {});
  for (const char* key : {"system", "prices", "software", "traffic"}) {
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
  Assembled assembled{found->name, found->files.front(), std::move(found->tree), {},
                      {},          found->files};
  if (kind == "chip") assembled.chip_files[found->name] = found->files;
  apply(assembled.tree, {}, kind == "system");
  return assembled;
}

}  // namespace tandem::config
