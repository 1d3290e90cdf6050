// One line of assembly as words with their columns. Inside of the assembler.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/lpu/isa.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {

/// Words of one line, read from left to right. Every reader throws ConfigError at the column of the
/// word it does not understand.
class AssemblyLine {
 public:
  AssemblyLine(std::string_view file, int number, std::string_view text);
  [[nodiscard]] bool at_end() const { return next_ >= words_.size(); }
  [[nodiscard]] bool next_is(std::string_view word) const;
  [[nodiscard]] bool next_starts_with(std::string_view prefix) const;
  /// Takes the next word if it is `word`.
  bool accept(std::string_view word);
  void expect(std::string_view word);
  void expect_end() const;
  [[nodiscard]] std::string_view word(std::string_view what);
  /// A decimal number in [low, high].
  [[nodiscard]] std::int64_t number(std::string_view what, std::int64_t low, std::int64_t high);
  /// A register such as r3.
  [[nodiscard]] std::uint16_t host_register();
  [[nodiscard]] StreamRef stream();
  [[nodiscard]] std::vector<std::uint8_t> hex_bytes();
  /// Fails at the word that was read last.
  [[noreturn]] void fail(const std::string& message) const;
  /// Parses a part of a word read last, such as the row in "1:20+r3".
  [[nodiscard]] std::int64_t parse_number(std::string_view text, std::string_view what,
                                          std::int64_t low, std::int64_t high) const;

 private:
  struct Word {
    std::string_view text;
    int column;
  };
  std::string file_;
  int number_;
  std::vector<Word> words_;
  std::size_t next_ = 0;
  int end_column_ = 1;
};

/// Reads one instruction whose first word is `mnemonic`.
[[nodiscard]] Instruction parse_instruction(std::string_view mnemonic, AssemblyLine& line);

}  // namespace tandem::lpu
