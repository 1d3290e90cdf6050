// A limit on the power of a system is shared out to its chips.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/catalog/catalog.hpp"
#include "sim/config/loader.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

using testing::HasSubstr;

/// A shipped system under a cap.
System capped(const char* system, const char* cap) {
  ModelSchemas schemas;
  for (const ChipModelEntry& entry : chip_catalogue()) schemas[entry.name] = entry.schema;
  return Loader(find_roots(), schemas).system(system, {{"power_cap", cap}});
}

std::string complaint(const char* system, const char* cap) {
  try {
    static_cast<void>(capped(system, cap));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

double limit_of(const System& system, const char* chip) {
  return system.chips.at(chip).parameters.value("tdp");
}

TEST(PowerCap, LeavesEachChipAnEqualShareOfWhatHostsLeave) {
  // Hosts of DGX H100 draw 8 x 360 W.
  EXPECT_NEAR(limit_of(capped("dgx_h100", "8 kW"), "h100_sxm"), (8000 - 2880) / 8.0, 1e-9);
  EXPECT_EQ(limit_of(capped("dgx_h100", "20 kW"), "h100_sxm"), 700);
  EXPECT_EQ(limit_of(capped("dgx_h100", "0 W"), "h100_sxm"), 700);
}

TEST(PowerCap, SaysWhatIsTooLittle) {
  EXPECT_THAT(complaint("dgx_h100", "3 kW"),
              HasSubstr("power_cap leaves 15 W for each of 8 chips after 2880 W of the hosts, and "
                        "h100_sxm draws 130 W at rest; write more than 3920 W"));
  EXPECT_THAT(complaint("dgx_h100_lpx", "30 kW"), HasSubstr("chip 'lp30' of the system has no"));
}

}  // namespace
}  // namespace tandem
