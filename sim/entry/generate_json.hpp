// `tandem generate` as values and text: what a functional run reports.
#pragma once

#include <string>

#include "sim/numerics/tokenizer.hpp"
#include "sim/step/generate.hpp"

namespace tandem::entry {

/// The text of a run: the prompt and its continuation, start token left out.
[[nodiscard]] std::string text_of(const GenerateResult& result, const Tokenizer& tokenizer);

/// The JSON object of DESIGN section 12: text, tokens, prompt_tokens, timing, transfers, chips,
/// checks.
[[nodiscard]] std::string generate_json(const GenerateResult& result, const std::string& text,
                                        double reference_error);

/// One JSON line per sampled position: {"pos":i,"token":id,"logits":[...]}.
[[nodiscard]] std::string logits_jsonl(const GenerateResult& result);

/// The page a person reads: text, times, bytes moved, cycles per chip, check.
[[nodiscard]] std::string generate_page(const GenerateResult& result, const std::string& text,
                                        double reference_error);

}  // namespace tandem::entry
