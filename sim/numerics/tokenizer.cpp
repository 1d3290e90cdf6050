// File format, little endian: int32 longest piece, then per token float32 score, int32 length,
// bytes.
#include "sim/numerics/tokenizer.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <optional>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

constexpr std::int32_t no_token = -1;
constexpr std::int32_t first_byte_token = 3;
constexpr std::size_t longest_code_point = 4;
constexpr std::streamoff largest_file = std::streamoff{1} << 28;

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw ConfigError(SourcePlace{path, 0, 0}, what);
}

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = stream ? std::streamoff{stream.tellg()} : -1;
  if (size < 0) {
    fail(path, "tokenizer cannot be opened for reading");
  }
  if (size > largest_file) {
    fail(path, fmt::format("not a llama2.c tokenizer: {} bytes is too large", size));
  }
  std::string data(static_cast<std::size_t>(size), '\0');
  stream.seekg(0);
  if (!stream.read(data.data(), size)) {
    fail(path, "tokenizer could not be read to its end");
  }
  return data;
}

/// Walks over the file's bytes and never past their end.
class ByteReader {
 public:
  explicit ByteReader(std::string_view data) : data_(data) {}
  template <class T>
  std::optional<T> take() {
    if (data_.size() < sizeof(T)) {
      return std::nullopt;
    }
    T value;
    std::memcpy(&value, data_.data(), sizeof(T));
    data_.remove_prefix(sizeof(T));
    return value;
  }
  std::optional<std::string_view> take_text(std::size_t length) {
    if (data_.size() < length) {
      return std::nullopt;
    }
    const std::string_view text = data_.substr(0, length);
    data_.remove_prefix(length);
    return text;
  }
  [[nodiscard]] std::size_t left() const { return data_.size(); }

 private:
  std::string_view data_;
};

struct Piece {
  float score;
  std::string_view text;
};

Piece read_piece(ByteReader& reader, const std::string& path, std::int64_t index,
                 std::int64_t vocabulary, std::int32_t longest) {
  const auto cut_short = [&] {
    fail(path, fmt::format("tokenizer ends within token {} of {}: cut short, or made for a smaller "
                           "vocabulary than the checkpoint's",
                           index, vocabulary));
  };
  const auto score = reader.take<float>();
  const auto length = reader.take<std::int32_t>();
  if (!score || !length) {
    cut_short();
  }
  if (*length < 0 || *length > longest) {
    fail(path, fmt::format("tokenizer: token {} has a length of {}; the file says that the longest "
                           "has {}",
                           index, *length, longest));
  }
  if (!std::isfinite(*score)) {
    fail(path, fmt::format("tokenizer: the score of token {} is not a number", index));
  }
  const auto text = reader.take_text(static_cast<std::size_t>(*length));
  if (!text) {
    cut_short();
  }
  return {*score, *text};
}

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xc0U) == 0x80U;
}

/// The value of a piece "<0xHH>", or nothing.
std::optional<char> byte_of(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece.back() != '>') {
    return std::nullopt;
  }
  int value = 0;
  for (const char c : piece.substr(3, 2)) {
    const bool is_digit = c >= '0' && c <= '9';
    const bool is_letter = c >= 'A' && c <= 'F';
    if (!is_digit && !is_letter) {
      return std::nullopt;
    }
    value = value * 16 + (is_digit ? c - '0' : c - 'A' + 10);
  }
  return static_cast<char>(value);
}

}  // namespace

