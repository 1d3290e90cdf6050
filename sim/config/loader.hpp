// Files to values: the only way from YAML to the descriptions of sim/describe. Every error of the
// user's files is reported at once, with its place, in one ConfigError.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/describe/fabric.hpp"
#include "sim/describe/scenario.hpp"

namespace tandem {

namespace config {
struct FileMemory;
}

/// Folders that hold the descriptions.
struct ConfigRoots {
  std::string hw_configs;
  std::string workloads;
};

/// Finds the roots: the folder named by the environment variable TANDEM_HOME, else the source tree
/// this was built from, else share/tandem beside the executable's folder, else share/tandem of the
/// install prefix. Throws ConfigError when none of them holds both folders.
[[nodiscard]] ConfigRoots find_roots();

/// One `--set path=value`. The path is dotted and names a key of the resolved scenario:
/// `placement.decode.pipeline`, `traffic.concurrency`, `system.chips.h100_sxm.hbm_bandwidth`. The
/// value is YAML; `null` removes the key.
struct Override {
  std::string path;
  std::string value;
};

/// The values are each right by themselves and do not go together: a pool of more chips than the
/// system has, a request longer than the model's context.
class RefusedError : public ConfigError {
 public:
  using ConfigError::ConfigError;
};

/// Parameters of each chip model, by the name that chip files give as `model:`.
using ModelSchemas = std::map<std::string, ParameterSchema>;

/// What is wrong with the numbers of a chip that are right each by itself, with their places.
using ChipCheck = std::function<std::vector<Diagnostic>(const Chip&)>;

/// Name of the network of scenarios that take theirs from a checkpoint (`model: from_checkpoint`).
inline constexpr const char* from_checkpoint = "from_checkpoint";

/// Reads and checks descriptions.
///
/// Contract:
///  - every method throws ConfigError with all diagnostics found, sorted by place; nothing else is
///    thrown for wrong input.
///  - answers depend only on the files and the arguments; nothing is cached but by remembering().
///  - what is wrong with the combination of values alone is a RefusedError.
///  - a name is looked up in the folder of its kind; a text that ends in ".yaml" or ".json" or
///    contains '/' is a path, relative to the file that names it (or to the current folder).
///  - a model's path that ends in ".json" is a Hugging Face config; overrides of it use our keys.
class Loader {
 public:
  /// `check` sees every chip whose numbers could all be read; none: nothing is checked.
  Loader(ConfigRoots roots, ModelSchemas schemas, ChipCheck check = {});
  /// The same loader, which reads each description file once: for many scenarios of the same files.
  /// For one thread at a time.
  [[nodiscard]] Loader remembering() const;
  /// A scenario with everything it refers to, overrides applied, checked as a whole. Whether the
  /// model fits in memory is checked by sim/step.
  [[nodiscard]] Scenario scenario(const std::string& path_or_name,
                                  const std::vector<Override>& overrides = {}) const;
  /// One description by itself. Override paths start inside it: `hbm_bandwidth`.
  [[nodiscard]] Chip chip(const std::string& name,
                          const std::vector<Override>& overrides = {}) const;
  [[nodiscard]] Link link(const std::string& name,
                          const std::vector<Override>& overrides = {}) const;
  [[nodiscard]] Fabric fabric(const std::string& name,
                              const std::vector<Override>& overrides = {}) const;
  [[nodiscard]] System system(const std::string& name,
                              const std::vector<Override>& overrides = {}) const;
  [[nodiscard]] NeuralNetwork network(const std::string& name,
                                      const std::vector<Override>& overrides = {}) const;
  [[nodiscard]] Prices prices(const std::string& name,
                              const std::vector<Override>& overrides = {}) const;
  [[nodiscard]] Software software(const std::string& name,
                                  const std::vector<Override>& overrides = {}) const;
  /// Names of all descriptions of a kind, sorted: "chips", "links", "fabrics", "systems", "models",
  /// "prices", "software", "scenarios", "traffic". Throws ConfigError for another kind.
  [[nodiscard]] std::vector<std::string> list(const std::string& kind) const;
  [[nodiscard]] const ConfigRoots& roots() const { return roots_; }

 private:
  ConfigRoots roots_;
  std::shared_ptr<config::FileMemory> memory_;
  void check_chips(const System& system) const;

  ModelSchemas schemas_;
  ChipCheck check_;
};

/// One entry of hw_configs/sources.yaml.
struct Source {
  std::string title;
  int year = 0;
  std::string kind;
  std::string note;
};
/// The list of sources, by key. Throws ConfigError.
[[nodiscard]] std::map<std::string, Source> load_sources(const ConfigRoots& roots);

/// Content key of everything in a scenario but its name and file.
[[nodiscard]] std::string config_hash(const Scenario& scenario);

/// The reference page of all keys, as Markdown: docs/config_reference.md is this text.
[[nodiscard]] std::string config_reference(const ModelSchemas& schemas);

}  // namespace tandem
