// What rounds of speculative decoding give, booked as generated tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/step/generate.hpp"

namespace tandem {

/// The text so far, and when its tokens came.
class TokenBook {
 public:
  /// Starts with as much of `prompt` as fits in options.positions. `options` must outlive the book.
  TokenBook(const GenerateOptions& options, std::span<const std::int32_t> prompt);

  [[nodiscard]] bool wants_more() const { return !ended_ && known() <= options_.positions; }
  [[nodiscard]] std::int64_t known() const {
    return static_cast<std::int64_t>(result_.tokens.size());
  }
  [[nodiscard]] const std::vector<std::int32_t>& tokens() const { return result_.tokens; }
  [[nodiscard]] GenerateResult& result() { return result_; }
  /// Books the tokens that a pass gave at `now`, from that after `position` on: they come together.
  /// Row i of `logits` chose token i. What follows the end of the text is dropped.
  void book(const std::vector<std::vector<float>>& logits, std::int64_t position,
            const std::vector<std::int32_t>& tokens, Picoseconds now);
  /// The result with its total time and its transfers in order of time.
  [[nodiscard]] GenerateResult take();

 private:
  const GenerateOptions& options_;
  GenerateResult result_;
  Picoseconds last_token_{0};
  bool ended_ = false;
};

}  // namespace tandem
