// `tandem generate` as values and text: what a functional run reports.
#pragma once

#include <string>
#include <vector>

#include "sim/numerics/tokenizer.hpp"
#include "sim/step/generate.hpp"

namespace tandem::entry {

/// The first text of a run, start token left out.
[[nodiscard]] std::string text_of(const GenerateResult& result, const Tokenizer& tokenizer);

/// The texts of a run, one per branch: the prompt and its continuation, start token left out.
[[nodiscard]] std::vector<std::string> texts_of(const GenerateResult& result,
                                                const Tokenizer& tokenizer);

/// The JSON object of DESIGN section 12: text, tokens, prompt_tokens, timing, transfers, chips,
/// checks. Text, tokens and timing are those of the first branch; of several, `branches` lists all.
[[nodiscard]] std::string generate_json(const GenerateResult& result,
                                        const std::vector<std::string>& texts,
                                        double reference_error);

/// One JSON line per sampled position: {"pos":i,"token":id,"logits":[...]}; of several branches
/// "branch" stands in front.
[[nodiscard]] std::string logits_jsonl(const GenerateResult& result);

/// The page a person reads: text, times, bytes moved, cycles per chip, check.
[[nodiscard]] std::string generate_page(const GenerateResult& result,
                                        const std::vector<std::string>& texts,
                                        double reference_error);

}  // namespace tandem::entry
