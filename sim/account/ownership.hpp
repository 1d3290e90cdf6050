// What having a machine costs per hour: capital repaid over its life, or rent.
#pragma once

#include <optional>
#include <string>

#include "sim/describe/parameter.hpp"

namespace tandem {

inline constexpr double seconds_per_hour = 3600;
inline constexpr double tokens_per_million = 1e6;

/// How capital is repaid.
struct CapitalTerms {
  double life_years = 4;
  double interest = 0;     ///< per year, of what is not yet repaid
  double spares = 0;       ///< capital kept as spares, over capital in use
  double utilisation = 1;  ///< share of its life in which the machine serves
};

/// Share of capital that a level payment at the end of each month repays, by the hour of service:
/// the annuity r / (1 - (1 + r)^-n) over n months, 1 / n without interest.
[[nodiscard]] double hourly_share_of_capital(const CapitalTerms& terms);

/// How a contract of rent is paid: a share of all of it before it begins, the rest by the month.
struct RentTerms {
  double upfront = 0;
  double term_years = 3;
  double interest = 0;  ///< per year, that the share paid up front would have earned or saved
};
/// What an hour costs over its price when the share paid up front carries interest.
[[nodiscard]] double weight_of_rent(const RentTerms& terms);

[[nodiscard]] CapitalTerms capital_terms(const ParameterSet& prices);
[[nodiscard]] RentTerms rent_terms(const ParameterSet& prices);

/// USD per hour of `prefix` ("chips.h100_sxm", "systems.dgx_h100"); none where the book has none.
[[nodiscard]] std::optional<double> owned_usd_per_hour(const ParameterSet& prices,
                                                       const std::string& prefix);
[[nodiscard]] std::optional<double> rented_usd_per_hour(const ParameterSet& prices,
                                                        const std::string& prefix);

/// Electricity and hosting of machines that draw `watts`, USD per hour.
[[nodiscard]] double upkeep_usd_per_hour(const ParameterSet& prices, double watts);

/// Share of its time that a server is not loading a model: 1 where loads take no time.
[[nodiscard]] double share_loaded(const ParameterSet& prices);

/// A number of the book, or `fallback`.
[[nodiscard]] double price_or(const ParameterSet& prices, const std::string& name, double fallback);

}  // namespace tandem
