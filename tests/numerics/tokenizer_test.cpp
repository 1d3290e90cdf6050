// Does the tokenizer merge, fall back to bytes and decode as llama2.c does, and survive any file?
#include "sim/numerics/tokenizer.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"

namespace tandem {
namespace {

using Vocabulary = std::vector<std::pair<std::string, float>>;

template <class T>
void append(std::string& data, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  data.append(bytes, sizeof(T));
}

/// Special tokens, 256 bytes, then the pieces of the tests: ids from 259.
Vocabulary small_vocabulary() {
  Vocabulary pieces{{"<unk>", 0}, {"\n<s>\n", 0}, {"\n</s>\n", 0}};
  constexpr const char* digits = "0123456789ABCDEF";
  for (int b = 0; b < 256; ++b) {
    pieces.emplace_back(std::string("<0x") + digits[b / 16] + digits[b % 16] + ">", 0);
  }
  // 259 " ", 260 "a", 261 "b", 262 "c", 263 "ab", 264 "bc", 265 " a", 266 "abc", 267 e-acute,
  // 268 "aa"
  for (const auto& [text, score] : Vocabulary{{" ", -1},
                                              {"a", -2},
                                              {"b", -3},
                                              {"c", -4},
                                              {"ab", -6},
                                              {"bc", -5},
                                              {" a", -9},
                                              {"abc", -7},
                                              {"\xc3\xa9", -8},
                                              {"aa", -4.5F}}) {
    pieces.emplace_back(text, score);
  }
  return pieces;
}

std::string file_of(const Vocabulary& pieces) {
  std::string data;
  append(data, std::int32_t{7});
  for (const auto& [text, score] : pieces) {
    append(data, score);
    append(data, static_cast<std::int32_t>(text.size()));
    data += text;
  }
  return data;
}

class TokenizerFile : public testing::Test {
 protected:
  std::string write(const std::string& data) {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::temp_directory_path() /
            (std::string("tandem_tokenizer_") + info->name() + ".bin");
    std::ofstream(path_, std::ios::binary) << data;
    return path_.string();
  }
  std::string message_of(const std::string& data, std::int64_t vocabulary) {
    try {
      const Tokenizer tokenizer(write(data), vocabulary);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "no error";
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::filesystem::path path_;
};

constexpr std::int64_t small_size = 269;

TEST_F(TokenizerFile, merges_the_best_score_first) {
  const Tokenizer tokenizer(write(file_of(small_vocabulary())), small_size);
  // " abc": pairs " a" -9, "ab" -6, "bc" -5. "bc" joins first; then "a"+"bc" = "abc" -7 beats
  // " a" -9; then nothing joins " " and "abc".
  EXPECT_EQ(tokenizer.encode("abc", true, false), (std::vector<std::int32_t>{1, 259, 266}));
  // " ab": "ab" -6 beats " a" -9.
  EXPECT_EQ(tokenizer.encode("ab", false, true), (std::vector<std::int32_t>{259, 263, 2}));
  EXPECT_EQ(tokenizer.encode("a", false, false), (std::vector<std::int32_t>{265}));
}

TEST_F(TokenizerFile, the_leftmost_of_equal_pairs_joins_first) {
  const Tokenizer tokenizer(write(file_of(small_vocabulary())), small_size);
  // " aaa": both "aa" score the same; taking the right one would leave " a" to join as well.
  EXPECT_EQ(tokenizer.encode("aaa", false, false), (std::vector<std::int32_t>{259, 268, 260}));
}

TEST_F(TokenizerFile, an_empty_prompt_is_the_start_token_alone) {
  const Tokenizer tokenizer(write(file_of(small_vocabulary())), small_size);
  EXPECT_EQ(tokenizer.encode("", true, false), (std::vector<std::int32_t>{1}));
  EXPECT_TRUE(tokenizer.encode("", false, false).empty());
}

TEST_F(TokenizerFile, unknown_code_points_become_their_bytes) {
  const Tokenizer tokenizer(write(file_of(small_vocabulary())), small_size);
  // e-acute is a piece; e-grave C3 A8 is not: 3 + 0xC3 = 198, 3 + 0xA8 = 171. A lone byte FF: 258.
  EXPECT_EQ(tokenizer.encode("\xc3\xa9", false, false), (std::vector<std::int32_t>{259, 267}));
  EXPECT_EQ(tokenizer.encode("\xc3\xa8", false, false), (std::vector<std::int32_t>{259, 198, 171}));
  EXPECT_EQ(tokenizer.encode("\xff", false, false), (std::vector<std::int32_t>{259, 258}));
}

TEST_F(TokenizerFile, decode_drops_the_space_after_the_start_and_resolves_bytes) {
  const Tokenizer tokenizer(write(file_of(small_vocabulary())), small_size);
  EXPECT_EQ(tokenizer.decode(1, 265), "a");
  EXPECT_EQ(tokenizer.decode(260, 265), " a");
  EXPECT_EQ(tokenizer.decode(260, 3 + 0x0a), "\n");
  EXPECT_EQ(tokenizer.decode(260, 3), std::string(1, '\0'));
  EXPECT_THROW((void)tokenizer.decode(1, 269), ModelError);
  EXPECT_THROW((void)tokenizer.decode(1, -1), ModelError);
}

TEST_F(TokenizerFile, any_text_comes_back) {
  const Tokenizer tokenizer(write(file_of(small_vocabulary())), small_size);
  RandomStream random(31, "texts");
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (std::int64_t n = random.integer(1, 30); n > 0; --n) {
      text += random.integer(0, 1) == 0 ? static_cast<char>(random.integer(0, 255))
                                        : "abc "[random.integer(0, 3)];
    }
    std::string back;
    std::int32_t previous = Tokenizer::begin_of_text;
    for (const std::int32_t token : tokenizer.encode(text, false, false)) {
      back += tokenizer.decode(previous, token);
      previous = token;
    }
    ASSERT_EQ(back, text);
  }
}

TEST_F(TokenizerFile, says_what_is_wrong) {
  const std::string good = file_of(small_vocabulary());
  const auto expect = [&](const std::string& data, std::int64_t vocabulary, const char* text) {
    const std::string message = message_of(data, vocabulary);
    EXPECT_NE(message.find(text), std::string::npos) << message;
    EXPECT_NE(message.find(path_.string()), std::string::npos) << message;
  };
  expect("", small_size, "does not begin with the length");
  expect(good.substr(0, good.size() - 1), small_size, "ends within token 268 of 269");
  expect(good, 268, "bytes after its 268 tokens");
  expect(good, 270, "ends within token 269 of 270");
  expect(good, std::int64_t{1} << 40, "cannot hold a vocabulary");
  expect(good, 0, "cannot hold a vocabulary");
  std::string hostile = good;
  const std::int32_t length = -5;
  std::memcpy(hostile.data() + 8, &length, 4);
  expect(hostile, small_size, "token 0 has a length of -5");
  const std::int32_t huge = 0x7fffffff;
  std::memcpy(hostile.data() + 8, &huge, 4);
  expect(hostile, small_size, "token 0 has a length of 2147483647");
  std::memcpy(hostile.data(), &huge, 4);
  expect(hostile, small_size, "ends within token 0");
  hostile = good;
  const std::uint32_t nan = 0x7fc00000U;
  std::memcpy(hostile.data() + 4, &nan, 4);
  expect(hostile, small_size, "score of token 0 is not a number");
  EXPECT_THROW(Tokenizer("/nonexistent/tokenizer.bin", 5), ConfigError);
  EXPECT_THROW(Tokenizer(std::filesystem::temp_directory_path().string(), 5), ConfigError);
}

TEST_F(TokenizerFile, broken_bytes_give_an_error_or_a_tokenizer_and_never_a_crash) {
  const std::string good = file_of(small_vocabulary());
  RandomStream random(37, "fuzz");
  for (int round = 0; round < 300; ++round) {
    std::string data = good.substr(
        0, static_cast<std::size_t>(random.integer(0, static_cast<std::int64_t>(good.size()))));
    for (int i = 0; i < 5 && !data.empty(); ++i) {
      data[static_cast<std::size_t>(
          random.integer(0, static_cast<std::int64_t>(data.size()) - 1))] =
          static_cast<char>(random.integer(0, 255));
    }
    (void)message_of(data, random.integer(-1, 400));
  }
}

TEST_F(TokenizerFile, a_vocabulary_without_byte_tokens_says_so) {
  const Tokenizer tokenizer(write(file_of({{"<unk>", 0}, {"<s>", 0}, {"</s>", 0}, {" ", 0}})), 4);
  EXPECT_THROW((void)tokenizer.encode("z", false, false), ConfigError);
}

}  // namespace
}  // namespace tandem
