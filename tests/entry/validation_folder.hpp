// A small folder of measurements for tests of `tandem validate`.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace tandem::entry {

/// A folder that is gone when the test ends.
class Folder {
 public:
  Folder()
      : path_(std::filesystem::temp_directory_path() /
              ("tandem_validate_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// A GEMM table of microseconds; `more` are further lines of the table's entry.
inline std::string gemm_manifest(const std::string& more = "") {
  return "format: 1\n"
         "tables:\n"
         "- id: \"small\"\n"
         "  file: \"gemm.csv\"\n"
         "  op: \"gemm\"\n"
         "  chip: \"h100_sxm\"\n"
         "  software: \"Some Framework 1.2\"\n"
         "  target: \"latency\"\n"
         "  measured: \"t\"\n"
         "  unit: \"us\"\n"
         "  columns: {\"m\": \"tokens\", \"n\": \"n\", \"dtype\": \"type\"}\n"
         "  fixed: {\"k\": 4096, \"l2\": \"warm\"}\n" +
         more;
}

}  // namespace tandem::entry
