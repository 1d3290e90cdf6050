// The file of a sweep or a plan, opened: its tree and the reader of its first level.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "sim/config/map_reader.hpp"
#include "sim/config/sweep.hpp"

namespace tandem::config {

/// Contract: what it hands out lives as long as it does.
class StudyFile {
 public:
  /// `kind`: "sweep" or "plan", whose files stand in `workloads/KIND + s`; a name with a slash or
  /// ".yaml" is a path. Tells `sweep` its file and name. Throws ConfigError for what is no YAML
  /// file; unknown and missing keys of the first level are in `problems`.
  StudyFile(const ConfigRoots& roots, const std::string& kind, const Section& section,
            const std::string& path_or_name, Sweep& sweep);
  StudyFile(const StudyFile&) = delete;
  StudyFile& operator=(const StudyFile&) = delete;
  [[nodiscard]] const Tree& tree() const { return tree_; }
  [[nodiscard]] const MapReader& reader() const { return *reader_; }
  [[nodiscard]] ReadContext& context() { return context_; }
  [[nodiscard]] Problems& problems() { return problems_; }
  /// Hands the problems to the sweep, with the keys that its file has.
  void keep_mistakes();

 private:
  const ModelSchemas no_schemas_;
  const std::set<std::string> no_sources_;
  Problems problems_;
  ReadContext context_{no_schemas_, no_sources_, problems_};
  Tree tree_;
  std::optional<MapReader> reader_;
  Sweep& sweep_;
};

}  // namespace tandem::config
