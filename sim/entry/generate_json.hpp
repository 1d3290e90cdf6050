// `tandem generate` as values and text: what a functional run reports.
#pragma once

#include <string>
#include <vector>

#include "sim/numerics/tokenizer.hpp"
#include "sim/step/generate.hpp"

namespace tandem::entry {

/// The texts of a run, one per branch: the prompt and its continuation, start token left out.
[[nodiscard]] std::vector<std::string> texts_of(const GenerateResult& result,
                                                const Tokenizer& tokenizer);

/// What self-consistency answers with: the text that comes most often, of several the first.
struct FrequentText {
  std::size_t branch = 0;  ///< the first with this text
  std::size_t count = 0;
};
/// Of at least one text.
[[nodiscard]] FrequentText most_frequent(const std::vector<std::string>& texts);

/// The JSON object of DESIGN section 12: text, tokens, prompt_tokens, branches, timing,
/// speculation, transfers, chips, checks. Branches are null where there is one.
[[nodiscard]] std::string generate_json(const GenerateResult& result,
                                        const std::vector<std::string>& texts,
                                        double reference_error);

/// One JSON line per sampled position: {"pos":i,"token":id,"logits":[...]}.
[[nodiscard]] std::string logits_jsonl(const GenerateResult& result);

/// The page a person reads: text, times, bytes moved, cycles per chip, check.
[[nodiscard]] std::string generate_page(const GenerateResult& result,
                                        const std::vector<std::string>& texts,
                                        double reference_error);

}  // namespace tandem::entry
