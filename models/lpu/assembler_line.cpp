#include "models/lpu/assembler_line.hpp"

#include <fmt/format.h>

#include <charconv>

namespace tandem::lpu {

AssemblyLine::AssemblyLine(std::string_view file, int number, std::string_view text)
    : file_(file), number_(number) {
  text = text.substr(0, text.find(';'));
  constexpr std::string_view blank = " \t\r";
  std::size_t at = text.find_first_not_of(blank);
  while (at != std::string_view::npos) {
    const std::size_t end = std::min(text.find_first_of(blank, at), text.size());
    words_.push_back({text.substr(at, end - at), static_cast<int>(at) + 1});
    end_column_ = static_cast<int>(end) + 1;
    at = text.find_first_not_of(blank, end);
  }
}

void AssemblyLine::fail(const std::string& message) const {
  const int column = next_ == 0 ? 1 : words_[next_ - 1].column;
  throw ConfigError({file_, number_, column}, message);
}

bool AssemblyLine::next_is(std::string_view word) const {
  return !at_end() && words_[next_].text == word;
}

bool AssemblyLine::next_starts_with(std::string_view prefix) const {
  return !at_end() && words_[next_].text.starts_with(prefix);
}

bool AssemblyLine::accept(std::string_view word) {
  if (!next_is(word)) return false;
  ++next_;
  return true;
}

std::string_view AssemblyLine::word(std::string_view what) {
  if (at_end()) {
    throw ConfigError({file_, number_, end_column_},
                      fmt::format("the line ends where {} is needed", what));
  }
  return words_[next_++].text;
}

void AssemblyLine::expect(std::string_view expected) {
  const std::string_view found = word(fmt::format("'{}'", expected));
  if (found != expected) fail(fmt::format("'{}' where '{}' is needed", found, expected));
}

void AssemblyLine::expect_end() const {
  if (at_end()) return;
  throw ConfigError({file_, number_, words_[next_].column},
                    fmt::format("'{}' after the end of the instruction", words_[next_].text));
}

std::int64_t AssemblyLine::parse_number(std::string_view text, std::string_view what,
                                        std::int64_t low, std::int64_t high) const {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail(fmt::format("'{}' is not a number; {} is needed", text, what));
  }
  if (value < low || value > high) {
    fail(fmt::format("{} is {}; it must be in {}..{}", what, value, low, high));
  }
  return value;
}

std::int64_t AssemblyLine::number(std::string_view what, std::int64_t low, std::int64_t high) {
  return parse_number(word(what), what, low, high);
}

std::uint16_t AssemblyLine::host_register() {
  const std::string_view text = word("a host register");
  if (text.empty() || text[0] != 'r') {
    fail(fmt::format("'{}' is not a host register such as r1", text));
  }
  return static_cast<std::uint16_t>(
      parse_number(text.substr(1), "the host register", 0, host_registers - 1));
}

StreamRef AssemblyLine::stream() {
  const std::string_view text = word("a stream");
  if (text.size() < 2 || (text[0] != 'E' && text[0] != 'W')) {
    fail(fmt::format("'{}' is not a stream such as E4 or W31", text));
  }
  const auto id = parse_number(text.substr(1), "the stream id", 0, 1023);
  return {text[0] == 'E' ? Direction::East : Direction::West, static_cast<std::uint16_t>(id)};
}

std::vector<std::uint8_t> AssemblyLine::hex_bytes() {
  const std::string_view text = word("the bytes of a row");
  std::vector<std::uint8_t> bytes;
  if (text.size() % 2 != 0) fail("an odd number of hexadecimal digits");
  for (std::size_t i = 0; i < text.size(); i += 2) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + i + 2, value, 16);
    if (error != std::errc() || end != text.data() + i + 2) {
      fail(fmt::format("'{}' is not a hexadecimal byte", text.substr(i, 2)));
    }
    bytes.push_back(static_cast<std::uint8_t>(value));
  }
  return bytes;
}

}  // namespace tandem::lpu
