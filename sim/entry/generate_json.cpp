#include "sim/entry/generate_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace tandem::entry {
namespace {

using Json = nlohmann::ordered_json;

/// Mean gap between a text's tokens after the first; 0 when there is none.
double tpot_ms(const std::vector<Picoseconds>& token_gaps) {
  if (token_gaps.size() < 2) return 0;
  Picoseconds decode{0};
  for (std::size_t i = 1; i < token_gaps.size(); ++i) decode += token_gaps[i];
  return to_milliseconds(decode) / static_cast<double>(token_gaps.size() - 1);
}

Json in_milliseconds(const std::vector<Picoseconds>& gaps) {
  Json list = Json::array();
  for (const Picoseconds gap : gaps) list.push_back(to_milliseconds(gap));
  return list;
}

Bytes moved(const GenerateResult& result, const std::string& what) {
  Bytes total;
  for (const Transfer& transfer : result.transfers) {
    if (transfer.what == what) total += transfer.bytes;
  }
  return total;
}

/// Rounds of a drafter placement; null for others.
Json rounds_json(const GenerateResult& result) {
  if (result.rounds.empty()) return nullptr;
  std::int64_t drafted = 0;
  std::int64_t accepted = 0;
  for (const DraftRound& round : result.rounds) {
    drafted += round.drafted;
    accepted += round.accepted;
  }
  const auto rounds = static_cast<double>(result.rounds.size());
  return {{"rounds", result.rounds.size()},
          {"drafted", drafted},
          {"accepted", accepted},
          {"tokens_per_round", 1 + static_cast<double>(accepted) / rounds}};
}

/// Bytes that may stand in JSON: what is no UTF-8 becomes the replacement character.
std::string as_utf8(const std::string& text) {
  const Json value = text;
  const std::string dumped = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return Json::parse(dumped).get<std::string>();
}

std::string decoded(const std::vector<std::int32_t>& tokens, const Tokenizer& tokenizer) {
  std::string text;
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    text += tokenizer.decode(tokens[i - 1], tokens[i]);
  }
  return text;
}

Json branch_json(const std::string& text, const std::vector<std::int32_t>& tokens,
                 const std::vector<Picoseconds>& gaps) {
  return {{"text", as_utf8(text)},
          {"tokens", tokens},
          {"tpot_ms", tpot_ms(gaps)},
          {"per_token_ms", in_milliseconds(gaps)}};
}

/// All texts of the prompt, the first one too.
Json branches_json(const GenerateResult& result, const std::vector<std::string>& texts) {
  Json list = Json::array();
  list.push_back(branch_json(texts[0], result.tokens, result.token_gaps));
  for (std::size_t i = 1; i < texts.size(); ++i) {
    const GeneratedBranch& branch = result.branches[i - 1];
    list.push_back(branch_json(texts[i], branch.tokens, branch.token_gaps));
  }
  return list;
}

/// The texts, with numbers where there are several.
std::string texts_page(const std::vector<std::string>& texts) {
  if (texts.size() == 1) return texts[0] + "\n\n";
  std::string page;
  for (std::size_t i = 0; i < texts.size(); ++i) page += fmt::format("[{}] {}\n\n", i, texts[i]);
  return page;
}

/// Tokens behind the prompt, of all texts.
std::int64_t generated(const GenerateResult& result) {
  std::int64_t tokens = static_cast<std::int64_t>(result.tokens.size()) - result.prompt_tokens;
  for (const GeneratedBranch& branch : result.branches) {
    tokens += static_cast<std::int64_t>(branch.tokens.size()) - result.prompt_tokens;
  }
  return tokens;
}

/// A line of logits for each position of a text; `line` has what stands in front.
std::string logits_lines(const Json& line, const std::vector<std::int32_t>& tokens,
                         const std::map<std::int64_t, std::vector<float>>& rows) {
  std::string lines;
  for (const auto& [position, logits] : rows) {
    Json own = line;
    own["pos"] = position;
    own["token"] = tokens[static_cast<std::size_t>(position)];
    own["logits"] = logits;
    lines += own.dump() + "\n";
  }
  return lines;
}

}  // namespace

