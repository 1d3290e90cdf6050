#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/config/fixture.hpp"

namespace tandem {
namespace {

using fixture::diagnostics_of;
using fixture::loader;
using testing::HasSubstr;

TEST(Overrides, ChangeValuesOfEveryPart) {
  const Scenario scenario = loader().scenario("split", {{"placement.decode.pipeline", "3"},
                                                        {"traffic.concurrency", "4"},
                                                        {"system.groups.lpu.count", "8"},
                                                        {"system.links.net.latency", "5 us"},
                                                        {"model.layers", "6"},
                                                        {"prices.pue", "1.4"},
                                                        {"slo.tpot_p99", "2 ms"},
                                                        {"seed", "7"}});
  EXPECT_EQ(scenario.placement.decode.pipeline, 3);
  EXPECT_EQ(scenario.traffic.concurrency, 4);
  EXPECT_EQ(scenario.system.group("lpu").count, 16);  // 8 x 2 racks
  EXPECT_EQ(scenario.system.links.at("net").parameters.value("latency"), 5e-6);
  EXPECT_EQ(scenario.model.layers(), 6);
  EXPECT_EQ(scenario.prices.parameters.value("pue"), 1.4);
  EXPECT_EQ(scenario.slo.tpot_p99->count(), 2'000'000'000);
  EXPECT_EQ(scenario.seed, 7U);
}

TEST(Overrides, ANumberSetOnTheCommandLineSaysSo) {
  const Scenario scenario = loader().scenario("base", {{"system.chips.big.bandwidth", "4 TB/s"}});
  const Parameter& bandwidth = scenario.system.chips.at("big").parameters.at("bandwidth");
  EXPECT_EQ(bandwidth.value, 4e12);
  EXPECT_EQ(bandwidth.source, "command-line");
  EXPECT_EQ(bandwidth.basis, Basis::Assumed);
  EXPECT_FALSE(bandwidth.low.has_value());  // the range was that of the other number
  const Scenario inner =
      loader().scenario("base", {{"system.chips.big.bandwidth.value", "4 TB/s"}});
  EXPECT_EQ(inner.system.chips.at("big").parameters.at("bandwidth").source, "command-line");
  const Scenario sourced = loader().scenario(
      "base", {{"system.chips.big.bandwidth", "{value: 4 TB/s, source: guess, basis: derived}"}});
  EXPECT_EQ(sourced.system.chips.at("big").parameters.at("bandwidth").source, "guess");
}

TEST(Overrides, ChangeWhatANameRefersTo) {
  EXPECT_EQ(loader().scenario("base", {{"system", "pair"}}).system.name, "pair");
  EXPECT_EQ(loader().scenario("base", {{"system.name", "pair"}}).system.name, "pair");
  const Scenario chip = loader().scenario(
      "base", {{"system.groups.gpu.chip", "bigger"}, {"system.chips.bigger.units", "100"}});
  EXPECT_EQ(chip.system.chips.count("big"), 0U);
  EXPECT_EQ(chip.system.chips.at("bigger").parameters.value("memory"), 141e9);
  EXPECT_EQ(chip.system.chips.at("bigger").parameters.value("units"), 100);
}

TEST(Overrides, TheLastOneWins) {
  const Scenario scenario =
      loader().scenario("base", {{"traffic.concurrency", "2"}, {"traffic.concurrency", "3"}});
  EXPECT_EQ(scenario.traffic.concurrency, 3);
}

TEST(Overrides, OtherArrivalsSupersedeTheFilesLoad) {
  const Scenario scenario =
      loader().scenario("base", {{"traffic.arrivals", "poisson"}, {"traffic.rate", "2 req/s"}});
  EXPECT_EQ(scenario.traffic.rate, 2);
  // Both written on the command line is still a contradiction.
  const auto found = diagnostics_of([] {
    (void)loader().scenario("base", {{"traffic.arrivals", "poisson"},
                                     {"traffic.rate", "2 req/s"},
                                     {"traffic.concurrency", "4"}});
  });
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].place.file, "--set traffic.concurrency");
}

TEST(Overrides, NullRemovesAKey) {
  EXPECT_FALSE(loader().scenario("base", {{"slo.ttft_p99", "null"}}).slo.ttft_p99.has_value());
}

TEST(Overrides, ErrorsNameTheOverride) {
  const auto found = diagnostics_of([] {
    (void)loader().scenario("base", {{"system.chips.big.bandwith", "4 TB/s"},
                                     {"system.chips.huge.bandwidth", "4 TB/s"},
                                     {"placement.pipeline", "two"},
                                     {"trafic.rate", "3"},
                                     {"traffic.requests.mean", "3"},
                                     {"traffic..rate", "3"},
                                     {"seed", " "},
                                     {"slo", "{a: [}"}});
  });
  std::vector<std::string> lines;
  for (const Diagnostic& d : found) lines.push_back(format_diagnostic(d));
  EXPECT_THAT(
      lines,
      testing::UnorderedElementsAre(
          "--set system.chips.big.bandwith: error: unknown key 'bandwith' in chip 'big'; did you "
          "mean 'bandwidth'?",
          "--set system.chips.huge.bandwidth: error: the system has no chip 'huge'; it has big",
          "--set placement.pipeline: error: 'pipeline' needs a number (count), got 'two'; write "
          "e.g. '132'",
          "--set trafic.rate: error: unknown key 'trafic' in scenario 'base'; did you mean "
          "'traffic'?",
          "--set traffic.requests.mean: error: 'requests' has no keys, so no 'mean'",
          "--set traffic..rate: error: the path is dotted words, e.g. traffic.concurrency",
          "--set seed: error: has no value; 'null' removes a key",
          HasSubstr("--set slo: error: not valid YAML: ")));
}

TEST(Overrides, ApplyToSingleDescriptions) {
  const Chip chip = loader().chip("big", {{"bandwidth", "1 TB/s"}});
  EXPECT_EQ(chip.parameters.value("bandwidth"), 1e12);
  const System system =
      loader().system("box", {{"chips.big.power", "600 W"}, {"groups.gpu.count", "16"}});
  EXPECT_EQ(system.chips.at("big").parameters.value("power"), 600);
  EXPECT_EQ(system.group("gpu").count, 16);
}

}  // namespace
}  // namespace tandem
