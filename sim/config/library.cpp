#include "sim/config/library.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "sim/config/hugging_face.hpp"
#include "sim/config/yaml_reader.hpp"

namespace tandem::config {
namespace {

namespace fs = std::filesystem;

/// Paths below the current folder are shown relative to it.
std::string display_path(const fs::path& path) {
  std::error_code failure;
  const fs::path here = fs::current_path(failure);
  const fs::path normal = path.lexically_normal();
  if (failure || !normal.is_absolute()) return normal.string();
  const fs::path relative = normal.lexically_relative(here);
  if (relative.empty() || *relative.begin() == "..") return normal.string();
  return relative.string();
}

/// The same text for the same file, whether it was named relative to the current folder or not.
std::string identity_of(const std::string& path) {
  std::error_code failure;
  return fs::absolute(path, failure).lexically_normal().string();
}

bool is_path(const std::string& reference) {
  return reference.find('/') != std::string::npos || reference.ends_with(".yaml") ||
         reference.ends_with(".yml") || reference.ends_with(".json");
}

/// Names and those of the files in a folder (none: the current one).
std::vector<std::string> with_files_of(std::vector<std::string> names, const fs::path& folder) {
  const std::vector<std::string> here = file_names(folder.empty() ? "." : folder.string());
  names.insert(names.end(), here.begin(), here.end());
  return names;
}

bool is_file(const fs::path& path) {
  std::error_code failure;
  return fs::is_regular_file(path, failure);
}

/// Folder that relative paths start from: that of the file which refers, else the current one.
fs::path folder_of(const SourcePlace& from) {
  return from.line > 0 ? fs::path(from.file).parent_path() : fs::path();
}

/// The name of a file's description: its own without the extension, but a config.json is called by
/// its folder.
std::string name_of(const fs::path& path) {
  if (path.filename() != "config.json") return path.stem().string();
  return fs::path(identity_of(path.string())).parent_path().filename().string();
}

/// `system: box` below and `system: {groups: ...}` above: the name stays, the changes go on top.
void widen_references(Tree& base, const Tree& changes) {
  for (const TreeEntry& entry : changes.entries) {
    Tree* below = base.find(entry.key);
    const char* word = entry.key == "traffic" ? "extends" : "name";
    if (below == nullptr || !below->is_scalar() || !entry.value.is_map()) continue;
    if (is_sourced_number(entry.value) || entry.value.find(word) != nullptr) continue;
    Tree named;
    named.place = below->place;
    named.child(word, below->place) = *below;
    *below = std::move(named);
  }
}

bool check_head(const Tree& tree, const FileKind& kind, const std::string& name,
                Problems& problems) {
  const Tree* word = tree.find("kind");
  if (word == nullptr) {
    problems.report(tree.place, fmt::format("the file needs 'kind: {}'", kind.word));
    return false;
  }
  if (!word->is_scalar() || word->text != kind.word) {
    const FileKind* other = find_file_kind(word->text);
    problems.report(
        word->place,
        other != nullptr && other->word == word->text
            ? fmt::format("this file is a {}; a {} is needed here", word->text, kind.word)
            : fmt::format("kind is '{}'; must be '{}'", word->text, kind.word));
    return false;
  }
  const Tree* own = tree.find("name");
  if (own != nullptr && own->text != name) {
    problems.report(own->place,
                    fmt::format("name '{}' differs from the file's name '{}'", own->text, name));
  }
  return true;
}

}  // namespace

const FileKind* find_file_kind(std::string_view word) {
  for (const FileKind& kind : file_kinds) {
    if (kind.word == word || kind.folder == word) return &kind;
  }
  return nullptr;
}

std::vector<std::string> file_names(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder, failure)) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string study_path(const ConfigRoots& roots, const std::string& kind,
                       const std::string& path_or_name) {
  if (path_or_name.ends_with(".yaml") || path_or_name.find('/') != std::string::npos) {
    return path_or_name;
  }
  const std::string folder = fmt::format("{}/{}s", roots.workloads, kind);
  const std::string file = path_or_name + ".yaml";
  if (is_file(fs::path(folder) / file)) return fmt::format("{}/{}", folder, file);
  if (is_file(file)) return file;
  const std::vector<std::string> known = file_names(folder);
  const std::string nearest = suggestion(path_or_name, with_files_of(known, {}));
  throw ConfigError(nearest.empty() ? fmt::format("no {} '{}' in {}, nor a file {}; there are {}",
                                                  kind, path_or_name, display_path(folder), file,
                                                  fmt::join(known, ", "))
                                    : fmt::format("no {} '{}'{}", kind, path_or_name, nearest));
}

std::string Library::folder(const FileKind& kind) const {
  return (fs::path(kind.is_hardware ? roots_.hw_configs : roots_.workloads) / kind.folder).string();
}

std::vector<std::string> Library::names(const FileKind& kind) const {
  return file_names(folder(kind));
}

