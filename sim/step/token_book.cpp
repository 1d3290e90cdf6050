#include "sim/step/token_book.hpp"

#include <algorithm>
#include <utility>

namespace tandem {

TokenBook::TokenBook(const GenerateOptions& options, std::span<const std::int32_t> prompt)
    : options_(options) {
  const auto fed =
      std::min<std::int64_t>(static_cast<std::int64_t>(prompt.size()), options.positions);
  result_.tokens.assign(prompt.begin(), prompt.begin() + fed);
  result_.prompt_tokens = fed;
}

void TokenBook::book(const std::vector<std::vector<float>>& logits, std::int64_t position,
                     const std::vector<std::int32_t>& tokens, Picoseconds now) {
  for (std::size_t i = 0; i < tokens.size() && wants_more(); ++i) {
    result_.token_gaps.push_back(now - last_token_);
    last_token_ = now;
    result_.logits[position + static_cast<std::int64_t>(i)] = logits[i];
    ended_ = tokens[i] == end_of_text_token && !options_.ignore_end;
    if (!ended_) result_.tokens.push_back(tokens[i]);
  }
}

GenerateResult TokenBook::take() {
  result_.total = last_token_;
  std::stable_sort(result_.transfers.begin(), result_.transfers.end(),
                   [](const Transfer& a, const Transfer& b) { return a.start < b.start; });
  return std::move(result_);
}

}  // namespace tandem
