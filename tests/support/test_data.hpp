// Where tests find the measured data that is not part of this repository.
#pragma once

#include <cstdlib>
#include <filesystem>

namespace tandem::test {

/// The folder named by TANDEM_DATA, else the one beside the source tree. May not exist.
inline std::filesystem::path measured_data() {
  const char* named = std::getenv("TANDEM_DATA");
  return named != nullptr ? std::filesystem::path(named)
                          : std::filesystem::path(TANDEM_SOURCE_DIR) / ".." / "shared" / "data";
}

/// The trained model that ships with the project, with greedy continuations.
inline std::filesystem::path little_tales_folder() {
  return std::filesystem::path(TANDEM_SOURCE_DIR) / "workloads" / "checkpoints" / "little_tales";
}

/// A real 260k-parameter model with the outputs of the reference program.
inline std::filesystem::path stories_folder() {
  return measured_data() / "models" / "stories260K";
}

/// Skip with this reason where stories_folder() is not there.
inline bool has_stories() {
  return std::filesystem::exists(stories_folder() / "stories260K.bin");
}
inline constexpr const char* no_stories =
    "stories260K is not in TANDEM_DATA: nothing to compare to";

}  // namespace tandem::test
