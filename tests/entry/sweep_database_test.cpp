#include "sim/entry/sweep_database.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "sim/core/diagnostics.hpp"

namespace tandem::entry {
namespace {

class SweepDatabaseTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "sweep_database_test.db";
    std::filesystem::remove(path_);
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::string path_;
};

TEST_F(SweepDatabaseTest, RemembersFinishedPointsAndForgetsFailedOnes) {
  {
    SweepDatabase database(path_, false);
    database.store({0, "aa", "x=1", "ok", "", R"({"summary":{"rate":2.5,"ttft_ms":{"p99":7}}})"});
    database.store({1, "bb", "x=2", "error", "no such pool", ""});
  }
  const SweepDatabase again(path_, true);
  const auto done = again.finished();
  ASSERT_EQ(done.size(), 1U);
  EXPECT_EQ(*done.begin(), std::make_pair(std::int64_t{0}, std::string("aa")));
}

TEST_F(SweepDatabaseTest, IsLockedWhileOneSweepHoldsIt) {
  const SweepDatabase database(path_, false);
  EXPECT_THROW(SweepDatabase(path_, true), ConfigError);
}

TEST(SummaryColumns, FlattensNestedFiguresAndSkipsNulls) {
  const auto columns =
      summary_columns(R"({"summary":{"a":1,"t":{"p50":2,"p99":null}},"other":{"b":3}})");
  ASSERT_EQ(columns.size(), 2U);
  EXPECT_EQ(columns[0], std::make_pair(std::string("a"), 1.0));
  EXPECT_EQ(columns[1], std::make_pair(std::string("t_p50"), 2.0));
}

}  // namespace
}  // namespace tandem::entry
