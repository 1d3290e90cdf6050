#include "sim/config/loader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/config/fixture.hpp"

namespace tandem {
namespace {

using fixture::diagnostics_of;
using fixture::loader;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Loader, ReadsAChipWithUnitsAndOrigins) {
  const Chip chip = loader().chip("big");
  EXPECT_EQ(chip.name, "big");
  EXPECT_EQ(chip.model, "gpu");
  const Parameter& bandwidth = chip.parameters.at("bandwidth");
  EXPECT_EQ(bandwidth.value, 3.35e12);
  EXPECT_EQ(bandwidth.source, "maker-2026");
  EXPECT_EQ(bandwidth.basis, Basis::Datasheet);
  EXPECT_EQ(bandwidth.low, 3.2e12);
  EXPECT_EQ(bandwidth.high, 3.4e12);
  EXPECT_EQ(bandwidth.place.line, 4);
  // `efficiency` is left out: its declared fallback stands, and says so.
  EXPECT_EQ(chip.parameters.value("efficiency"), 0.8);
  EXPECT_EQ(chip.parameters.at("efficiency").source, "model-default");
}

TEST(Loader, ExtendsChangesOnlyWhatItNames) {
  const Chip big = loader().chip("big");
  const Chip biggest = loader().chip("biggest");
  EXPECT_EQ(biggest.parameters.value("memory"), 141e9);
  EXPECT_EQ(biggest.parameters.value("efficiency"), 0.9);
  EXPECT_EQ(biggest.parameters.value("bandwidth"), big.parameters.value("bandwidth"));
  ASSERT_EQ(biggest.extends.size(), 3U);
  EXPECT_THAT(biggest.extends[0], HasSubstr("biggest.yaml"));
  EXPECT_THAT(biggest.extends[2], HasSubstr("big.yaml"));
}

TEST(Loader, ASystemHoldsItsChipsAndLinks) {
  const System system = loader().system("pair");
  ASSERT_EQ(system.groups.size(), 2U);
  EXPECT_EQ(system.group("gpu").scale_out, "net");
  EXPECT_EQ(system.group("gpu").switch_kind, "switch");
  // 16 chips times `racks: 2`.
  EXPECT_EQ(system.group("lpu").count, 32);
  EXPECT_EQ(system.group("lpu").scale_out, "wire");
  EXPECT_EQ(system.group("lpu").switch_kind, "mesh");
  ASSERT_EQ(system.bridges.size(), 1U);
  EXPECT_THAT(system.bridges[0].links, ElementsAre("net", "wire"));
  EXPECT_EQ(system.bridges[0].lanes, 4);
  EXPECT_EQ(system.chips.size(), 2U);
  EXPECT_EQ(system.chips.at("small").parameters.value("sram"), 220.0 * 1024 * 1024);
  // 400 Gb/s are 50 GB/s.
  EXPECT_EQ(system.links.at("net").parameters.value("bandwidth"), 50e9);
  EXPECT_EQ(system.parameters.value("host_power"), 4600);
}

TEST(Loader, ReadsANetwork) {
  const NeuralNetwork network = loader().network("tiny");
  EXPECT_EQ(network.layers(), 4);
  ASSERT_EQ(network.kinds.size(), 1U);
  const auto& attention = std::get<GroupedAttention>(network.kinds[0].mixer);
  ASSERT_TRUE(attention.rope.has_value());
  EXPECT_EQ(attention.rope->layout, RopeLayout::Interleaved);
  EXPECT_EQ(attention.rope->rotated, 32);  // the whole head, as nothing is said
  EXPECT_TRUE(std::holds_alternative<std::monostate>(attention.rope->scaling));
  EXPECT_FALSE(network.tied_embeddings);
  EXPECT_EQ(network.norm.epsilon, 1e-5);
  EXPECT_EQ(network.source, "paper-2025");
}

TEST(Loader, ReadsAMonolithicScenario) {
  const Scenario scenario = loader().scenario("base");
  EXPECT_EQ(scenario.name, "base");
  EXPECT_EQ(scenario.placement.mode, PlacementMode::Monolithic);
  EXPECT_EQ(scenario.placement.prefill.pool, "gpu");
  EXPECT_EQ(scenario.placement.decode.pipeline, 2);
  EXPECT_EQ(scenario.placement.decode.precision.weights, ElementType::Fp8E4m3);
  EXPECT_EQ(scenario.placement.decode.precision.kv_cache, ElementType::Bfloat16);
  EXPECT_EQ(scenario.traffic.arrivals, ArrivalKind::Closed);
  EXPECT_EQ(scenario.traffic.concurrency, 8);
  ASSERT_TRUE(scenario.slo.tpot_p99.has_value());
  EXPECT_EQ(scenario.slo.tpot_p99->count(), 25'000'000'000);  // 25 ms in ps
  EXPECT_EQ(scenario.prices.name, "default_2026");
  EXPECT_EQ(scenario.prices.parameters.value("chips.big.capital"), 30000);
  EXPECT_EQ(scenario.software.parameters.value("step_overhead"), 100e-6);
  EXPECT_EQ(scenario.seed, 1U);
}

TEST(Loader, ReadsADisaggregatedScenarioThatExtendsAMonolithicOne) {
  const Scenario scenario = loader().scenario("split");
  EXPECT_EQ(scenario.placement.mode, PlacementMode::Disaggregated);
  EXPECT_EQ(scenario.placement.prefill.replicas, 2);
  EXPECT_EQ(scenario.placement.decode.pool, "lpu");
  EXPECT_EQ(scenario.placement.decode.head_chips, 2);
  EXPECT_EQ(scenario.placement.decode.precision.kv_cache, ElementType::Float16);
  EXPECT_EQ(scenario.traffic.concurrency, 8);
}

TEST(Loader, TrafficMayBeAFile) {
  const Scenario scenario = loader().scenario("base", {{"traffic", "poisson"}});
  EXPECT_EQ(scenario.traffic.arrivals, ArrivalKind::Poisson);
  EXPECT_EQ(scenario.traffic.rate, 4);
}

TEST(Loader, ModelFromCheckpointLeavesTheNetworkEmpty) {
  const Scenario scenario = loader().scenario("base", {{"model", "from_checkpoint"}});
  EXPECT_EQ(scenario.model.name, "from_checkpoint");
  EXPECT_EQ(scenario.model.layers(), 0);
}

TEST(Loader, ListsNamesSorted) {
  EXPECT_THAT(loader().list("chips"), ElementsAre("big", "bigger", "biggest", "small"));
  EXPECT_THAT(loader().list("traffic"), ElementsAre("poisson"));
  const auto found = diagnostics_of([] { (void)loader().list("chip_s"); });
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].message, HasSubstr("did you mean 'chips'?"));
}

