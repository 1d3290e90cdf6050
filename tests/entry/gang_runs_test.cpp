// Runs on gangs as a user sees them: bytes between halves of layers against the closed form, and
// ranks one by one against ranks by kind.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "sim/entry/api.hpp"

namespace tandem::entry {
namespace {

using Json = nlohmann::json;

Json run_split(std::vector<Override> overrides) {
  const Context context = make_context();
  RunRequest request;
  request.scenario = "little_tales_afd";
  request.overrides = std::move(overrides);
  return Json::parse(run_scenario(context, request).json);
}

// 16 requests of 64 tokens, the first of each from its prompt: 16 x 63 rows of 128 floats, there
// and back, for each of 4 layers. The path is Ethernet, Ethernet, PCIe.
TEST(SplitTraffic, EveryRowCrossesTwicePerLayer) {
  constexpr double bytes = 16.0 * 63 * 128 * 4 * 2 * 4;
  const Json result = run_split({});
  EXPECT_NEAR(result["links"]["pcie4_x16"]["bytes"].get<double>(), bytes, 1);
  EXPECT_NEAR(result["links"]["ethernet_400g"]["bytes"].get<double>(), 2 * bytes, 2);
}

// Odd batches do not come out even in micro-batches; the rows that cross are the same.
TEST(SplitTraffic, MicroBatchesMoveTheSameBytes) {
  const Json two = run_split({{"traffic.concurrency", "3"}, {"traffic.requests", "15"}});
  const Json one = run_split({{"traffic.concurrency", "3"},
                              {"traffic.requests", "15"},
                              {"placement.attention.micro_batches", "1"}});
  constexpr double bytes = 15.0 * 63 * 128 * 4 * 2 * 4;
  EXPECT_NEAR(two["links"]["pcie4_x16"]["bytes"].get<double>(), bytes, 1);
  EXPECT_NEAR(one["links"]["pcie4_x16"]["bytes"].get<double>(), bytes, 1);
}

// The LPUs' clock moves what is spent in their blocks and waiting for their slots, and nothing
// else, however far passes are above their floors.
TEST(SplitTraffic, InputsOfEitherSideWeighByItsTime) {
  const Json result = run_split({});
  std::map<std::string, double> elasticity;
  for (const Json& input : result["provenance"]) {
    elasticity[input["parameter"]] = input["elasticity"].get<double>();
  }
  const Json& shares = result["pools"]["decode"]["time_shares"];
  const auto share = [&](const char* part) { return shares[part].get<double>(); };
  const double blocks = (share("feed_forward") + share("slot_wait")) / (1 - share("wait"));
  EXPECT_GT(blocks, 0.05);
  // Prompts, a few percent of a request's time, run on GPUs alone.
  EXPECT_NEAR(elasticity.at("chips.lpu_v1.clock"), -blocks, 0.05 * blocks);
}

Json run_on_gang(bool all_ranks, std::vector<Override> overrides) {
  RunRequest request;
  request.scenario = "llama70b_gpu";
  request.overrides = {{"traffic.requests", "4"},
                       {"traffic.concurrency", "4"},
                       {"traffic.prompt_tokens", "256"},
                       {"traffic.output_tokens", "4"}};
  request.overrides.insert(request.overrides.end(), overrides.begin(), overrides.end());
  request.all_ranks = all_ranks;
  Json result = Json::parse(run_scenario(make_context(), request).json);
  result.erase("run");
  return result;
}

// Eight ranks with equal shares: one of them stands for all, to the picosecond.
TEST(AllRanks, EqualRanksOneByOneGiveTheSameResult) {
  EXPECT_EQ(run_on_gang(true, {}), run_on_gang(false, {}));
}

// Four attention groups of two ranks and three requests: groups that have none differ in kind.
TEST(AllRanks, GroupsWithAndWithoutRequestsToo) {
  const std::vector<Override> groups = {
      {"placement.tensor", "2"}, {"placement.attention_data", "4"}, {"traffic.concurrency", "3"}};
  EXPECT_EQ(run_on_gang(true, groups), run_on_gang(false, groups));
}

}  // namespace
}  // namespace tandem::entry