bool Library::has(const FileKind& kind, const std::string& name, const SourcePlace& from) const {
  const std::string file = name + ".yaml";
  return is_file(fs::path(folder(kind)) / file) || is_file(folder_of(from) / file);
}

std::optional<std::string> Library::find(const FileKind& kind, const std::string& reference,
                                         const SourcePlace& from, Problems& problems) const {
  if (is_path(reference)) {
    const fs::path path = folder_of(from) / reference;
    if (is_file(path)) return from.line > 0 ? display_path(path) : path.string();
    std::vector<std::string> near;
    std::error_code failure;
    const fs::path parent = path.parent_path().empty() ? fs::path(".") : path.parent_path();
    for (const auto& entry : fs::directory_iterator(parent, failure)) {
      near.push_back(entry.path().filename().string());
    }
    std::sort(near.begin(), near.end());
    problems.report(from, fmt::format("no {} file '{}'{}", kind.word, reference,
                                      suggestion(path.filename().string(), near)));
    return std::nullopt;
  }
  const fs::path beside = folder_of(from) / (reference + ".yaml");
  if (from.line > 0 && kind.word == "scenario" && is_file(beside)) return display_path(beside);
  const fs::path path = fs::path(folder(kind)) / (reference + ".yaml");
  if (is_file(path)) return display_path(path);
  if (is_file(beside)) return display_path(beside);
  const std::vector<std::string> known = names(kind);
  const std::string nearest = suggestion(reference, with_files_of(known, beside.parent_path()));
  problems.report(from, nearest.empty()
                            ? fmt::format("no {} '{}' in {}, nor a file {}; there are {}",
                                          kind.word, reference, display_path(folder(kind)),
                                          display_path(beside), fmt::join(known, ", "))
                            : fmt::format("no {} '{}'{}", kind.word, reference, nearest));
  return std::nullopt;
}

std::optional<ResolvedFile> Library::resolve(std::string_view word, const std::string& reference,
                                             const SourcePlace& from, Problems& problems) const {
  const FileKind& kind = *find_file_kind(word);
  const std::optional<std::string> path = find(kind, reference, from, problems);
  if (!path) return std::nullopt;
  std::vector<std::string> chain;
  if (memory_ == nullptr) return read(kind, *path, chain, problems);
  const std::pair key(kind.word, *path);
  const auto known = memory_->files.find(key);
  if (known != memory_->files.end()) return known->second;
  const std::size_t before = problems.size();
  std::optional<ResolvedFile> file = read(kind, *path, chain, problems);
  if (file && problems.size() == before) memory_->files.emplace(key, *file);
  return file;
}

std::optional<ResolvedFile> Library::read(const FileKind& kind, const std::string& path,
                                          std::vector<std::string>& chain,
                                          Problems& problems) const {
  const std::size_t before = problems.size();
  const bool is_json = path.ends_with(".json");
  Tree own = is_json ? read_json(path, problems) : read_yaml(path, problems);
  if (!own.is_map()) {
    if (problems.size() == before) {
      problems.report(own.place, fmt::format("a {} file is a map of keys", kind.word));
    }
    return std::nullopt;
  }
  const std::string name = name_of(path);
  if (is_json && kind.word == "model") {
    std::optional<Tree> translated = from_hugging_face(own, problems);
    if (!translated || problems.size() != before) return std::nullopt;
    return ResolvedFile{name, std::move(*translated), {path}};
  }
  if (!check_head(own, kind, name, problems)) return std::nullopt;
  chain.push_back(identity_of(path));
  ResolvedFile result{name, {}, {path}};
  const Tree* extends = own.find("extends");
  if (extends == nullptr) {
    result.tree = std::move(own);
    return result;
  }
  const SourcePlace place = extends->place;
  const std::optional<std::string> base_path =
      extends->is_scalar() ? find(kind, extends->text, place, problems) : std::nullopt;
  if (!base_path) {
    if (!extends->is_scalar()) problems.report(place, "'extends' needs the name of one file");
    return std::nullopt;
  }
  const std::string normal = identity_of(*base_path);
  if (std::find(chain.begin(), chain.end(), normal) != chain.end()) {
    chain.push_back(normal);
    std::vector<std::string> stems;
    for (const std::string& file : chain) stems.push_back(fs::path(file).stem().string());
    problems.report(place, fmt::format("'extends' goes in a circle: {}", fmt::join(stems, " -> ")));
    return std::nullopt;
  }
  std::optional<ResolvedFile> base = read(kind, *base_path, chain, problems);
  if (!base) return std::nullopt;
  own.remove("extends");
  base->tree.remove("name");
  base->tree.remove("note");
  if (kind.word == "scenario") widen_references(base->tree, own);
  merge_into(base->tree, own);
  result.tree = std::move(base->tree);
  result.files.insert(result.files.end(), base->files.begin(), base->files.end());
  return result;
}

}  // namespace tandem::config