TEST(Loader, NamesWhatIsNearAMissingFile) {
  const auto near = diagnostics_of([] { (void)loader().scenario("bass"); });
  ASSERT_EQ(near.size(), 1U);
  EXPECT_EQ(near[0].message, "no scenario 'bass'; did you mean 'base'?");
  const auto far = diagnostics_of([] { (void)loader().chip("quantum_computer"); });
  ASSERT_EQ(far.size(), 1U);
  EXPECT_THAT(far[0].message, HasSubstr("there are big, bigger, biggest, small"));
  const auto path = diagnostics_of(
      [] { (void)loader().scenario(fixture::folder() + "/workloads/scenarios/bse.yaml"); });
  ASSERT_EQ(path.size(), 1U);
  EXPECT_THAT(path[0].message, HasSubstr("did you mean 'base.yaml'?"));
}

TEST(Loader, ScenarioByPathEqualsScenarioByName) {
  const Scenario by_path = loader().scenario(fixture::folder() + "/workloads/scenarios/split.yaml");
  EXPECT_EQ(by_path.config_hash, loader().scenario("split").config_hash);
}

/// A folder of files that is removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder()
      : path_(std::filesystem::temp_directory_path() /
              ("tandem_loader_test_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return (path_ / name).string();
  }

 private:
  std::filesystem::path path_;
};

TEST(Loader, UsersBringTheirOwnFiles) {
  const TemporaryFolder folder;
  (void)folder.write("my_chip.yaml",
                     "kind: chip\nextends: big\n"
                     "units: {value: 64, source: guess, basis: assumed}\n");
  (void)folder.write("my_system.yaml",
                     "kind: system\nextends: box\ngroups: {gpu: {chip: ./my_chip.yaml}}\n");
  const std::string path =
      folder.write("mine.yaml", "kind: scenario\nextends: base\nsystem: ./my_system.yaml\n");
  const Scenario scenario = loader().scenario(path);
  EXPECT_EQ(scenario.system.name, "my_system");
  EXPECT_EQ(scenario.system.group("gpu").chip, "my_chip");
  EXPECT_EQ(scenario.system.chips.at("my_chip").parameters.value("units"), 64);
  EXPECT_EQ(scenario.system.chips.at("my_chip").parameters.value("memory"), 80e9);
}

TEST(Loader, TwoPartsOfOneNameAreRefused) {
  const TemporaryFolder folder;
  (void)folder.write("big.yaml", "kind: chip\nextends: bigger\n");
  const std::string path = folder.write(
      "mine.yaml",
      "kind: system\nextends: box\ngroups: {other: {chip: ./big.yaml, count: 1, link: wire, "
      "source: guess, basis: assumed}}\n");
  const auto found = diagnostics_of([&] { (void)loader().system(path); });
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].message, "'big' and './big.yaml' would both be called 'big'");
  EXPECT_EQ(found[0].place.line, 3);
}

