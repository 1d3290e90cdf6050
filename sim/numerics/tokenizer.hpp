// The tokenizer of llama2.c: byte-pair merges by score over a vocabulary file. Source:
// karpathy/llama2.c, run.c (build_tokenizer, encode, decode) and tokenizer.py (export).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tandem {

/// Text to token ids and back. Ids 0, 1, 2 are unknown, start and end; 3 + b stands for byte b.
class Tokenizer {
 public:
  static constexpr std::int32_t begin_of_text = 1;
  static constexpr std::int32_t end_of_text = 2;

  /// Reads a llama2.c tokenizer.bin of `vocabulary` tokens. Throws ConfigError that names the file
  /// and what is wrong: cut short, another vocabulary, impossible lengths or scores.
  Tokenizer(const std::string& path, std::int64_t vocabulary);

  /// Token ids of `text`: start token if `bos`; a space before any text that is not empty; every
  /// UTF-8 code point as its token or else its bytes; then, while any neighbours join to a token,
  /// the pair whose token has the highest score is joined (the leftmost of equals); end token if
  /// `eos`. Throws ConfigError when the vocabulary lacks a byte that the text needs.
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text, bool bos, bool eos) const;

  /// The bytes that `token` adds after `previous`: right after the start token a leading space is
  /// dropped, and "<0xHH>" is the byte HH. Throws ModelError for an id outside the vocabulary.
  [[nodiscard]] std::string decode(std::int32_t previous, std::int32_t token) const;

  [[nodiscard]] std::int64_t vocabulary() const {
    return static_cast<std::int64_t>(pieces_.size());
  }

 private:
  [[nodiscard]] std::int32_t find(std::string_view piece) const;
  [[nodiscard]] std::int32_t joined(std::int32_t left, std::int32_t right) const;
  void append_piece(std::string_view piece, std::vector<std::int32_t>& tokens) const;
  void merge(std::vector<std::int32_t>& tokens) const;

  std::string path_;
  std::vector<std::string> pieces_;
  std::vector<float> scores_;
  std::map<std::string, std::int32_t, std::less<>> ids_;
};

}  // namespace tandem