Tokenizer::Tokenizer(const std::string& path, std::int64_t vocabulary) : path_(path) {
  const std::string data = read_file(path);
  ByteReader reader(data);
  const auto longest = reader.take<std::int32_t>();
  if (!longest || *longest < 1) {
    fail(path, "not a llama2.c tokenizer: it does not begin with the length of its longest token");
  }
  // A token takes at least its score and length, so a hostile size is caught before allocation.
  constexpr std::int64_t smallest_token = 8;
  if (vocabulary < 1 || vocabulary > static_cast<std::int64_t>(reader.left()) / smallest_token) {
    fail(path, fmt::format("tokenizer of {} bytes cannot hold a vocabulary of {}", data.size(),
                           vocabulary));
  }
  for (std::int64_t i = 0; i < vocabulary; ++i) {
    const Piece piece = read_piece(reader, path, i, vocabulary, *longest);
    scores_.push_back(piece.score);
    pieces_.emplace_back(piece.text);
    ids_.try_emplace(pieces_.back(), static_cast<std::int32_t>(i));
  }
  if (reader.left() != 0) {
    fail(path, fmt::format("tokenizer has {} bytes after its {} tokens: made for a larger "
                           "vocabulary than the checkpoint's",
                           reader.left(), vocabulary));
  }
}

std::int32_t Tokenizer::find(std::string_view piece) const {
  const auto found = ids_.find(piece);
  return found == ids_.end() ? no_token : found->second;
}

std::int32_t Tokenizer::joined(std::int32_t left, std::int32_t right) const {
  return find(pieces_[static_cast<std::size_t>(left)] + pieces_[static_cast<std::size_t>(right)]);
}

void Tokenizer::append_piece(std::string_view piece, std::vector<std::int32_t>& tokens) const {
  const std::int32_t token = find(piece);
  if (token != no_token) {
    tokens.push_back(token);
    return;
  }
  for (const char c : piece) {
    const std::int32_t byte_token = first_byte_token + static_cast<unsigned char>(c);
    if (byte_token >= vocabulary()) {
      fail(path_, fmt::format("tokenizer: no token for byte 0x{:02X} of the text",
                              static_cast<unsigned char>(c)));
    }
    tokens.push_back(byte_token);
  }
}

void Tokenizer::merge(std::vector<std::int32_t>& tokens) const {
  // pairs[i] is what tokens i and i + 1 join to; a merge changes only its neighbours.
  std::vector<std::int32_t> pairs;
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
    pairs.push_back(joined(tokens[i], tokens[i + 1]));
  }
  while (true) {
    std::size_t best = pairs.size();
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      if (pairs[i] != no_token &&
          (best == pairs.size() || scores_[static_cast<std::size_t>(pairs[i])] >
                                       scores_[static_cast<std::size_t>(pairs[best])])) {
        best = i;
      }
    }
    if (best == pairs.size()) {
      return;
    }
    tokens[best] = pairs[best];
    tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    pairs.erase(pairs.begin() + static_cast<std::ptrdiff_t>(best));
    if (best < pairs.size()) {
      pairs[best] = joined(tokens[best], tokens[best + 1]);
    }
    if (best > 0) {
      pairs[best - 1] = joined(tokens[best - 1], tokens[best]);
    }
  }
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, bool bos, bool eos) const {
  std::vector<std::int32_t> tokens;
  if (!text.empty()) {
    append_piece(" ", tokens);
  }
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = begin + 1;
    while (end < text.size() && is_continuation(text[end]) && end - begin < longest_code_point) {
      ++end;
    }
    append_piece(text.substr(begin, end - begin), tokens);
    begin = end;
  }
  merge(tokens);
  if (bos) {
    tokens.insert(tokens.begin(), begin_of_text);
  }
  if (eos) {
    tokens.push_back(end_of_text);
  }
  return tokens;
}

std::string Tokenizer::decode(std::int32_t previous, std::int32_t token) const {
  if (token < 0 || token >= vocabulary()) {
    throw ModelError(
        fmt::format("tokenizer: no token {} in a vocabulary of {}", token, vocabulary()));
  }
  std::string_view piece = pieces_[static_cast<std::size_t>(token)];
  if (previous == begin_of_text && piece.starts_with(' ')) {
    piece.remove_prefix(1);
  }
  const auto byte = byte_of(piece);
  return byte ? std::string(1, *byte) : std::string(piece);
}

}  // namespace tandem
