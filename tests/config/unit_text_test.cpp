#include "sim/config/unit_text.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "sim/core/random.hpp"

namespace tandem {
namespace {

double value_of(const std::string& text, Dimension dimension) {
  const ParsedNumber parsed = parse_number(text, dimension);
  EXPECT_TRUE(parsed.is_good()) << text << ": " << parsed.error;
  return parsed.value;
}

std::string error_of(const std::string& text, Dimension dimension) {
  return parse_number(text, dimension).error;
}

struct UnitCase {
  const char* text;
  Dimension dimension;
  double expected;
};

TEST(ParseNumber, ReadsEveryUnitAsItsDefinition) {
  // Decimal prefixes are powers of ten, IEC prefixes powers of 1024, 8 bits are a byte,
  // 1 kWh = 3.6e6 J, 1 year = 8760 h.
  const UnitCase cases[] = {
      {"7 B", Dimension::Size, 7},
      {"2 kB", Dimension::Size, 2000},
      {"2 KB", Dimension::Size, 2000},
      {"2 KiB", Dimension::Size, 2048},
      {"1.5 MB", Dimension::Size, 1500000},
      {"1.5 MiB", Dimension::Size, 1572864},
      {"80 GB", Dimension::Size, 80e9},
      {"1 GiB", Dimension::Size, 1073741824},
      {"1 TB", Dimension::Size, 1e12},
      {"1 TiB", Dimension::Size, 1099511627776},
      {"1 PB", Dimension::Size, 1e15},
      {"8 b/s", Dimension::Bandwidth, 1},
      {"1 B/s", Dimension::Bandwidth, 1},
      {"8 kb/s", Dimension::Bandwidth, 1000},
      {"1 kB/s", Dimension::Bandwidth, 1000},
      {"1 KB/s", Dimension::Bandwidth, 1000},
      {"1 KiB/s", Dimension::Bandwidth, 1024},
      {"8 Mb/s", Dimension::Bandwidth, 1e6},
      {"1 MB/s", Dimension::Bandwidth, 1e6},
      {"1 MiB/s", Dimension::Bandwidth, 1048576},
      {"400 Gb/s", Dimension::Bandwidth, 50e9},
      {"450 GB/s", Dimension::Bandwidth, 450e9},
      {"1 GiB/s", Dimension::Bandwidth, 1073741824},
      {"1.6 Tb/s", Dimension::Bandwidth, 200e9},
      {"3.35 TB/s", Dimension::Bandwidth, 3350e9},
      {"1 TiB/s", Dimension::Bandwidth, 1099511627776},
      {"40 PB/s", Dimension::Bandwidth, 40e15},
      {"3 FLOPS", Dimension::ComputeRate, 3},
      {"3 OPS", Dimension::ComputeRate, 3},
      {"3 GFLOPS", Dimension::ComputeRate, 3e9},
      {"3 GOPS", Dimension::ComputeRate, 3e9},
      {"989 TFLOPS", Dimension::ComputeRate, 989e12},
      {"1979 TOPS", Dimension::ComputeRate, 1979e12},
      {"1.2 PFLOPS", Dimension::ComputeRate, 1.2e15},
      {"1.2 POPS", Dimension::ComputeRate, 1.2e15},
      {"3.6 EFLOPS", Dimension::ComputeRate, 3.6e18},
      {"5 Hz", Dimension::Frequency, 5},
      {"5 kHz", Dimension::Frequency, 5e3},
      {"900 MHz", Dimension::Frequency, 900e6},
      {"1.83 GHz", Dimension::Frequency, 1.83e9},
      {"5 ps", Dimension::Time, 5e-12},
      {"350 ns", Dimension::Time, 350e-9},
      {"2.5 us", Dimension::Time, 2.5e-6},
      {"500 ms", Dimension::Time, 0.5},
      {"3 s", Dimension::Time, 3},
      {"2 min", Dimension::Time, 120},
      {"2 h", Dimension::Time, 7200},
      {"2 days", Dimension::Time, 172800},
      {"4 years", Dimension::Time, 126144000},
      {"5 mW", Dimension::Power, 5e-3},
      {"700 W", Dimension::Power, 700},
      {"10.2 kW", Dimension::Power, 10200},
      {"1 MW", Dimension::Power, 1e6},
      {"2 fJ", Dimension::Energy, 2e-15},
      {"3.9 pJ", Dimension::Energy, 3.9e-12},
      {"2 nJ", Dimension::Energy, 2e-9},
      {"2 uJ", Dimension::Energy, 2e-6},
      {"2 mJ", Dimension::Energy, 2e-3},
      {"2 J", Dimension::Energy, 2},
      {"2 kJ", Dimension::Energy, 2000},
      {"1 kWh", Dimension::Energy, 3.6e6},
      {"25000 USD", Dimension::Money, 25000},
      {"25 kUSD", Dimension::Money, 25000},
      {"2.5 USD/h", Dimension::MoneyRate, 2.5},
      {"8760 USD/year", Dimension::MoneyRate, 1},
      {"0.08 USD/kWh", Dimension::EnergyPrice, 0.08 / 3.6e6},
      {"0.2 USD/kW/h", Dimension::EnergyPrice, 0.2 / 3.6e6},
      {"73 USD/kW/month", Dimension::EnergyPrice, 0.1 / 3.6e6},
      {"876 USD/kW/year", Dimension::EnergyPrice, 0.1 / 3.6e6},
      {"80 USD/MWh", Dimension::EnergyPrice, 0.08 / 3.6e6},
      {"2 USD/J", Dimension::EnergyPrice, 2},
      {"500 g", Dimension::Carbon, 500},
      {"2 kg", Dimension::Carbon, 2000},
      {"2 t", Dimension::Carbon, 2e6},
      {"360 g/kWh", Dimension::CarbonIntensity, 1e-4},
      {"360 kg/MWh", Dimension::CarbonIntensity, 1e-4},
      {"0.36 kg/kWh", Dimension::CarbonIntensity, 1e-4},
      {"2 g/J", Dimension::CarbonIntensity, 2},
      {"90 %", Dimension::Fraction, 0.9},
      {"90%", Dimension::Fraction, 0.9},
      {"0.9", Dimension::Fraction, 0.9},
      {"4 req/s", Dimension::RequestRate, 4},
      {"4", Dimension::RequestRate, 4},
      {"120 req/min", Dimension::RequestRate, 2},
      {"7200 req/h", Dimension::RequestRate, 2},
      {"132", Dimension::Count, 132},
      {"1e3", Dimension::Count, 1000},
      {"+1.5e-3", Dimension::Scalar, 1.5e-3},
      {"80GB", Dimension::Size, 80e9},
  };
  for (const UnitCase& c : cases) {
    EXPECT_DOUBLE_EQ(value_of(c.text, c.dimension), c.expected) << c.text;
  }
  // No unit of the table is left out above.
  std::size_t known = 0;
  for (int i = 0; i <= static_cast<int>(Dimension::RequestRate); ++i) {
    const auto dimension = static_cast<Dimension>(i);
    for (const std::string& unit : units_of(dimension)) {
      ++known;
      EXPECT_TRUE(std::any_of(std::begin(cases), std::end(cases), [&](const UnitCase& c) {
        const std::string text = c.text;
        return c.dimension == dimension && text.ends_with(unit) &&
               (text.size() == unit.size() || text[text.size() - unit.size() - 1] == ' ');
      })) << unit;
    }
  }
  EXPECT_GT(known, 60U);
}

TEST(ParseNumber, RoundsDecimalTextOnce) {
  // 3.9e-12 and 3.35e12 as the compiler reads them; 3.9 * 1e-12 differs in the last bit.
  EXPECT_EQ(value_of("3.9 pJ", Dimension::Energy), 3.9e-12);
  EXPECT_EQ(value_of("3.35 TB/s", Dimension::Bandwidth), 3.35e12);
  EXPECT_EQ(value_of("0.1 GB", Dimension::Size), 1e8);
}

TEST(ParseNumber, SaysWhatToWriteForABareNumber) {
  EXPECT_EQ(
      error_of("230", Dimension::Size),
      "needs a unit of size, got '230'; write e.g. '230 GB'; units of size are B, kB, KB, KiB, "
      "MB, MiB, GB, GiB, TB, TiB, PB");
  EXPECT_EQ(error_of("0.5", Dimension::Time),
            "needs a unit of time, got '0.5'; write e.g. '0.5 ms' or '0.5 s'; units of time are "
            "ps, ns, us, ms, "
            "s, min, h, days, years");
}

TEST(ParseNumber, RejectsUnitsOfAnotherDimension) {
  EXPECT_EQ(error_of("80 GB", Dimension::Bandwidth),
            "is a bandwidth, got '80 GB' which is a size; write e.g. '3.35 TB/s'");
  EXPECT_EQ(error_of("5 ms", Dimension::Count),
            "is a count, got '5 ms' which is a time; write e.g. '132'");
}

TEST(ParseNumber, RejectsUnknownUnitsAndListsThoseThatExist) {
  EXPECT_EQ(error_of("80 Gb", Dimension::Size),
            "has the unknown unit 'Gb' in '80 Gb'; units of size are B, kB, KB, KiB, MB, MiB, GB, "
            "GiB, TB, TiB, PB");
  EXPECT_EQ(error_of("3 apples", Dimension::Count),
            "is a count without a unit, got '3 apples'; write e.g. '132'");
}

TEST(ParseNumber, RejectsWhatIsNoNumber) {
  for (const char* text : {"", "fast", "-", ".", "GB 80", "nan", "inf", "0x10"}) {
    EXPECT_FALSE(parse_number(text, Dimension::Size).is_good()) << text;
  }
  EXPECT_EQ(error_of("1.5", Dimension::Count), "needs a whole number, got '1.5'");
  EXPECT_EQ(error_of("1e999 GB", Dimension::Size), "is out of range: '1e999 GB'");
  EXPECT_EQ(error_of("1e2147483647 EFLOPS", Dimension::ComputeRate),
            "is out of range: '1e2147483647 EFLOPS'");
}

TEST(PrintNumber, PicksTheUnitAPersonWouldPick) {
  EXPECT_EQ(print_number(80e9, Dimension::Size), "80 GB");
  EXPECT_EQ(print_number(3.35e12, Dimension::Bandwidth), "3.35 TB/s");
  EXPECT_EQ(print_number(350e-9, Dimension::Time), "350 ns");
  EXPECT_EQ(print_number(3.9e-12, Dimension::Energy), "3.9 pJ");
  EXPECT_EQ(print_number(0.08 / 3.6e6, Dimension::EnergyPrice), "0.08 USD/kWh");
  EXPECT_EQ(print_number(367 / 3.6e6, Dimension::CarbonIntensity), "367 g/kWh");
  EXPECT_EQ(print_number(0, Dimension::Power), "0 W");
  EXPECT_EQ(print_number(0.9, Dimension::Fraction), "0.9");
}

TEST(PrintNumber, ParsesBackToTheSameBits) {
  RandomStream random(20261121, "unit_text");
  for (int i = 0; i <= static_cast<int>(Dimension::RequestRate); ++i) {
    const auto dimension = static_cast<Dimension>(i);
    for (int n = 0; n < 2000; ++n) {
      double value = std::exp((random.uniform() - 0.4) * 80);
      if (n % 7 == 0) value = -value;
      if (dimension == Dimension::Count) value = std::floor(value);
      const std::string text = print_number(value, dimension);
      const ParsedNumber parsed = parse_number(text, dimension);
      ASSERT_TRUE(parsed.is_good()) << text << ": " << parsed.error;
      ASSERT_EQ(parsed.value, value) << text;
    }
  }
}

}  // namespace
}  // namespace tandem
