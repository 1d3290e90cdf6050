// Builds the one tree of a scenario: the scenario's file with everything it names put in place of
// the names, and the overrides applied. Nothing is checked here but that the files exist.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/config/library.hpp"
#include "sim/config/overrides.hpp"
#include "sim/config/tree.hpp"

namespace tandem::config {

/// A description with its references in place, and what cannot be seen from the tree.
struct Assembled {
  std::string name;
  std::string file;
  Tree tree;
  /// Files that each chip was resolved from, by chip name.
  std::map<std::string, std::vector<std::string>> chip_files;
  /// What each chip and link class was called where it was named, by "chips/NAME".
  std::map<std::string, std::string> part_references;
  /// The description's own files, those that it extends too; not those of what it names.
  std::vector<std::string> files;
};

/// Assembles descriptions. Complaints go to `problems`; nothing when there is nothing to check.
class Assembler {
 public:
  Assembler(const Library& library, std::vector<ParsedOverride> overrides, Problems& problems)
      : library_(library), overrides_(std::move(overrides)), problems_(problems) {}
  [[nodiscard]] std::optional<Assembled> scenario(const std::string& path_or_name);
  [[nodiscard]] std::optional<Assembled> system(const std::string& name);
  /// A description that refers to nothing: chip, link, model, prices, software.
  [[nodiscard]] std::optional<Assembled> plain(std::string_view kind, const std::string& name);

 private:
  /// A chip or link class that a system names.
  struct Part {
    std::string folder;  ///< "chips" or "links"
    std::string_view kind;
    Tree reference;
  };
  void apply(Tree& root, const std::vector<std::string>& prefix, bool is_system);
  bool put_in_place(Tree& root, const std::string& key, std::string_view kind,
                    const std::string& fallback);
  std::optional<Tree> referred(const std::string& key, std::string_view kind, const Tree& slot);
  void put_models_in_place(Tree& tree, const std::vector<std::vector<std::string>>& names);
  void put_entries_in_place(Tree& models);
  void put_parts_in_place(Tree& system, const std::vector<std::string>& prefix,
                          Assembled& assembled);
  void put_part_in_place(Tree& system, const Part& part, const std::vector<std::string>& prefix,
                         Assembled& assembled);

  const Library& library_;
  std::vector<ParsedOverride> overrides_;
  Problems& problems_;
};

}  // namespace tandem::config
