#include "sim/config/sweep.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <set>

#include "sim/config/unit_text.hpp"

namespace tandem {
namespace {

Sweep sweep_of(const std::string& body) {
  const std::string path = testing::TempDir() + "sweep_test.yaml";
  std::ofstream(path) << "kind: sweep\n" << body;
  return load_sweep({}, path);
}

/// The points' changes as "path=value" texts joined by a blank.
std::vector<std::string> texts_of(const Sweep& sweep) {
  std::vector<std::string> texts;
  for (const SweepPoint& point : sweep.points) {
    std::string text;
    for (const SweepChange& change : point.changes) {
      text += (text.empty() ? "" : " ") + change.change.path + "=" + change.change.value;
    }
    texts.push_back(text);
  }
  return texts;
}

std::string message_of(const std::string& body) {
  try {
    (void)sweep_of(body);
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    return text.substr(text.find("sweep_test.yaml") + 15);
  }
  return "no error";
}

using Texts = std::vector<std::string>;

TEST(Sweeps, GridsVaryTheLastPathFastest) {
  EXPECT_EQ(texts_of(sweep_of("scenario: s\nvary: {a.b: [1, 2], c: [x, {d: 3}]}\n")),
            (Texts{"a.b=1 c=x", "a.b=1 d=3", "a.b=2 c=x", "a.b=2 d=3"}));
}

TEST(Sweeps, BundlesChangeTheirPathsTogether) {
  EXPECT_EQ(texts_of(sweep_of("scenario: s\nset: {k: [1, 2]}\n"
                              "vary: {shape: [{t: 8, p: 1}, {t: 4, p: {q: 2}}]}\n")),
            (Texts{"k=[1, 2] t=8 p=1", "k=[1, 2] t=4 p={q: 2}"}));
}

TEST(Sweeps, RangesGoByStepsOrByPointsAndKeepTheirUnit) {
  EXPECT_EQ(texts_of(sweep_of("scenario: s\nvary: {a: {from: 1, to: 2, step: 0.5}}\n")),
            (Texts{"a=1", "a=1.5", "a=2"}));
  // Three points from 1 to 4 by equal factors: 1, 2, 4.
  EXPECT_EQ(texts_of(sweep_of(
                "scenario: s\nvary: {a: {from: 1 TB/s, to: 4 TB/s, points: 3, scale: log}}\n")),
            (Texts{"a=1 TB/s", "a=2 TB/s", "a=4 TB/s"}));
  // 1, sqrt(2), 2 as whole numbers are 1, 1, 2: each once.
  EXPECT_EQ(texts_of(sweep_of(
                "scenario: s\nvary: {a: {from: 1, to: 2, points: 3, scale: log, whole: true}}\n")),
            (Texts{"a=1", "a=2"}));
}

TEST(Sweeps, PartsFollowOneAnotherWithScenariosOfTheirOwn) {
  const Sweep sweep = sweep_of(
      "set: {n: 5}\ngrids:\n  - {scenario: s, vary: {a: [1]}}\n"
      "  - {scenario: t, set: {m: 6}, vary: {b: [2]}}\n");
  EXPECT_EQ(texts_of(sweep), (Texts{"n=5 a=1", "n=5 m=6 b=2"}));
  EXPECT_EQ(sweep.points[0].scenario, "s");
  EXPECT_EQ(sweep.points[1].scenario, "t");
}

TEST(Sweeps, LatinHypercubesHaveOneValueInEachPart) {
  const Sweep sweep = sweep_of(
      "scenario: s\nsample: {points: 8, seed: 3, over: {a: {from: 0, to: 8}, b: [p, q]}}\n");
  ASSERT_EQ(sweep.points.size(), 8U);
  std::set<int> parts;
  std::map<std::string, int> words;
  for (const SweepPoint& point : sweep.points) {
    parts.insert(static_cast<int>(std::floor(*plain_number(point.changes[0].change.value))));
    ++words[point.changes[1].change.value];
  }
  EXPECT_EQ(parts, (std::set<int>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(words["p"], 4);  // eight strata over two words
}

TEST(Sweeps, APathDrawsTheSameWhateverStandsBesideIt) {
  const std::string head = "scenario: s\nsample: {method: random, points: 4, over: {";
  const Sweep alone = sweep_of(head + "a: {from: 0, to: 1}}}\n");
  const Sweep beside = sweep_of(head + "z: [1, 2], a: {from: 0, to: 1}}}\n");
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(alone.points[i].changes[0].change.value, beside.points[i].changes[1].change.value);
  }
  EXPECT_NE(alone.points[0].changes[0].change.value, alone.points[1].changes[0].change.value);
}

TEST(Sweeps, MistakesAreToldAllAtOnceAtTheirPlaces) {
  EXPECT_EQ(message_of("scenario: s\nvary: {a: 3}\nconstraints: ['a <']\nobjectives: [b]\n"),
            ":3:8: error: 'a' needs a list of values, of bundles or a range, e.g. [1, 8, 64], "
            "[{a.b: 1, c.d: 2}, {a.b: 2, c.d: 4}] or {from: 1, to: 9, step: 2}\n" +
                testing::TempDir() +
                "sweep_test.yaml:4:15: error: the expression 'a <': something is missing at its "
                "end; write e.g. 'chips <= 64 and tpot_ms.p99 < 50'\n" +
                testing::TempDir() +
                "sweep_test.yaml:5:14: error: an objective is {maximize: FIGURE} or {minimize: "
                "FIGURE}\n3 errors");
  EXPECT_EQ(message_of("scenario: s\nvary: {a: {from: 1 s, to: 2 ms, points: 3}}\n"),
            ":3:27: error: 'a' goes from 's' to 'ms'; write both in the same unit");
  EXPECT_EQ(message_of("scenario: s\n"), ":1:1: error: a sweep needs 'vary' or 'sample'");
}

std::optional<ExpressionValue> named_value(const std::string& name) {
  if (name == "three") return 3.0;
  if (name == "a.word") return std::string("fp8");
  if (name == "limit") return value_of_text("4 ms");
  if (name == "tpot_ms") return UnitNumber{3.5, 1e-3, Dimension::Time, true};
  if (name == "power_w") return UnitNumber{700, 1, Dimension::Power, true};
  return std::nullopt;
}

std::optional<bool> holds(const std::string& text) {
  return Expression(text, {}).holds(named_value);
}

std::optional<std::string> mismatch(const std::string& text) {
  return Expression(text, {}).mismatch(named_value);
}

TEST(Expressions, BindAsInArithmetic) {
  EXPECT_EQ(holds("three + 2 * 4 == 11"), true);
  EXPECT_EQ(holds("(three + 2) * 4 == 20"), true);
  EXPECT_EQ(holds("8 - 4 - 2 == 2"), true);
  EXPECT_EQ(holds("8 / 4 / 2 == 1"), true);
  EXPECT_EQ(holds("-three < 0 and not three < 0"), true);
  // `and` before `or`: true or (true and false).
  EXPECT_EQ(holds("three == 3 or three == 3 and three == 4"), true);
  EXPECT_EQ(holds("a.word == 'fp8'"), true);
  EXPECT_EQ(holds("a.word != 'fp8'"), false);
}

// A figure of 3.5 ms, a path that is set to "4 ms".
TEST(Expressions, CompareQuantitiesWhateverTheirUnits) {
  for (const char* text :
       {"tpot_ms < limit", "limit > tpot_ms", "tpot_ms < 4 ms", "tpot_ms > 3400 us",
        "tpot_ms < 0.0036 s and tpot_ms > 0.0034 s", "tpot_ms < 3.6", "tpot_ms > 3.4",
        "limit == 0.004 s", "limit == '4000 us'", "limit != 5 ms", "tpot_ms + 0.6 ms > limit",
        "limit - tpot_ms < 0.6", "2 * tpot_ms == 7", "tpot_ms * 2 > limit", "limit / 2 < tpot_ms",
        "tpot_ms / limit == 0.875", "-tpot_ms < 0", "50 % == 0.5", "3 TB/s > 2999 GB/s"}) {
    EXPECT_EQ(holds(text), true) << text;
  }
  EXPECT_EQ(holds("tpot_ms < 3 ms"), false);
  EXPECT_EQ(holds("limit < 3 ms"), false);
}

TEST(Expressions, SayNothingOfQuantitiesThatDoNotCompare) {
  for (const char* text : {"limit < 5", "tpot_ms < 5 W", "limit < a.word", "limit + 1 < 5 ms",
                           "tpot_ms < power_w", "tpot_ms + power_w > 0"}) {
    EXPECT_EQ(holds(text), std::nullopt) << text;
  }
}

TEST(Expressions, SayWhatDoesNotCompareAndWhatToWrite) {
  EXPECT_EQ(mismatch("three < 4 and tpot_ms <= 4 W"),
            "'tpot_ms' is a time and '4 W' is a power; write e.g. 'tpot_ms <= 3.5 ms'");
  EXPECT_EQ(mismatch("5 > limit"),
            "'5' is a plain number and 'limit' is a time; write e.g. '4 ms > limit'");
  EXPECT_EQ(mismatch("three >= 2 req/s"),
            "'three' is a plain number and '2 req/s' is a request rate; write e.g. 'three >= 3'");
  EXPECT_EQ(mismatch("2 * (tpot_ms + power_w) < 4"),
            "'tpot_ms' is a time and 'power_w' is a power; write e.g. 'tpot_ms + 3.5 ms'");
  EXPECT_EQ(mismatch("tpot_ms < -(3 W)"),
            "'tpot_ms' is a time and '-3 W' is a power; write e.g. 'tpot_ms < 3.5 ms'");
  EXPECT_EQ(mismatch("limit * 4 ms < 1"),
            "'limit' is a time and '4 ms' is a time; '*' has one quantity at most, on its left");
  EXPECT_EQ(mismatch("tpot_ms < 'fast'"),
            "'tpot_ms' is a time and 'fast' is a word; write e.g. 'tpot_ms < 3.5 ms'");
}

// What a name has no value for, words that a path may have beside numbers, and what a run may give.
TEST(Expressions, FindNoFaultWithWhatMayCompare) {
  for (const char* text :
       {"nobody < 4 W", "a.word == 3", "three == 'auto'", "limit == '4000 us'", "tpot_ms < 4",
        "three / (three - 3) > 1", "power_w / tpot_ms > 2", "1 / tpot_ms > 3", "2 * limit < 1 s",
        "limit / 4 ms < 2", "not tpot_ms < limit", "power_w * tpot_ms < 5000"}) {
    EXPECT_EQ(mismatch(text), std::nullopt) << text;
  }
}

TEST(Expressions, SayNothingWhereANameHasNoValue) {
  EXPECT_EQ(holds("nobody < 3"), std::nullopt);
  EXPECT_EQ(holds("three / 0 > 1"), std::nullopt);
  EXPECT_EQ(holds("a.word < 3"), std::nullopt);
}

TEST(Expressions, RefuseWhatIsNone) {
  for (const char* text : {"", "1 +", "(1", "1 2", "a = 3", "1 < 2 < 3", "'open", "a # b", "* 3"}) {
    EXPECT_THROW(Expression(text, {}), ConfigError) << text;
  }
}

std::string complaint_of(const std::string& text) {
  try {
    (void)Expression(text, {});
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Expressions, SayHowToWriteChainsAndRates) {
  EXPECT_EQ(
      complaint_of("1 < three + 1 <= 2"),
      "error: the expression '1 < three + 1 <= 2': comparisons do not chain; write '1 < (three "
      "+ 1) and (three + 1) <= 2'");
  EXPECT_NE(
      complaint_of("usd_per_hour < 120 USD/day").find("'120 USD/day' has no unit that is known"),
      std::string::npos);
  EXPECT_EQ(complaint_of("usd_per_hour < 120 USD/year and 8 GB/day_size > 3"), "no error");
}

}  // namespace
}  // namespace tandem
