#include <gtest/gtest.h>

#include <set>

#include "sim/describe/scenario.hpp"
#include "sim/describe/schemas.hpp"

namespace tandem {
namespace {

TEST(ParameterSet, HoldsNumbersByName) {
  ParameterSet set;
  Parameter parameter;
  parameter.value = 131.6;
  set.set("units", parameter);
  EXPECT_TRUE(set.has("units"));
  EXPECT_EQ(set.value("units"), 131.6);
  EXPECT_EQ(set.count("units"), 132);  // nearest whole number
  EXPECT_FALSE(set.has("unit"));
  EXPECT_THROW((void)set.at("unit"), ModelError);
}

TEST(Dimensions, HaveNamesAndExamples) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(Dimension::RequestRate); ++i) {
    const auto dimension = static_cast<Dimension>(i);
    EXPECT_TRUE(names.insert(name_of(dimension)).second) << name_of(dimension);
    EXPECT_FALSE(example_of(dimension).empty());
  }
}

TEST(System, FindsItsGroups) {
  System system;
  system.name = "box";
  system.groups.push_back({});
  system.groups.back().pool = "gpu";
  EXPECT_EQ(system.group("gpu").pool, "gpu");
  EXPECT_THROW((void)system.group("lpu"), ModelError);
}

TEST(Schemas, DeclareEachNumberOnceWithinItsOwnBounds) {
  for (const ParameterSchema& schema :
       {link_schema(), system_schema(), prices_schema(), software_schema()}) {
    std::set<std::string> names;
    for (const ParameterSpec& spec : schema) {
      EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
      EXPECT_FALSE(spec.doc.empty()) << spec.name;
      EXPECT_LE(spec.minimum, spec.maximum) << spec.name;
      // A `*` number that is left out is not held, so its fallback may lie outside.
      if (spec.fallback && spec.name.find('*') == std::string::npos) {
        EXPECT_GE(*spec.fallback, spec.minimum) << spec.name;
        EXPECT_LE(*spec.fallback, spec.maximum) << spec.name;
      }
    }
  }
}

}  // namespace
}  // namespace tandem
