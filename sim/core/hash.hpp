// Content keys. FNV-1a with a 64-bit finisher: the same value on every host and in every run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace tandem {

/// Accumulates values into a 64-bit content key. Order matters; lengths are included.
class Hasher {
 public:
  Hasher& add(std::string_view text);
  template <class T>
  requires(std::is_integral_v<T> || std::is_enum_v<T>) Hasher& add(T value) {
    return add_word(static_cast<std::uint64_t>(value));
  }
  Hasher& add(double value);
  [[nodiscard]] std::uint64_t value() const;
  /// The key as 16 hexadecimal digits.
  [[nodiscard]] std::string hex() const;

 private:
  Hasher& add_word(std::uint64_t word);
  std::uint64_t state_ = 0xcbf29ce484222325ULL;
};

}  // namespace tandem
