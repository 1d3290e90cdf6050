// Payments, rent and upkeep by hand.
#include "sim/account/ownership.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace tandem {
namespace {

ParameterSet book(const std::map<std::string, double>& values) {
  ParameterSet set;
  for (const auto& [name, value] : values) {
    Parameter parameter;
    parameter.value = value;
    set.set(name, parameter);
  }
  return set;
}

constexpr double year = 8760.0 * 3600;

TEST(Ownership, CapitalWithoutInterestIsSpreadOverItsLife) {
  // 1.02 / (4 x 8760 h) / 0.5
  EXPECT_NEAR(hourly_share_of_capital({4, 0, 0.02, 0.5}), 1.02 / 35040 / 0.5, 1e-15);
}

TEST(Ownership, InterestIsThatOfAnAnnuityByTheMonth) {
  // 1 % a month over 12 months: 0.01 / (1 - 1.01^-12) = 0.0888488 a month, twelve times in a year.
  EXPECT_NEAR(hourly_share_of_capital({1, 0.12, 0, 1}), 12 * 0.0888487887 / 8760, 1e-12);
  // What the payments are worth today is what was lent.
  double worth = 0;
  const double payment = hourly_share_of_capital({3, 0.09, 0, 1}) * 8760 / 12;
  for (int month = 1; month <= 36; ++month) worth += payment * std::pow(1 + 0.09 / 12, -month);
  EXPECT_NEAR(worth, 1, 1e-12);
}

TEST(Ownership, OnlyRentPaidUpFrontCarriesInterest) {
  EXPECT_DOUBLE_EQ(weight_of_rent({0, 3, 0.12}), 1);
  EXPECT_DOUBLE_EQ(weight_of_rent({0.25, 3, 0}), 1);
  // A quarter of the year's price paid at its beginning costs 12 x 0.0888488 of itself.
  EXPECT_NEAR(weight_of_rent({0.25, 1, 0.12}), 0.75 + 0.25 * 12 * 0.0888487887, 1e-9);
}

TEST(Ownership, UpkeepPaysTheSiteForPowerAndTheHostForRoom) {
  const ParameterSet prices =
      book({{"pue", 1.25}, {"electricity", 0.1 / 3.6e6}, {"hosting", 0.2 / 3.6e6}});
  // 2 kW x 1.25 x 0.1 USD/kWh and 2 kW x 0.2 USD/kW/h.
  EXPECT_NEAR(upkeep_usd_per_hour(prices, 2000), 0.25 + 0.4, 1e-12);
}

TEST(Ownership, LoadingAModelTakesItsShareOfTheDay) {
  EXPECT_DOUBLE_EQ(share_loaded(book({})), 1);
  EXPECT_DOUBLE_EQ(share_loaded(book({{"load_time", 1800}, {"loads_per_day", 12}})), 0.75);
  EXPECT_THROW(static_cast<void>(share_loaded(book({{"load_time", 1800}, {"loads_per_day", 48}}))),
               ConfigError);
}

TEST(Ownership, PricesOfABookAreAbsentOrWhole) {
  const ParameterSet prices =
      book({{"life", year}, {"chips.a.capital", 8760}, {"chips.b.rent", 3}});
  EXPECT_NEAR(*owned_usd_per_hour(prices, "chips.a"), 1, 1e-12);
  EXPECT_FALSE(rented_usd_per_hour(prices, "chips.a"));
  EXPECT_FALSE(owned_usd_per_hour(prices, "chips.b"));
  EXPECT_DOUBLE_EQ(*rented_usd_per_hour(prices, "chips.b"), 3);
}

}  // namespace
}  // namespace tandem
