#include "sim/core/hash.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>

namespace tandem {
namespace {

constexpr std::uint64_t fnv_prime = 0x100000001b3ULL;
constexpr int bytes_of_word = 8;

/// Powers of the prime: what a run of zero bytes comes to.
constexpr std::array<std::uint64_t, bytes_of_word + 1> powers = [] {
  std::array<std::uint64_t, bytes_of_word + 1> result{1};
  for (std::size_t i = 1; i < result.size(); ++i) result[i] = result[i - 1] * fnv_prime;
  return result;
}();

}  // namespace

Hasher& Hasher::add(std::string_view text) {
  for (const char c : text) {
    state_ = (state_ ^ static_cast<unsigned char>(c)) * fnv_prime;
  }
  return add_word(text.size());
}

Hasher& Hasher::add(double value) {
  return add_word(std::bit_cast<std::uint64_t>(value));
}

Hasher& Hasher::add_word(std::uint64_t word) {
  // Most words are small: their upper bytes are zero.
  std::size_t left = bytes_of_word;
  for (; word != 0; word >>= 8, --left) state_ = (state_ ^ (word & 0xff)) * fnv_prime;
  state_ *= powers[left];
  return *this;
}

std::uint64_t Hasher::value() const {
  std::uint64_t z = state_;
  z = (z ^ (z >> 33)) * 0xff51afd7ed558ccdULL;
  z = (z ^ (z >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return z ^ (z >> 33);
}

std::string Hasher::hex() const {
  return fmt::format("{:016x}", value());
}

}  // namespace tandem
