// What a call has of its own, and what it shares.
#include "sim/entry/context.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace tandem::entry {
namespace {

TEST(Context, CallsOfAProcessShareKernelsAndCommandsDoNot) {
  const Context one = make_call_context(), other = make_call_context(), command = make_context();
  const auto is_simulated = [](const ChipModelEntry& entry) { return entry.kernels != nullptr; };
  ASSERT_TRUE(std::ranges::any_of(one.catalogue, is_simulated));
  for (std::size_t i = 0; i < one.catalogue.size(); ++i) {
    const ChipModelEntry& entry = one.catalogue[i];
    EXPECT_EQ(entry.kernels, other.catalogue[i].kernels) << entry.name;
    if (!is_simulated(entry)) continue;
    EXPECT_NE(entry.kernels, command.catalogue[i].kernels) << entry.name;
  }
}

}  // namespace
}  // namespace tandem::entry
