#include "sim/entry/lpu_points.hpp"

#include <gtest/gtest.h>

#include "models/lpu/chip_params.hpp"
#include "sim/entry/lpu_products.hpp"

namespace tandem::entry {
namespace {

constexpr const char* header =
    "id,model,fabric,tensor,chips,context,weight_bytes,kv_bytes,tokens_per_s,mark,source,note\n";

TEST(LpuPoints, EveryBrokenCellIsReportedWithItsPlace) {
  const std::string text = std::string(header) +
                           "a,llama-2-7b,lpu_v1_quadfour,8,,2048,1,2,750,vendor,s,\n"
                           "b,llama-2-7b,lpu_v1_quadfour,8,12,0,1,2,fast,vendor,s,\n";
  try {
    static_cast<void>(read_points("p.csv", text));
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    ASSERT_EQ(error.diagnostics().size(), 3U);
    EXPECT_EQ(error.diagnostics()[0].message, "chips: no multiple of the tensor group");
    EXPECT_EQ(error.diagnostics()[1].message, "context: '0' is no whole number from 1 to 10000000");
    EXPECT_EQ(error.diagnostics()[2].message,
              "tokens_per_s: 'fast' is no whole number from 1 to 10000000");
    EXPECT_EQ(error.diagnostics()[2].place.line, 3);
  }
}

TEST(LpuPoints, ATableWithoutAColumnSaysWhich) {
  EXPECT_THROW(static_cast<void>(read_points("p.csv", "id,model\nx,y\n")), ConfigError);
}

std::vector<Diagnostic> complaints_about(const std::function<void()>& action) {
  try {
    action();
  } catch (const ConfigError& error) {
    return error.diagnostics();
  }
  return {};
}

// Of three points the first names no model, the second no fabric, and the third takes 27 chips a
// group, which share no 32 heads: every complaint stands at the cell to change.
TEST(LpuPoints, PointsThatCannotBeAreReportedAtTheirCells) {
  const Context context = make_context();
  const std::string file = testing::TempDir() + "points.csv";
  write_output(file, [](std::ostream& out) {
    out << header << "a,llama-9,lpu_v1_quadfour,8,,2048,1,2,750,vendor,s,\n"
        << "b,llama-2-7b,quad,8,,2048,1,2,750,vendor,s,\n"
        << "c,llama-2-7b,lpu_v1_quadfour,1000,,2048,1,2,750,vendor,s,\n";
  });
  const auto problems = complaints_about([&] { static_cast<void>(points_page(context, file)); });
  ASSERT_EQ(problems.size(), 3U);
  EXPECT_EQ(format_diagnostic(problems[0]).substr(0, file.size() + 12), file + ":2:3: error:");
  EXPECT_EQ(format_diagnostic(problems[1]).substr(0, file.size() + 13), file + ":3:14: error:");
  EXPECT_EQ(format_diagnostic(problems[2]).substr(0, file.size() + 13), file + ":4:30: error:");
}

TEST(LpuProducts, ProductsThatCannotBeAreReportedAtTheirCells) {
  const Context context = make_context();
  const std::string file = testing::TempDir() + "products.csv";
  write_output(file, [](std::ostream& out) {
    out << "id,chip,type,products,stated,unit,mark,source,note\n"
        << "a,h100_sxm,int8,1:1:320:320,5,us,v,s,\n"
        << "b,lpu_v1,int8,1:65536:65536:65536,5,us,v,s,\n";
  });
  const auto problems =
      complaints_about([&] { static_cast<void>(products_section(context, file)); });
  ASSERT_EQ(problems.size(), 2U);
  EXPECT_EQ(format_diagnostic(problems[0]), file + ":2:3: error: chip 'h100_sxm' is no LPU");
  EXPECT_EQ(format_diagnostic(problems[1]),
            file + ":3:15: error: the weights of a product do not fit the SRAM");
}

TEST(LpuPoints, AChipIsAnEstimateWhereItsShapeIsAssumed) {
  const Context context = make_context();
  Chip chip = context.loader.chip("lpu_v1");
  EXPECT_FALSE(is_estimate(chip));
  EXPECT_TRUE(is_estimate(context.loader.chip("lp30")));
  Parameter planes = chip.parameters.at("planes");
  planes.basis = Basis::Assumed;
  chip.parameters.set("planes", planes);
  EXPECT_TRUE(is_estimate(chip));
}

class ShippedPoints : public testing::Test {
 protected:
  Context context_ = make_context();
  std::string file_ = context_.loader.roots().workloads + "/published/lpu_tokens.csv";

