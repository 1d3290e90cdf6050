// Where hw_configs and workloads are.
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "sim/config/loader.hpp"

namespace tandem {
namespace {

namespace fs = std::filesystem;

std::optional<ConfigRoots> roots_in(const fs::path& home) {
  std::error_code failure;
  const fs::path hw_configs = home / "hw_configs";
  const fs::path workloads = home / "workloads";
  if (!fs::is_directory(hw_configs, failure) || !fs::is_directory(workloads, failure)) {
    return std::nullopt;
  }
  return ConfigRoots{hw_configs.lexically_normal().string(), workloads.lexically_normal().string()};
}

}  // namespace

ConfigRoots find_roots() {
  const char* home = std::getenv("TANDEM_HOME");
  if (home != nullptr && *home != '\0') {
    if (const auto roots = roots_in(home)) return *roots;
    throw ConfigError(
        fmt::format("TANDEM_HOME is '{}', which does not hold hw_configs and "
                    "workloads",
                    home));
  }
  std::error_code failure;
  const fs::path executable = fs::read_symlink("/proc/self/exe", failure);
  const fs::path candidates[] = {TANDEM_SOURCE_HOME,
                                 executable.parent_path().parent_path() / "share/tandem",
                                 TANDEM_INSTALL_HOME};
  for (const fs::path& candidate : candidates) {
    if (const auto roots = roots_in(candidate)) return *roots;
  }
  throw ConfigError(
      "the folders hw_configs and workloads are not found; set TANDEM_HOME to the folder that "
      "holds them");
}

}  // namespace tandem
