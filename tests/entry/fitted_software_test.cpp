// Does every fitted constant of every software layer lengthen some operator that it is meant for,
// and shorten none? Those of whole services are in tests/service/host_test.cpp.
#include <gtest/gtest.h>

#include "sim/config/loader.hpp"
#include "sim/describe/schemas.hpp"
#include "sim/entry/kernel_table.hpp"

namespace tandem::entry {
namespace {

struct Row {
  const char* op;
  std::vector<std::pair<const char*, const char*>> cells;
};

/// A row of each kind that frameworks add time to.
const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      {"gemm", {{"m", "64"}, {"n", "4096"}, {"k", "4096"}, {"dtype", "fp8"}}},
      {"gemm", {{"m", "64"}, {"n", "4096"}, {"k", "4096"}, {"dtype", "fp8_block"}}},
      {"bmm", {{"batch", "16"}, {"m", "64"}, {"n", "512"}, {"k", "128"}, {"dtype", "bfloat16"}}},
      {"attention_prefill",
       {{"batch", "1"}, {"q_len", "512"}, {"kv_len", "512"}, {"heads", "8"}, {"kv_heads", "2"}}},
      {"mla_decode", {{"batch", "8"}, {"kv_len", "512"}, {"heads", "16"}}}};
  return all;
}

/// Constants of steps and requests, which operators by themselves do not have.
bool is_of_services(const std::string& key) {
  return key == "step_overhead" || key == "sequence_overhead" || key == "request_overhead" ||
         key == "prompt_token_overhead" || key == "eager_launch" || key == "eager_prompt_launch" ||
         key == "rank_overhead" || key == "launch_overhead";
}

Picoseconds overhead_of(const Row& row, const Software& software) {
  NamedRow named;
  for (const auto& [column, text] : row.cells) named[column] = {text, {}};
  DiagnosticSink sink;
  const KernelRun run = kernel_row(row.op, named, software, sink);
  sink.throw_if_any();
  return run.overhead;
}

TEST(FittedSoftware, EveryConstantOfEveryLayerLengthensWhatItIsFor) {
  const std::string root = TANDEM_SOURCE_DIR;
  const Loader loader({root + "/hw_configs", root + "/workloads"}, {});
  for (const std::string& name : loader.list("software")) {
    const Software software = loader.software(name);
    int fitted = 0, of_services = 0;
    for (const auto& [key, parameter] : software.parameters.all()) {
      if (parameter.basis != Basis::Fitted) continue;
      SCOPED_TRACE(name + " " + key);
      if (is_of_services(key)) {
        ++of_services;
        continue;
      }
      ++fitted;
      Software longer = software;
      Parameter more = parameter;
      more.value *= 1.2;
      longer.parameters.set(key, more);
      int moved = 0;
      for (const Row& row : rows()) {
        const Picoseconds change = overhead_of(row, longer) - overhead_of(row, software);
        EXPECT_GE(change.count(), 0) << row.op;
        moved += change.count() > 0 ? 1 : 0;
      }
      EXPECT_GT(moved, 0);
    }
    EXPECT_LE(fitted, 4) << name;
    EXPECT_LE(fitted + of_services, 6) << name;
  }
}

}  // namespace
}  // namespace tandem::entry
