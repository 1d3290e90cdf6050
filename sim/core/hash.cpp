#include "sim/core/hash.hpp"

#include <fmt/format.h>

#include <bit>

namespace tandem {
namespace {
constexpr std::uint64_t fnv_prime = 0x100000001b3ULL;
}

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
  for (int i = 0; i < 8; ++i) {
    state_ = (state_ ^ (word & 0xff)) * fnv_prime;
    word >>= 8;
  }
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