TEST(Loader, AScenarioMayChangeWhatItNames) {
  const TemporaryFolder folder;
  const std::string path =
      folder.write("mine.yaml",
                   "kind: scenario\nextends: split\n"
                   "system: {racks: 3, chips: {big: {power: {value: 650 W, source: guess, basis: "
                   "assumed}}}}\n"
                   "model: {name: tiny, layers: 8}\n");
  const Scenario scenario = loader().scenario(path);
  EXPECT_EQ(scenario.system.name, "pair");
  EXPECT_EQ(scenario.system.group("lpu").count, 48);  // 16 x 3 racks
  EXPECT_EQ(scenario.system.chips.at("big").parameters.value("power"), 650);
  EXPECT_EQ(scenario.model.layers(), 8);
  EXPECT_EQ(scenario.model.hidden, 128);
}

TEST(Loader, ChangesOfPricesGoOnTheDefaultBook) {
  const TemporaryFolder folder;
  const std::string path =
      folder.write("mine.yaml",
                   "kind: scenario\nextends: base\n"
                   "prices: {pue: {value: 1.5, source: guess, basis: assumed}}\n");
  const Scenario scenario = loader().scenario(path);
  EXPECT_EQ(scenario.prices.name, "default_2026");
  EXPECT_EQ(scenario.prices.parameters.value("pue"), 1.5);
  EXPECT_EQ(scenario.prices.parameters.value("chips.big.capital"), 30000);
}

TEST(ConfigReference, NamesEveryNumberOfEveryModel) {
  const std::string page = config_reference(fixture::schemas());
  for (const auto& [model, schema] : fixture::schemas()) {
    for (const ParameterSpec& spec : schema) {
      EXPECT_THAT(page, HasSubstr("| `" + spec.name + "` | "));
    }
  }
  EXPECT_THAT(page, HasSubstr("| `concurrency` | count | 1 | closed: users"));
}

TEST(FindRoots, FindsTheSourceTree) {
  const ConfigRoots roots = find_roots();
  EXPECT_THAT(roots.hw_configs, HasSubstr("hw_configs"));
  EXPECT_FALSE(load_sources(roots).empty());
}

TEST(Loader, AMixHoldsItsModelsWithTheirPlacements) {
  const Scenario mix = loader().scenario("mixed");
  ASSERT_TRUE(mix.is_mix());
  ASSERT_EQ(mix.deployments.size(), 2U);
  EXPECT_EQ(mix.routing.policy, RoutingPolicy::Share);
  const Deployment& weak = mix.deployments[0];
  EXPECT_EQ(weak.name, "weak");
  EXPECT_EQ(weak.share, 0.75);
  EXPECT_EQ(weak.placement.decode.precision.weights, ElementType::Fp8E4m3);
  EXPECT_EQ(weak.serving.max_sequences, 16);  // the scenario's
  const Deployment& strong = mix.deployments[1];
  EXPECT_EQ(strong.model.layers(), 6);
  EXPECT_EQ(strong.placement.prefill.pipeline, 2);
  EXPECT_EQ(strong.serving.max_sequences, 4);
}

TEST(Loader, OverridesCallTheModelsOfAMixByNameOrNumber) {
  const Scenario mix = loader().scenario("mixed", {{"models.weak.share", "0.5"},
                                                   {"models.1.share", "0.5"},
                                                   {"models.strong.model.layers", "4"},
                                                   {"models.0.placement.replicas", "3"}});
  EXPECT_EQ(mix.deployments[0].share, 0.5);
  EXPECT_EQ(mix.deployments[1].share, 0.5);
  EXPECT_EQ(mix.deployments[1].model.layers(), 4);
  EXPECT_EQ(mix.deployments[0].placement.prefill.replicas, 3);
}

TEST(Loader, ATierHasTheModelAndTheChipsOfTheOneItNames) {
  const Scenario mix =
      loader().scenario("mixed", {{"models.strong",
                                   "{name: strong, on: weak, share: 0.25, precision: {weights: "
                                   "bfloat16}}"}});
  const Deployment& host = mix.deployments[0];
  const Deployment& tier = mix.deployments[1];
  ASSERT_TRUE(tier.host);
  EXPECT_EQ(*tier.host, 0U);
  EXPECT_EQ(tier.model.layers(), host.model.layers());
  EXPECT_EQ(tier.serving.max_sequences, 16);
  ASSERT_EQ(host.placement.prefill.tiers.size(), 1U);
  EXPECT_EQ(host.placement.prefill.tiers[0].weights, ElementType::Bfloat16);
  ASSERT_EQ(tier.placement.prefill.tiers.size(), 1U);
  EXPECT_EQ(tier.placement.prefill.tiers[0].weights, ElementType::Fp8E4m3);
}

}  // namespace
}  // namespace tandem
