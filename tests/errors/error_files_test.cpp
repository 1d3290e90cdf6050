// Loads every broken YAML file of this folder and compares all diagnostics with those that the
// file's comments expect (README.md).
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/config/fixture.hpp"

namespace tandem {
namespace {

namespace fs = std::filesystem;

struct ErrorCase {
  std::string path;
  std::string kind = "scenario";
  std::vector<Override> overrides;
  std::vector<std::string> expected;
};

fs::path folder() {
  return fs::path(TANDEM_SOURCE_DIR) / "tests/errors";
}

/// The rest of a line that starts with `prefix`; empty when it does not.
std::string after(const std::string& line, const std::string& prefix) {
  return line.starts_with(prefix) ? line.substr(prefix.size()) : std::string{};
}

/// Puts this file's name before an expectation that names no file.
std::string with_file(const std::string& text, const std::string& file) {
  const bool has_place = !text.empty() && text.find_first_not_of("0123456789") == text.find(':') &&
                         text.front() >= '0' && text.front() <= '9';
  return has_place ? file + ":" + text : text;
}

ErrorCase read_case(const fs::path& path) {
  ErrorCase result;
  result.path = path.string();
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (const auto text = after(line, "# expect: "); !text.empty()) {
      result.expected.push_back(with_file(text, path.filename().string()));
    } else if (const auto kind = after(line, "# load: "); !kind.empty()) {
      result.kind = kind;
    } else if (const auto change = after(line, "# set: "); !change.empty()) {
      const std::size_t equals = change.find('=');
      result.overrides.push_back({change.substr(0, equals), change.substr(equals + 1)});
    }
  }
  return result;
}

void load(const ErrorCase& error_case) {
  const Loader loader = fixture::loader();
  const std::string& path = error_case.path;
  const std::vector<Override>& overrides = error_case.overrides;
  if (error_case.kind == "chip") return (void)loader.chip(path, overrides);
  if (error_case.kind == "link") return (void)loader.link(path, overrides);
  if (error_case.kind == "system") return (void)loader.system(path, overrides);
  if (error_case.kind == "prices") return (void)loader.prices(path, overrides);
  if (error_case.kind == "software") return (void)loader.software(path, overrides);
  if (error_case.kind == "model") return (void)loader.network(path, overrides);
  (void)loader.scenario(path, overrides);
}

/// A diagnostic as the files write it: `FILE:LINE:COL text`, the file without its folder.
std::string as_expected(const Diagnostic& diagnostic) {
  const SourcePlace& place = diagnostic.place;
  if (place.file.empty()) return diagnostic.message;
  if (place.line == 0) return place.file + ": " + diagnostic.message;
  return fs::path(place.file).filename().string() + ":" + std::to_string(place.line) + ":" +
         std::to_string(place.column) + " " + diagnostic.message;
}

std::vector<std::string> diagnostics_of(const ErrorCase& error_case) {
  std::vector<std::string> lines;
  for (const Diagnostic& d : fixture::diagnostics_of([&] { load(error_case); })) {
    lines.push_back(as_expected(d));
  }
  return lines;
}

class BrokenFile : public testing::TestWithParam<std::string> {};

TEST_P(BrokenFile, IsReportedInFull) {
  const ErrorCase error_case = read_case(folder() / (GetParam() + ".yaml"));
  std::vector<std::string> expected = error_case.expected;
  std::vector<std::string> found = diagnostics_of(error_case);
  std::sort(expected.begin(), expected.end());
  std::sort(found.begin(), found.end());
  EXPECT_FALSE(expected.empty()) << "the file expects nothing";
  EXPECT_EQ(found, expected);
}

std::vector<std::string> broken_files() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder())) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Errors, BrokenFile, testing::ValuesIn(broken_files()),
                         [](const auto& case_info) { return case_info.param; });

TEST(BrokenFiles, AreAtLeastTwentyTwo) {
  EXPECT_GE(broken_files().size(), 22U);
}

TEST(BrokenFiles, ComeInTheOrderOfTheFile) {
  const auto lines = diagnostics_of(read_case(folder() / "missing_units.yaml"));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_TRUE(std::is_sorted(lines.begin(), lines.end()));
}

}  // namespace
}  // namespace tandem
