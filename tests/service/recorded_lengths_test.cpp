// Runs whose rounds were measured: tokens per round are those that were recorded. One series is
// quoted here, the others are the public acceptance lengths below TANDEM_DATA.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "sim/service/service.hpp"
#include "sim/service/speculation/acceptance.hpp"
#include "tests/service/drafter_scenario.hpp"
#include "tests/support/test_data.hpp"

namespace tandem {
namespace {

/// Lengths by number of drafts from 1 on, of one model and way of asking.
struct RecordedSeries {
  std::string name;
  std::vector<double> lengths;
};

/// Lines `  thinking_on:` begin a series, `    3: 2.49` go on with it.
std::vector<RecordedSeries> read_series(const std::filesystem::path& file) {
  std::vector<RecordedSeries> all;
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {
    const std::size_t first = line.find_first_not_of(' ');
    const std::size_t colon = line.find(':');
    if (first == std::string::npos || line[first] == '#' || colon == std::string::npos) continue;
    if (std::isdigit(static_cast<unsigned char>(line[first])) == 0) {
      all.push_back({file.filename().string() + line, {}});
    } else {
      EXPECT_EQ(std::stoul(line.substr(first)), all.back().lengths.size() + 1) << line;
      all.back().lengths.push_back(std::stod(line.substr(colon + 1)));
    }
  }
  std::erase_if(all, [](const RecordedSeries& series) { return series.lengths.empty(); });
  return all;
}

std::vector<RecordedSeries> recorded() {
  std::vector<RecordedSeries> all;
  const auto folder = test::measured_data() / "configs/spec_decode_acceptance";
  if (!std::filesystem::is_directory(folder)) return all;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".yaml") continue;
    for (RecordedSeries& series : read_series(entry.path())) all.push_back(std::move(series));
  }
  return all;
}

void expect_measured(const RecordedSeries& series) {
  constexpr std::int64_t output = 4000;
  for (const std::size_t drafts : {1u, 3u, 8u}) {
    if (drafts > series.lengths.size()) continue;
    const double length = series.lengths[drafts - 1];
    Scenario s = fakes::drafter_scenario(
        acceptance_of_lengths(series.lengths, static_cast<std::int64_t>(drafts)), output);
    s.placement.mode = PlacementMode::Monolithic;
    s.placement.speculation.drafts = static_cast<std::int64_t>(drafts);
    EXPECT_NEAR(expected_tokens(s.placement.speculation), length, 1e-9)
        << series.name << ", " << drafts << " drafts";
    RunOptions options;
    options.fidelity = Fidelity::Analytical;
    const RunResult result = run(s, fakes::catalogue(), fakes::network(), options);
    const auto rounds = static_cast<double>(result.speculation->rounds);
    const double drawn = 1 + static_cast<double>(result.speculation->accepted) / rounds;
    // No round gives more than drafts + 1 tokens: the deviation is at most half of the drafts.
    const double deviation = static_cast<double>(drafts) / 2;
    EXPECT_NEAR(drawn, length, 4 * deviation / std::sqrt(rounds)) << series.name;
  }
}

// Qwen3.5-397B-A17B in NVFP4, vLLM with its module of multi-token prediction, SPEED-Bench coding,
// thinking on: SemiAnalysis InferenceX, run 27317114007.
TEST(RecordedLengths, RoundsGiveTheQuotedSeries) {
  expect_measured({"qwen3.5", {1.93, 2.73, 3.39, 3.97, 4.41, 4.80, 5.04, 5.21}});
}

TEST(RecordedLengths, RoundsGiveWhatWasMeasured) {
  const std::vector<RecordedSeries> all = recorded();
  if (all.empty()) {
    GTEST_SKIP() << "acceptance lengths are not in TANDEM_DATA: nothing to compare to";
  }
  EXPECT_GE(all.size(), 9u);
  for (const RecordedSeries& series : all) expect_measured(series);
}

}  // namespace
}  // namespace tandem
