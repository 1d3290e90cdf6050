// Named random streams. A stream's numbers depend on the seed and its name alone, so adding one
// consumer never changes what another draws, and every host draws the same.
#pragma once

#include <cstdint>
#include <string_view>

namespace tandem {

/// xoshiro256** (Blackman and Vigna, 2018), seeded by SplitMix64 from a seed and a name.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::string_view name);
  std::uint64_t next();
  /// Uniform in [0, 1) with 53 random bits.
  double uniform();
  /// Uniform integer in [low, high], without modulo bias.
  std::int64_t integer(std::int64_t low, std::int64_t high);
  /// Exponential with the given mean.
  double exponential(double mean);
  /// Standard normal (Box-Muller; draws two uniforms).
  double normal();
  /// Gamma with the given shape and mean (Marsaglia and Tsang, ACM TOMS 26:3, 2000; shapes below 1
  /// by their boost with a uniform).
  double gamma(double shape, double mean);

 private:
  std::uint64_t state_[4];
};

}  // namespace tandem
