// Finds description files by kind and name, reads them and follows `extends`.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/config/loader.hpp"
#include "sim/config/tree.hpp"

namespace tandem::config {

/// A kind of file: what `kind:` says and where such files lie.
struct FileKind {
  std::string_view word;    ///< "chip"
  std::string_view folder;  ///< "chips"
  bool is_hardware;
};
inline constexpr std::array file_kinds = {
    FileKind{"chip", "chips", true},       FileKind{"link", "links", true},
    FileKind{"fabric", "fabrics", true},   FileKind{"system", "systems", true},
    FileKind{"prices", "prices", true},    FileKind{"software", "software", true},
    FileKind{"model", "models", false},    FileKind{"scenario", "scenarios", false},
    FileKind{"traffic", "traffic", false},
};
/// By word or folder; null when there is none.
[[nodiscard]] const FileKind* find_file_kind(std::string_view word);

/// Names of the YAML files in a folder, sorted, without the extension.
[[nodiscard]] std::vector<std::string> file_names(const std::string& folder);

/// File of a sweep, a plan or a baseline (`kind`; bundled ones lie in `workloads/KIND + s`): a path
/// is its own, a name that of the bundled file, else of NAME.yaml in the current folder. Throws
/// ConfigError for a name of neither.
[[nodiscard]] std::string study_path(const ConfigRoots& roots, const std::string& kind,
                                     const std::string& path_or_name);

/// A description with its `extends` merged in.
struct ResolvedFile {
  std::string name;  ///< file name without extension
  Tree tree;
  std::vector<std::string> files;  ///< nearest first
};

/// What was read before, without complaints.
struct FileMemory {
  std::map<std::pair<std::string_view, std::string>, ResolvedFile> files;  ///< by kind and path
  std::optional<std::map<std::string, Source>> sources;
};

/// The description files under the two roots.
class Library {
 public:
  /// `memory`: none reads every file anew.
  explicit Library(const ConfigRoots& roots, FileMemory* memory = nullptr)
      : roots_(roots), memory_(memory) {}
  [[nodiscard]] std::string folder(const FileKind& kind) const;
  /// Names of all files of a kind, sorted.
  [[nodiscard]] std::vector<std::string> names(const FileKind& kind) const;
  /// Whether `name` is that of a bundled file, or of NAME.yaml beside `from`.
  [[nodiscard]] bool has(const FileKind& kind, const std::string& name,
                         const SourcePlace& from) const;
  /// Path of a name or path; complaints are placed at `from`, relative paths start there. A name is
  /// that of a bundled file, else of NAME.yaml beside `from`; of scenarios that one comes first.
  [[nodiscard]] std::optional<std::string> find(const FileKind& kind, const std::string& reference,
                                                const SourcePlace& from, Problems& problems) const;
  /// Reads a description and what it extends. Nothing when it could not be found or read.
  [[nodiscard]] std::optional<ResolvedFile> resolve(std::string_view word,
                                                    const std::string& reference,
                                                    const SourcePlace& from,
                                                    Problems& problems) const;

 private:
  [[nodiscard]] std::optional<ResolvedFile> read(const FileKind& kind, const std::string& path,
                                                 std::vector<std::string>& chain,
                                                 Problems& problems) const;
  const ConfigRoots& roots_;
  FileMemory* memory_;
};

}  // namespace tandem::config
