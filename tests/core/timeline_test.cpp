// Does the timeline parse as JSON, say what was recorded, and come out the same twice?
#include "sim/core/timeline.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace tandem {
namespace {

std::string record_once() {
  TimelineRecorder recorder;
  const auto link = recorder.track("network", "link \"0\"\\");
  const auto sm = recorder.track("gpu0", "sm\n0");
  recorder.span(sm, "gemm", Picoseconds(1234567), Picoseconds(3000000));
  recorder.counter(link, "queue", Picoseconds(5), 2.5);
  recorder.span(recorder.track("gpu0", "sm\n0"), "gemm", Picoseconds(3000000),
                Picoseconds(3000001));
  std::ostringstream out;
  recorder.write_chrome_trace(out);
  return out.str();
}

TEST(Timeline, is_json_with_every_event) {
  const auto trace = nlohmann::json::parse(record_once());
  const auto& events = trace.at("traceEvents");
  std::vector<nlohmann::json> spans;
  std::vector<nlohmann::json> counters;
  bool has_escaped_name = false;
  for (const auto& event : events) {
    if (event.at("ph") == "X") spans.push_back(event);
    if (event.at("ph") == "C") counters.push_back(event);
    has_escaped_name |= event.at("ph") == "M" && event.at("args").contains("name") &&
                        event.at("args").at("name") == "link \"0\"\\";
  }
  EXPECT_TRUE(has_escaped_name);
  ASSERT_EQ(spans.size(), 2U);
  ASSERT_EQ(counters.size(), 1U);
  // 1,234,567 ps = 1.234567 us; the span lasts 1,765,433 ps.
  EXPECT_DOUBLE_EQ(spans[0].at("ts"), 1.234567);
  EXPECT_DOUBLE_EQ(spans[0].at("dur"), 1.765433);
  EXPECT_EQ(spans[0].at("name"), "gemm");
  EXPECT_EQ(spans[0].at("tid"), spans[1].at("tid"));
  EXPECT_DOUBLE_EQ(spans[1].at("dur"), 0.000001);
  EXPECT_DOUBLE_EQ(counters[0].at("args").at("value"), 2.5);
  EXPECT_NE(counters[0].at("pid"), spans[0].at("pid"));
}

TEST(Timeline, the_same_events_give_the_same_bytes) {
  EXPECT_EQ(record_once(), record_once());
}

}  // namespace
}  // namespace tandem
