// Numbers that no LPU can have together, refused with the place of the one to change.
#include "models/lpu/chip_check.hpp"

#include <gtest/gtest.h>

#include "models/catalog/catalog.hpp"
#include "sim/config/loader.hpp"

namespace tandem {
namespace {

Loader loader() {
  ModelSchemas schemas;
  for (const ChipModelEntry& entry : chip_catalogue()) schemas[entry.name] = entry.schema;
  return Loader(find_roots(), schemas, chip_problems);
}

using Changes = std::vector<Override>;

/// What is wrong with a shipped chip after some changes; every complaint on a line of its own.
std::string complaints(const std::string& chip, const Changes& changes) {
  try {
    static_cast<void>(loader().chip(chip, changes));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

TEST(ChipCheck, ShippedChipsPass) {
  EXPECT_EQ(complaints("lpu_v1", {}), "");
  EXPECT_EQ(complaints("lp30", {}), "");
}

// 21 x 16 = 336 lanes have the factor 7; 16 x 16 = 256 have none, but planes stay at 320.
TEST(ChipCheck, VectorsMustSumAndFitThePlanes) {
  EXPECT_EQ(complaints("lpu_v1", {{"superlanes", "21"}}),
            "--set superlanes: error: 'superlanes' is 21; sums over its 336 lanes need a number "
            "without the factor 7");
  EXPECT_NE(
      complaints("lpu_v1", {{"superlanes", "16"}})
          .find("error: 'plane_columns' is 320; planes are as wide as a vector: write 256, or "
                "change 'superlanes' from 16"),
      std::string::npos);
  EXPECT_EQ(complaints("lpu_v1", {{"superlanes", "16"}, {"plane_columns", "256"}}), "");
}

// A rotation fills an aligned group of 16 streams, and what is summed comes on 4 more.
TEST(ChipCheck, SumsNeedTwentyStreams) {
  EXPECT_EQ(complaints("lpu_v1", {{"streams_per_direction", "20"}}), "");
  EXPECT_EQ(
      complaints("lpu_v1", {{"streams_per_direction", "19"}}),
      "--set streams_per_direction: error: 'streams_per_direction' is 19; must be at least 20");
}

// Instructions name streams in 10 bits: 32 general ones and 8 x 160 of weights are too many.
TEST(ChipCheck, InstructionsMustBeAbleToNameEveryStream) {
  const Changes wide = {
      {"planes", "16"}, {"weight_streams_per_plane", "160"}, {"mem_slices_per_hemisphere", "200"}};
  EXPECT_NE(complaints("lp30", wide)
                .find("'streams_per_direction' is 32; with 1280 weight streams "
                      "on a side that makes 1312, and instructions can name 1024"),
            std::string::npos);
}

TEST(ChipCheck, PlanesStandInPairsAndLoadInEqualGroups) {
  EXPECT_EQ(
      complaints("lpu_v1", {{"planes", "5"}, {"weight_streams_per_plane", "7"}}),
      "--set planes: error: 'planes' is 5; half of them stand on each side: write an even "
      "number\n--set weight_streams_per_plane: error: 'weight_streams_per_plane' is 7; the 320 "
      "columns of a plane load in equal groups: write a divisor\n2 errors");
  // In one byte two streams of a plane come from the two banks of a slice.
  EXPECT_EQ(
      complaints("lpu_v1", {{"weight_streams_per_plane", "1"}}),
      "--set weight_streams_per_plane: error: 'weight_streams_per_plane' is 1; KV in one byte "
      "loads from both banks of half as many slices: write an even number");
}

// 16 slices of weights, four that move with the loops and two of tables.
TEST(ChipCheck, SlicesHoldWeightsAndWhatIsBesideThem) {
  EXPECT_EQ(complaints("lpu_v1", {{"mem_slices_per_hemisphere", "22"}}), "");
  EXPECT_EQ(complaints("lpu_v1", {{"mem_slices_per_hemisphere", "21"}}),
            "--set mem_slices_per_hemisphere: error: 'mem_slices_per_hemisphere' is 21; 16 weight "
            "streams per plane need at least 22");
}

TEST(ChipCheck, ALUsHoldFifteenResultsUnderWay) {
  EXPECT_EQ(complaints("lpu_v1", {{"latency_vxm_special", "15"}}), "");
  EXPECT_EQ(complaints("lpu_v1", {{"latency_vxm_special", "16"}}),
            "--set latency_vxm_special: error: 'latency_vxm_special' is 16; must be at most 15");
}

}  // namespace
}  // namespace tandem
