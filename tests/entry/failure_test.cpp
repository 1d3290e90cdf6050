// Which failure ends with which exit code.
#include "sim/entry/failure.hpp"

#include <gtest/gtest.h>

#include <sstream>

#include "models/lpu/program_walk.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::entry {
namespace {

struct Report {
  int code = 0;
  std::string text;
};

template <class Failure>
Report report_of(const Failure& failure) {
  std::ostringstream out;
  const int code = report_failure(std::make_exception_ptr(failure), out);
  return {code, out.str()};
}

TEST(Failures, WrongInputIsTwo) {
  const Report report = report_of(ConfigError(SourcePlace{"a.yaml", 3, 7}, "no such key"));
  EXPECT_EQ(report.code, 2);
  EXPECT_EQ(report.text, "a.yaml:3:7: error: no such key\n");
}

TEST(Failures, WhatAModelDoesNotSupportIsTwo) {
  const Report report = report_of(ModelError("lpu.compiler: no such layer"));
  EXPECT_EQ(report.code, 2);
  EXPECT_EQ(report.text, "error: lpu.compiler: no such layer\n");
}

// Nothing that a user writes makes the compiler break a rule of the machine.
TEST(Failures, AProgramOfOurOwnThatBreaksARuleIsThree) {
  const Report report = report_of(lpu::ScheduleError("H2", 5, 40, "lpu MEM_W5 at cycle 40: H2"));
  EXPECT_EQ(report.code, 3);
  EXPECT_EQ(
      report.text,
      "internal error: the LPU compiler made a program that breaks a rule of the machine: lpu "
      "MEM_W5 at cycle 40: H2\n");
}

TEST(Failures, EverythingElseIsThree) {
  const Report report = report_of(std::logic_error("cycles differ"));
  EXPECT_EQ(report.code, 3);
  EXPECT_EQ(report.text, "internal error: cycles differ\n");
}

}  // namespace
}  // namespace tandem::entry
