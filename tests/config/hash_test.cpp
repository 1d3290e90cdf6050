#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "tests/config/fixture.hpp"

namespace tandem {
namespace {

using fixture::loader;

/// Writes a scenario into a folder of its own and gives the hash of what it says.
std::string hash_of(const std::string& text) {
  namespace fs = std::filesystem;
  const fs::path folder =
      fs::temp_directory_path() / ("tandem_hash_test_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const fs::path path = folder / "s.yaml";
  std::ofstream(path) << text;
  const std::string hash = loader().scenario(path.string()).config_hash;
  fs::remove_all(folder);
  return hash;
}

TEST(ConfigHash, DoesNotDependOnHowTheFileIsWritten) {
  const std::string plain = hash_of(
      "kind: scenario\nmodel: tiny\nsystem: box\nplacement: {mode: monolithic, pool: gpu}\n"
      "traffic: {arrivals: closed, concurrency: 8, prompt_tokens: 64, output_tokens: 32}\nslo: "
      "{ttft_p99: 500 ms}\n");
  EXPECT_EQ(plain, hash_of("# other order, comments, units, layout and explicit defaults\n"
                           "slo:\n  ttft_p99: 0.5 s   # half a second\n"
                           "traffic:\n  prompt_tokens: 64\n  output_tokens: 32\n  concurrency: 8\n "
                           " arrivals: closed\n"
                           "placement: {pool: gpu, tensor: 1, mode: 'monolithic'}\n"
                           "seed: 1\nsystem: {name: box}\nprices: default_2026\nmodel: tiny\n"
                           "kind: scenario\n"));
}

TEST(ConfigHash, ChangesWithEveryValue) {
  const std::vector<Override> changes = {
      {"model.layers", "5"},
      {"model.norm.epsilon", "1e-6"},
      {"model.attention.kv_heads", "4"},
      {"model.ffn.intermediate", "321"},
      {"model.checkpoint_format", "float16"},
      {"model.rope.theta", "20000"},
      {"model.rope.layout", "half_split"},
      {"model.tied_embeddings", "true"},
      {"model.source", "guess"},
      {"system.groups.gpu.count", "16"},
      {"system.groups.gpu.chips_per_node", "4"},
      {"system.groups.gpu.topology", "mesh"},
      {"system.groups.gpu.link", "net"},
      {"system.groups.gpu.scale_out", "wire"},
      {"system.bridges.gpu_lpu.lanes", "2"},
      {"system.bridges.gpu_lpu.links", "[wire, net]"},
      {"system.host_power", "1 kW"},
      {"system.chips.big.bandwidth", "3.36 TB/s"},
      {"system.chips.small.sram", "230 MB"},
      {"system.chips.big.memory", "{value: 80 GB, source: guess, basis: datasheet}"},
      {"system.chips.big.units", "{value: 132, source: maker-2026, basis: assumed}"},
      {"system.links.wire.latency", "501 ns"},
      {"placement.prefill.pipeline", "2"},
      {"placement.prefill.replicas", "3"},
      {"placement.decode.head_chips", "1"},
      {"placement.decode.precision.weights", "fp8"},
      {"placement.decode.precision.kv_cache", "fp8"},
      {"placement.decode.precision.activations", "bfloat16"},
      {"serving.max_batch_tokens", "4096"},
      {"serving.max_sequences", "8"},
      {"serving.kv_block_tokens", "32"},
      {"serving.router", "round_robin"},
      {"traffic.concurrency", "9"},
      {"traffic.prompt_tokens", "65"},
      {"traffic.output_tokens", "33"},
      {"traffic.length_spread", "10 %"},
      {"traffic.requests", "11"},
      {"slo.ttft_p99", "501 ms"},
      {"slo.tpot_p99", "null"},
      {"prices.electricity", "0.09 USD/kWh"},
      {"prices.chips.big.rent", "3 USD/h"},
      {"software.step_overhead", "90 us"},
      {"seed", "2"},
      {"audit_steps", "299"},
  };
  std::set<std::string> hashes = {loader().scenario("split").config_hash};
  for (const Override& change : changes) {
    const std::string hash = loader().scenario("split", {change}).config_hash;
    EXPECT_TRUE(hashes.insert(hash).second) << change.path;
  }
}

TEST(ConfigHash, HangsOnEveryPartOfAMix) {
  const std::vector<std::vector<Override>> changes = {
      {{"models.weak.name", "small"}},
      {{"models.weak.share", "0.5"}, {"models.strong.share", "0.5"}},
      {{"models.strong.model.layers", "4"}},
      {{"models.weak.placement.replicas", "2"}},
      {{"models.strong.serving.max_sequences", "5"}},
      {{"models.strong", "{name: strong, on: weak, share: 0.25, precision: {weights: fp8}}"}},
      {{"models.weak.share", "null"},
       {"models.strong.share", "null"},
       {"routing", "{policy: cascade, thresholds: 0.5}"}},
      {{"models.weak.share", "null"},
       {"models.strong.share", "null"},
       {"routing", "{policy: threshold, thresholds: 0.5}"}},
      {{"models.weak.share", "null"},
       {"models.strong.share", "null"},
       {"routing", "{policy: threshold, thresholds: 0.6}"}}};
  std::set<std::string> hashes = {loader().scenario("mixed").config_hash};
  for (const std::vector<Override>& change : changes) {
    const std::string hash = loader().scenario("mixed", change).config_hash;
    EXPECT_TRUE(hashes.insert(hash).second) << change.front().path;
  }
}

}  // namespace
}  // namespace tandem
