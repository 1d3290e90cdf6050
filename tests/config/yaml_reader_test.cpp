#include "sim/config/yaml_reader.hpp"

#include <gtest/gtest.h>

#include "tests/config/fixture.hpp"

namespace tandem::config {
namespace {

std::vector<Diagnostic> complaints(const std::string& text) {
  Problems problems;
  (void)parse_yaml(text, "f", problems);
  return fixture::diagnostics_of([&] { problems.throw_if_any(); });
}

TEST(ParseYaml, KeepsThePlaceOfKeysAndValues) {
  Problems problems;
  const Tree tree = parse_yaml("a: 1\nb:\n  - x\n  - {c: null}\n", "f", problems);
  EXPECT_TRUE(problems.empty());
  ASSERT_TRUE(tree.is_map());
  EXPECT_EQ(tree.find("a")->text, "1");
  EXPECT_EQ(tree.find("a")->place.column, 4);
  const Tree& list = *tree.find("b");
  ASSERT_EQ(list.items.size(), 2U);
  EXPECT_EQ(list.items[0].place.line, 3);
  EXPECT_EQ(list.items[0].place.column, 5);
  EXPECT_TRUE(list.items[1].find("c")->is_null());
}

TEST(ParseYaml, QuotedNullIsText) {
  Problems problems;
  const Tree tree = parse_yaml("a: 'null'\nb: ~\nc:\n", "f", problems);
  EXPECT_TRUE(tree.find("a")->is_scalar());
  EXPECT_TRUE(tree.find("b")->is_null());
  EXPECT_TRUE(tree.find("c")->is_null());
}

TEST(ParseYaml, ReportsEveryDuplicateKeyWithItsPlace) {
  const auto found = complaints("a: 1\nb: {c: 1, c: 2}\na: 3\n");
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].place.line, 2);
  EXPECT_EQ(found[0].place.column, 11);
  EXPECT_EQ(found[1].place.line, 3);
  EXPECT_EQ(found[1].message, "duplicate key 'a'; first written at line 1");
}

TEST(ParseYaml, RejectsTheFeaturesThatHideValues) {
  EXPECT_EQ(complaints("base: &x {a: 1}\n").size(), 1U);
  EXPECT_EQ(complaints("base: &x {a: 1}\nb: *x\n").size(), 2U);
  EXPECT_EQ(complaints("a: !!int 3\n").size(), 1U);
  EXPECT_EQ(complaints("a: 1\n---\nb: 2\n").size(), 1U);
  EXPECT_EQ(complaints("[a, b]: 1\n").size(), 1U);
  EXPECT_EQ(complaints("a: 1\n<<: {b: 2}\n").size(), 1U);
}

struct Unfinished {
  const char* text;
  int line;
  int column;
  const char* message;
};

TEST(ParseYaml, TextsThatStopEarlyAreReportedWhereTheyStop) {
  // The third has all its brackets: what is wrong in it is the 3, where a comma or an end belongs.
  for (const Unfinished& unfinished : {
           Unfinished{"a: {b: 1,\n  c: 2", 2, 7, "end of map flow not found; it begins at line 1"},
           Unfinished{"a: {b: 1,\n c: [2\n\n", 2, 7,
                      "end of sequence flow not found; it begins at line 2"},
           Unfinished{"{a: 1,\n\"b\" 3}", 2, 5, "end of map flow not found; it begins at line 1"},
           Unfinished{"a: 'x", 1, 6, "illegal EOF in scalar"},
       }) {
    const auto found = complaints(unfinished.text);
    ASSERT_EQ(found.size(), 1U) << unfinished.text;
    EXPECT_EQ(found[0].place.line, unfinished.line) << unfinished.text;
    EXPECT_EQ(found[0].place.column, unfinished.column) << unfinished.text;
    EXPECT_EQ(found[0].message, std::string("not valid YAML: ") + unfinished.message);
  }
}

TEST(ParseYaml, SurvivesDeepNesting) {
  const std::string deep(100000, '[');
  EXPECT_EQ(complaints(deep).size(), 1U);
}

}  // namespace
}  // namespace tandem::config
