#include "sim/config/study_file.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "sim/config/library.hpp"
#include "sim/config/yaml_reader.hpp"

namespace tandem::config {
namespace {

void collect_keys(const Tree& tree, std::set<std::string>& keys) {
  for (const Tree& item : tree.items) collect_keys(item, keys);
  for (const TreeEntry& entry : tree.entries) {
    keys.insert(entry.key);
    collect_keys(entry.value, keys);
  }
}

}  // namespace

StudyFile::StudyFile(const ConfigRoots& roots, const std::string& kind, const Section& section,
                     const std::string& path_or_name, Sweep& sweep)
    : sweep_(sweep) {
  sweep.file = study_path(roots, kind, path_or_name);
  sweep.name = std::filesystem::path(sweep.file).stem().string();
  tree_ = read_yaml(sweep.file, problems_);
  problems_.throw_if_any();
  if (tree_.find("kind") != nullptr) check_kind(tree_, kind, problems_);
  reader_.emplace(tree_, section, fmt::format("{} '{}'", kind, sweep.name), context_);
}

void StudyFile::keep_mistakes() {
  sweep_.mistakes = problems_.all();
  if (!problems_.empty()) collect_keys(tree_, sweep_.written_keys);
}

}  // namespace tandem::config