  double bound(const PublishedPoint& point) {
    const Fabric fabric = context_.loader.fabric(point.fabric);
    const Chip chip = context_.loader.chip(fabric.chip);
    const auto choice = predict(point, context_.loader.network(point.model), fabric, chip);
    return chip.parameters.value("clock") / static_cast<double>(choice.cycles);
  }
};

// Silicon without software is an upper bound of every figure that was measured on it.
TEST_F(ShippedPoints, NoStatedSpeedIsAboveTheBound) {
  for (const PublishedPoint& point : read_points(file_, read_file(file_))) {
    EXPECT_GE(bound(point), point.tokens_per_s) << point.id;
  }
}

// The bound counts cycles, so the clock changes none of them.
TEST_F(ShippedPoints, TheClockChangesNoCycles) {
  const PublishedPoint point = read_points(file_, read_file(file_)).front();
  const Fabric fabric = context_.loader.fabric(point.fabric);
  const NeuralNetwork network = context_.loader.network(point.model);
  Chip chip = context_.loader.chip(fabric.chip);
  const auto before = predict(point, network, fabric, chip).cycles;
  Parameter clock = chip.parameters.at("clock");
  clock.value *= 2;
  chip.parameters.set("clock", clock);
  EXPECT_EQ(predict(point, network, fabric, chip).cycles, before);
}

// More chips than needed: one more hop of the hidden state for every stage beyond.
TEST_F(ShippedPoints, FurtherStagesAddHopsAndNothingElse) {
  PublishedPoint point = read_points(file_, read_file(file_)).front();
  const Fabric fabric = context_.loader.fabric(point.fabric);
  const NeuralNetwork network = context_.loader.network(point.model);
  const Chip chip = context_.loader.chip(fabric.chip);
  const auto cycles = [&](std::int64_t chips) {
    point.chips = chips;
    return predict(point, network, fabric, chip).cycles;
  };
  const auto one = cycles(584) - cycles(576);
  EXPECT_GT(one, 0);
  EXPECT_EQ(cycles(600) - cycles(576), 3 * one);
}

TEST(LpuProducts, EveryBrokenCellIsReported) {
  const std::string text =
      "id,chip,type,products,stated,unit,mark,source,note\n"
      "a,lpu_v1,float16,2:1:320:320;1:1:2,5,us,v,s,\n"
      "b,lpu_v1,float99,1:1:320:320,x,hours,v,s,\n";
  try {
    static_cast<void>(read_products("p.csv", text));
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    ASSERT_EQ(error.diagnostics().size(), 4U);
    EXPECT_EQ(error.diagnostics()[0].message, "'1:1:2' is not times:m:k:n");
    EXPECT_EQ(error.diagnostics()[3].message, "'hours' where us or percent of peak is needed");
  }
}

TEST_F(ShippedPoints, PartsAddUpByTheirTimes) {
  const Chip chip = context_.loader.chip("lpu_v1");
  const auto rows =
      read_products("p.csv",
                    "id,chip,type,products,stated,unit,mark,source,note\n"
                    "a,lpu_v1,int8,1:4:320:320,5,us,v,s,\nb,lpu_v1,int8,1:8:320:640,5,us,v,s,\n"
                    "c,lpu_v1,int8,3:4:320:320;2:8:320:640,5,us,v,s,\n");
  EXPECT_EQ(cycles_of(rows[2], chip), 3 * cycles_of(rows[0], chip) + 2 * cycles_of(rows[1], chip));
}

}  // namespace
}  // namespace tandem::entry
