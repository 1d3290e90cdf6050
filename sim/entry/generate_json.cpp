#include "sim/entry/generate_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace tandem::entry {
namespace {

using Json = nlohmann::ordered_json;

/// Mean gap between generated tokens after the first; 0 when there is none.
double tpot_ms(const GenerateResult& result) {
  if (result.token_gaps.size() < 2) return 0;
  const Picoseconds decode = result.total - result.time_to_first_token;
  return to_milliseconds(decode) / static_cast<double>(result.token_gaps.size() - 1);
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

}  // namespace

std::string text_of(const GenerateResult& result, const Tokenizer& tokenizer) {
  std::string text;
  for (std::size_t i = 1; i < result.tokens.size(); ++i) {
    text += tokenizer.decode(result.tokens[i - 1], result.tokens[i]);
  }
  return text;
}

std::string generate_json(const GenerateResult& result, const std::string& text,
                          double reference_error) {
  Json gaps = Json::array();
  for (const Picoseconds gap : result.token_gaps) gaps.push_back(to_milliseconds(gap));
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
  json["text"] = as_utf8(text);
  json["tokens"] = result.tokens;
  json["prompt_tokens"] = result.prompt_tokens;
  json["timing"] = {{"ttft_ms", to_milliseconds(result.time_to_first_token)},
                    {"tpot_ms", tpot_ms(result)},
                    {"total_ms", to_milliseconds(result.total)},
                    {"bound_ms", to_milliseconds(result.floor)},
                    {"per_token_ms", gaps}};
  json["speculation"] = rounds_json(result);
  json["transfers"] = transfers;
  json["chips"] = chips;
  json["checks"] = {{"reference_max_abs_error", reference_error}};
  return json.dump(1) + "\n";
}

std::string logits_jsonl(const GenerateResult& result) {
  std::string lines;
  for (const auto& [position, logits] : result.logits) {
    Json line;
    line["pos"] = position;
    line["token"] = result.tokens[static_cast<std::size_t>(position)];
    line["logits"] = logits;
    lines += line.dump() + "\n";
  }
  return lines;
}

std::string generate_page(const GenerateResult& result, const std::string& text,
                          double reference_error) {
  std::string page = fmt::format("{}\n\n", text);
  page += fmt::format("  {:<28}{} prompt, {} generated\n", "tokens", result.prompt_tokens,
                      static_cast<std::int64_t>(result.tokens.size()) - result.prompt_tokens);
  page += fmt::format("  {:<28}{:.4f} ms\n", "time to first token",
                      to_milliseconds(result.time_to_first_token));
  page += fmt::format("  {:<28}{:.4f} ms (mean, KV transfer included)\n", "time per output token",
                      tpot_ms(result));
  page += fmt::format("  {:<28}{:.4f} ms, floor {:.4f} ms\n", "total",
                      to_milliseconds(result.total), to_milliseconds(result.floor));
  page += fmt::format("  {:<28}{} B KV cache, {} B hidden states\n", "moved over links",
                      moved(result, "kv").count(), moved(result, "hidden").count());
  for (const auto& [name, cycles] : result.chip_cycles) {
    page += fmt::format("  {:<28}{} cycles\n", name, cycles.count());
  }
  page += fmt::format("  {:<28}largest logit difference {:.3g}\n", "against fp32 reference",
                      reference_error);
  return page;
}

}  // namespace tandem::entry
