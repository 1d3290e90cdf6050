// Do errors say where and what, all at once, and do suggestions suggest?
#include "sim/core/diagnostics.hpp"

#include <gtest/gtest.h>

#include "sim/core/hash.hpp"

namespace tandem {
namespace {

TEST(Diagnostics, leave_out_what_is_unknown) {
  EXPECT_EQ(format_diagnostic({{"a.yaml", 14, 3}, "bad"}), "a.yaml:14:3: error: bad");
  EXPECT_EQ(format_diagnostic({{"a.bin", 0, 0}, "bad"}), "a.bin: error: bad");
  EXPECT_EQ(format_diagnostic({{}, "bad"}), "error: bad");
}

TEST(Diagnostics, the_sink_throws_everything_once) {
  DiagnosticSink sink;
  sink.throw_if_any();
  sink.report({"a.yaml", 1, 2}, "first");
  sink.report({"a.yaml", 3, 4}, "second");
  try {
    sink.throw_if_any();
    FAIL() << "nothing was thrown";
  } catch (const ConfigError& error) {
    ASSERT_EQ(error.diagnostics().size(), 2U);
    EXPECT_EQ(error.diagnostics()[1].message, "second");
    EXPECT_STREQ(error.what(), "a.yaml:1:2: error: first\na.yaml:3:4: error: second\n2 errors");
  }
  EXPECT_TRUE(sink.empty());
  sink.throw_if_any();
}

TEST(ClosestMatch, finds_a_slip_and_refuses_a_stranger) {
  const std::vector<std::string> keys{"sram_bandwidth", "sram_capacity", "frequency"};
  EXPECT_EQ(closest_match("sram_bandwith", keys), "sram_bandwidth");
  EXPECT_EQ(closest_match("frequnecy", keys), "frequency");
  EXPECT_EQ(closest_match("colour", keys), "");
  EXPECT_EQ(closest_match("x", {}), "");
}

TEST(ClosestMatch, goes_by_the_first_words_of_names) {
  const std::vector<std::string> chips{"h800", "h100_sxm", "h100_lpu_v1", "big", "bigger"};
  EXPECT_EQ(closest_match("h100", chips), "h100_sxm");
  EXPECT_EQ(closest_match("h801", chips), "h800");
  EXPECT_EQ(closest_match("bigg", chips), "big");
  EXPECT_EQ(closest_match("our", {"our_prices", "ours", "hour"}), "ours");
  EXPECT_EQ(closest_match("tensor_parallel", {"pipeline", "tensor"}), "tensor");
  EXPECT_EQ(closest_match("tensors_of_all", {"pipeline", "tensor"}), "");
}

TEST(Hasher, depends_on_order_length_and_value) {
  EXPECT_EQ(Hasher().add("ab").add("c").value(), Hasher().add("ab").add("c").value());
  EXPECT_NE(Hasher().add("ab").add("c").value(), Hasher().add("a").add("bc").value());
  EXPECT_NE(Hasher().add(1).add(2).value(), Hasher().add(2).add(1).value());
  EXPECT_NE(Hasher().add(0.1).value(), Hasher().add(0.2).value());
  EXPECT_EQ(Hasher().add(1).hex().size(), 16U);
}

}  // namespace
}  // namespace tandem
