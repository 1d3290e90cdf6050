// Damaged files are refused with ConfigError and nothing else.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "sim/core/random.hpp"
#include "tests/config/fixture.hpp"

namespace tandem {
namespace {

namespace fs = std::filesystem;

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// One random edit: a character replaced, removed, doubled, or a piece copied elsewhere.
void damage(std::string& text, RandomStream& random) {
  const std::string alphabet = "{}[]:,-#&*!|>'\"% \n\t0aZ~<";
  const auto pick = [&](std::size_t size) {
    return static_cast<std::size_t>(random.integer(0, static_cast<std::int64_t>(size) - 1));
  };
  const std::size_t at = pick(text.size());
  switch (random.integer(0, 3)) {
    case 0:
      text[at] = alphabet[pick(alphabet.size())];
      break;
    case 1:
      text.erase(at, 1);
      break;
    case 2:
      text.insert(at, 1, alphabet[pick(alphabet.size())]);
      break;
    default:
      text.insert(at, text.substr(pick(text.size()), 12));
      break;
  }
}

class DamagedFile : public testing::TestWithParam<const char*> {};

TEST_P(DamagedFile, LoadsOrThrowsConfigErrorWithPlaces) {
  constexpr int cases = 120;
  constexpr std::uint64_t seed = 7;
  const std::string original = text_of(fixture::folder() + "/" + GetParam());
  const fs::path folder =
      fs::temp_directory_path() / ("tandem_damage_test_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const std::string file = GetParam();
  const fs::path path = folder / ("damaged" + fs::path(file).extension().string());
  const bool is_chip = file.find("chips") != std::string::npos;
  const bool is_scenario = file.find("scenarios") != std::string::npos;
  RandomStream random(seed, GetParam());
  int refused = 0;
  for (int n = 0; n < cases; ++n) {
    std::string text = original;
    const std::int64_t edits = random.integer(1, 4);
    for (std::int64_t edit = 0; edit < edits; ++edit) damage(text, random);
    std::ofstream(path) << text;
    try {
      if (is_chip) {
        (void)fixture::loader().chip(path.string());
      } else if (is_scenario) {
        (void)fixture::loader().scenario(path.string());
      } else {
        (void)fixture::loader().network(path.string());
      }
    } catch (const ConfigError& error) {
      ++refused;
      for (const Diagnostic& d : error.diagnostics()) {
        EXPECT_FALSE(d.place.file.empty()) << "seed " << seed << " case " << n << ": " << d.message;
        EXPECT_GT(d.place.line, 0) << "seed " << seed << " case " << n << ": " << d.message;
      }
    } catch (const std::exception& error) {
      ADD_FAILURE() << "seed " << seed << " case " << n << ": " << error.what() << "\n" << text;
    }
  }
  fs::remove_all(folder);
  EXPECT_GT(refused, cases / 4);
}

INSTANTIATE_TEST_SUITE_P(
    Files, DamagedFile,
    testing::Values("workloads/scenarios/base.yaml", "workloads/scenarios/split.yaml",
                    "hw_configs/chips/big.yaml", "../../../workloads/models/gpt-oss-20b.yaml",
                    "../../../workloads/models/deepseek-v3.2.yaml", "../hugging_face/llama.json",
                    "../hugging_face/gemma4.json"));

}  // namespace
}  // namespace tandem
