// What every command needs: the loader of descriptions, the catalogue of hardware models, and safe
// output. A command has one, made in main(); a call from Python has its own.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "sim/config/loader.hpp"
#include "sim/lower/chip_model.hpp"
#include "sim/lower/network_model.hpp"

namespace tandem::entry {

struct Context {
  Catalogue catalogue;
  NetworkFactory make_network;
  Loader loader;
};

[[nodiscard]] Context make_context();

/// One for a call from Python: files are read anew, what kernels did is kept for the process's
/// other calls (KernelMemory).
[[nodiscard]] Context make_call_context();

/// Schemas of all chip models, as the loader wants them.
[[nodiscard]] ModelSchemas schemas_of(const Catalogue& catalogue);

/// Parses `path=value` arguments of --set. Throws ConfigError for one without '='.
[[nodiscard]] std::vector<Override> parse_overrides(const std::vector<std::string>& arguments);

/// Throws ConfigError for a mix of models, which `run`, `capacity` and studies take alone.
void require_one_model(const Scenario& scenario);

/// Writes a whole file or none: into a temporary beside it, renamed when complete. "-" is standard
/// output. Throws ConfigError that names the path when it cannot be written.
void write_output(const std::string& path, const std::function<void(std::ostream&)>& write);

/// A text and where it goes; an empty path goes nowhere.
struct Output {
  std::string path;
  std::string text;
};

/// Writes all files or none: every one into a temporary first, renamed when all are complete.
void write_outputs(const std::vector<Output>& outputs);

/// Reads a whole file. Throws ConfigError that names the path.
[[nodiscard]] std::string read_file(const std::string& path);

/// Progress of long work: one line on a terminal, nothing in a pipe.
class Progress {
 public:
  explicit Progress(std::string label);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void update(std::string_view text);

 private:
  std::string label_;
  bool is_terminal_;
};

}  // namespace tandem::entry
