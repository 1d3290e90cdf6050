#include "sim/config/request_trace.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "sim/core/diagnostics.hpp"

namespace tandem::config {
namespace {

/// A file that is gone when the test is over.
class File {
 public:
  File(const std::string& ending, const std::string& text)
      : path_(std::filesystem::temp_directory_path() /
              ("trace_" + std::to_string(getpid()) + ending)) {
    std::ofstream(path_) << text;
  }
  ~File() { std::filesystem::remove(path_); }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

RequestTrace read(const File& file, const TraceColumns& columns) {
  Problems problems;
  RequestTrace trace = read_trace(file.path(), columns, {"s.yaml", 3, 7}, problems);
  problems.throw_if_any();
  return trace;
}

std::vector<std::string> complaints(const File& file, const TraceColumns& columns) {
  std::vector<std::string> texts;
  try {
    static_cast<void>(read(file, columns));
  } catch (const ConfigError& error) {
    for (const Diagnostic& problem : error.diagnostics()) {
      texts.push_back(format_diagnostic(problem));
    }
  }
  return texts;
}

TraceColumns own_columns() {
  TraceColumns columns;
  columns.arrival = "t";
  columns.prompt = "in";
  columns.output = "out";
  columns.prefix = "blocks";
  columns.prefix_block_tokens = 10;
  columns.priority = "level";
  return columns;
}

TEST(RequestTrace, ReadsDatesOfTheAzureTracesToTheTenthOfAMicrosecond) {
  const File file(".csv",
                  "TIMESTAMP,ContextTokens,GeneratedTokens\n"
                  "2023-11-16 23:59:59.6805900,374,44\n"
                  "2023-11-17 00:00:01.6805901,396,0\n");
  const RequestTrace trace = read(file, trace_columns_of("azure"));
  ASSERT_EQ(trace.requests.size(), 2U);
  EXPECT_EQ(trace.requests[0].arrival.count(), 0);
  EXPECT_EQ(trace.requests[1].arrival.count(), 2'000'000'100'000);
  EXPECT_EQ(trace.requests[1].prompt, 396);
  EXPECT_EQ(trace.requests[1].output, 1) << "an answer of no token counts as one";
  EXPECT_DOUBLE_EQ(trace.rate(), 1 / 2.0000001);
  EXPECT_EQ(trace.mean_prompt(), 385);
  EXPECT_EQ(trace.longest(), 418);
}

TEST(RequestTrace, ReadsDatesInUniversalTime) {
  const File file(".csv",
                  "TIMESTAMP,ContextTokens,GeneratedTokens\n"
                  "2024-05-10T00:00:00.25Z,374,44\n"
                  "2024-05-10 00:00:01.25+00:00,396,1\n");
  const RequestTrace trace = read(file, trace_columns_of("azure"));
  ASSERT_EQ(trace.requests.size(), 2U);
  EXPECT_EQ(trace.requests[1].arrival.count(), 1'000'000'000'000);
}

TEST(RequestTrace, MissesAKeyOfPrefixesThatNoLineHas) {
  const File file(".jsonl", "{\"t\": 0, \"in\": 5, \"out\": 2, \"level\": 0}\n");
  const std::vector<std::string> texts = complaints(file, own_columns());
  ASSERT_EQ(texts.size(), 1U);
  EXPECT_NE(texts[0].find("no line has the key 'blocks'"), std::string::npos) << texts[0];
}

TEST(RequestTrace, ReadsBlocksOfMooncakeAsPartsOfThePrompt) {
  const File file(".jsonl",
                  "{\"timestamp\": 3000, \"input_length\": 600, \"output_length\": 5, "
                  "\"hash_ids\": [0, 7]}\n\n"
                  "{\"timestamp\": 1000, \"input_length\": 512, \"output_length\": 6, "
                  "\"hash_ids\": [0]}\n");
  const RequestTrace trace = read(file, trace_columns_of("mooncake"));
  ASSERT_EQ(trace.requests.size(), 2U);
  EXPECT_EQ(trace.requests[0].output, 6) << "put in the order of arrival";
  EXPECT_EQ(trace.requests[1].arrival.count(), 2'000'000'000'000);
  const std::vector<SharedPart>& parts = trace.requests[1].shared;
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].key, 0);
  EXPECT_EQ(parts[0].end, 512);
  EXPECT_EQ(parts[1].key, 7);
  EXPECT_EQ(parts[1].end, 600) << "the last block ends with the prompt";
}

TEST(RequestTrace, ReadsColumnsOfItsUsersNames) {
  const File file(".csv", "in,out,t,blocks,level\n25,2,1.5,4 5 6,-1\n5,1,0.25,9,2\n");
  const RequestTrace trace = read(file, own_columns());
  EXPECT_EQ(trace.requests[0].prompt, 5);
  EXPECT_EQ(trace.requests[1].arrival.count(), 1'250'000'000'000);
  ASSERT_EQ(trace.requests[1].shared.size(), 3U);
  EXPECT_EQ(trace.requests[1].shared[2].key, 6);
  EXPECT_EQ(trace.requests[1].shared[2].end, 25);
  EXPECT_EQ(trace.requests[1].priority, -1);
}

TEST(RequestTrace, NumbersSessionsAsTheyCome) {
  const File table(".csv", "t,in,out,user\n1,5,1,ann\n2,5,1,\n3,5,1,bob\n4,5,1,ann\n");
  const File lines(".jsonl",
                   "{\"t\": 1, \"in\": 5, \"out\": 1, \"user\": \"bob\"}\n"
                   "{\"t\": 2, \"in\": 5, \"out\": 1, \"user\": 17}\n");
  TraceColumns columns;
  columns.arrival = "t";
  columns.prompt = "in";
  columns.output = "out";
  columns.session = "user";
  std::vector<std::int64_t> sessions;
  for (const File* file : {&table, &lines}) {
    for (const TracedRequest& request : read(*file, columns).requests) {
      sessions.push_back(request.session);
    }
  }
  EXPECT_EQ(sessions, (std::vector<std::int64_t>{0, -1, 1, 0, 0, 1}));
}

TEST(RequestTrace, ComplainsAboutEveryBrokenCellWithItsPlace) {
  const File file(".csv", "t,in,out,blocks,level\nnoon,5,1,,1\n1,0,1,,2\n2,5,1.5,x,high\n");
  const auto texts = complaints(file, own_columns());
  ASSERT_EQ(texts.size(), 5U);
  EXPECT_EQ(texts[0].substr(file.path().size()),
            ":2:1: error: arrival is 'noon'; write a number, or a date and time as 2023-11-16 "
            "18:15:46.68");
  EXPECT_NE(texts[1].find(":3:3: error: in is '0'"), std::string::npos);
  EXPECT_NE(texts[2].find(":4:5: error: out is '1.5'"), std::string::npos);
  EXPECT_NE(texts[3].find(":4:9: error: 'x' is no id of a block"), std::string::npos);
  EXPECT_NE(texts[4].find(":4:11: error: priority is 'high'"), std::string::npos);
}

TEST(RequestTrace, ComplainsAboutBrokenLinesMissingKeysAndEmptyFiles) {
  const File lines(".jsonl", "{\"timestamp\": 1\n[1]\n{\"timestamp\": 1, \"input_length\": 3}\n");
  const auto texts = complaints(lines, trace_columns_of("mooncake"));
  ASSERT_EQ(texts.size(), 3U);
  EXPECT_NE(texts[0].find(":1:16: error: not valid JSON"), std::string::npos) << texts[0];
  EXPECT_NE(texts[1].find(":2:1: error: a line must be one object"), std::string::npos);
  EXPECT_NE(texts[2].find(":3:1: error: no key 'output_length'"), std::string::npos);
  const File empty(".csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n");
  ASSERT_EQ(complaints(empty, trace_columns_of("azure")).size(), 1U);
  EXPECT_NE(complaints(empty, trace_columns_of("azure"))[0].find("s.yaml:3:7: error: the trace"),
            std::string::npos);
  const File other(".csv", "TIMESTAMP,Context,GeneratedTokens\n1,1,1\n");
  EXPECT_NE(complaints(other, trace_columns_of("azure"))[0].find("no column 'ContextTokens'"),
            std::string::npos);
}

}  // namespace
}  // namespace tandem::config