std::string text_of(const GenerateResult& result, const Tokenizer& tokenizer) {
  return decoded(result.tokens, tokenizer);
}

std::vector<std::string> texts_of(const GenerateResult& result, const Tokenizer& tokenizer) {
  std::vector<std::string> texts{decoded(result.tokens, tokenizer)};
  for (const GeneratedBranch& branch : result.branches) {
    texts.push_back(decoded(branch.tokens, tokenizer));
  }
  return texts;
}

std::string generate_json(const GenerateResult& result, const std::vector<std::string>& texts,
                          double reference_error) {
  Json transfers = Json::array();
  for (const Transfer& transfer : result.transfers) {
    transfers.push_back({{"from", transfer.from},
                         {"to", transfer.to},
                         {"what", transfer.what},
                         {"bytes", transfer.bytes.count()},
                         {"start_ms", to_milliseconds(transfer.start)},
                         {"end_ms", to_milliseconds(transfer.end)}});
  }
  Json chips = Json::object();
  for (const auto& [name, cycles] : result.chip_cycles) chips[name] = cycles.count();
  Json json;
  json["text"] = as_utf8(texts[0]);
  json["tokens"] = result.tokens;
  json["prompt_tokens"] = result.prompt_tokens;
  if (texts.size() > 1) json["branches"] = branches_json(result, texts);
  json["timing"] = {{"ttft_ms", to_milliseconds(result.time_to_first_token)},
                    {"tpot_ms", tpot_ms(result.token_gaps)},
                    {"total_ms", to_milliseconds(result.total)},
                    {"bound_ms", to_milliseconds(result.floor)},
                    {"per_token_ms", in_milliseconds(result.token_gaps)}};
  json["speculation"] = rounds_json(result);
  json["transfers"] = transfers;
  json["chips"] = chips;
  json["checks"] = {{"reference_max_abs_error", reference_error}};
  return json.dump(1) + "\n";
}

std::string logits_jsonl(const GenerateResult& result) {
  if (result.branches.empty()) return logits_lines(Json::object(), result.tokens, result.logits);
  std::string lines = logits_lines({{"branch", 0}}, result.tokens, result.logits);
  for (std::size_t i = 0; i < result.branches.size(); ++i) {
    const GeneratedBranch& branch = result.branches[i];
    lines += logits_lines({{"branch", i + 1}}, branch.tokens, branch.logits);
  }
  return lines;
}

std::string generate_page(const GenerateResult& result, const std::vector<std::string>& texts,
                          double reference_error) {
  std::string page = texts_page(texts);
  page += fmt::format("  {:<28}{} prompt, {} generated\n", "tokens", result.prompt_tokens,
                      generated(result));
  page += fmt::format("  {:<28}{:.4f} ms\n", "time to first token",
                      to_milliseconds(result.time_to_first_token));
  page += fmt::format("  {:<28}{:.4f} ms (mean, KV transfer included)\n", "time per output token",
                      tpot_ms(result.token_gaps));
  page += fmt::format("  {:<28}{:.4f} ms, floor {:.4f} ms\n", "total",
                      to_milliseconds(result.total), to_milliseconds(result.floor));
  page += fmt::format("  {:<28}{} B KV cache, {} B hidden states\n", "moved over links",
                      moved(result, "kv").count(), moved(result, "hidden").count());
  if (const Json rounds = rounds_json(result); !rounds.is_null()) {
    page +=
        fmt::format("  {:<28}{} of {} drafts in {} rounds, {:.2f} tokens per round\n", "accepted",
                    rounds["accepted"].get<std::int64_t>(), rounds["drafted"].get<std::int64_t>(),
                    rounds["rounds"].get<std::int64_t>(), rounds["tokens_per_round"].get<double>());
  }
  for (const auto& [name, cycles] : result.chip_cycles) {
    page += fmt::format("  {:<28}{} cycles\n", name, cycles.count());
  }
  page += fmt::format("  {:<28}largest logit difference {:.3g}\n", "against plain float32",
                      reference_error);
  return page;
}

}  // namespace tandem::entry
