#include "tests/conformance/same_tokens.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace tandem::conformance {
namespace {

/// What holds of every cell that the three name; empty: of all.
struct Exception {
  std::string model, placement, technique, words = {};
  [[nodiscard]] bool is_of(const std::string& own_model, const std::string& own_placement,
                           const std::string& own_technique) const {
    return (model.empty() || model == own_model) &&
           (placement.empty() || placement == own_placement) &&
           (technique.empty() || technique == own_technique);
  }
};

const char* const lpu = "one LPU";
const char* const disaggregated = "GPU, then LPU";
const char* const halves = "attention on GPUs, feed-forward on LPUs";

/// The first that names a cell counts.
std::vector<Exception> refusals() {
  const std::string elements = "keeps keys and values as elements that its planes multiply";
  const std::string pools = "evicted caches stay on the pool that made them";
  const std::string modes = "'speculation' is for modes monolithic and disaggregated";
  return {{"", lpu, "KV in fp8_channel", elements},
          {"", disaggregated, "KV in fp8_channel", elements},
          {"", lpu, "StreamingLLM", "programs of LPUs address every token that was appended"},
          {"", lpu, "H2O", "programs of LPUs address every token that was appended"},
          {"", disaggregated, "StreamingLLM", pools},
          {"", disaggregated, "H2O", pools},
          {"", halves, "StreamingLLM", pools},
          {"", halves, "H2O", pools},
          {"", halves, "draft model", modes},
          {"", halves, "prediction module", modes},
          {"little_tales", "", "prediction module", "has no modules of multi-token prediction"},
          {"little_hybrid", "two GPUs", "draft model",
           "1 key heads of gated delta layers, which tensor x context = 2 does not divide"}};
}

const char* const own_choice =
    "each chip judges latents, which all heads share, by the heads that it has";

std::vector<Exception> own_texts() {
  return {{"little_latent", "two GPUs", "H2O", own_choice}};
}

const char* const tie =
    "two tokens have the same logits in float16, to which GPUs round them, where the texts part: "
    "LPUs keep them in float32";

std::vector<Exception> ties() {
  return {{"little_hybrid", lpu, "weights in int4_g32"},
          {"little_hybrid", disaggregated, "weights in int4_g32"}};
}

/// Passes of LPUs take seconds per text, so of the larger models' cells these are tested every
/// time.
std::vector<Exception> quick_cells_with_lpus() {
  return {{"little_tales", "", ""},          {"little_hybrid", lpu, "draft model"},
          {"little_latent", lpu, "none"},    {"little_hybrid", disaggregated, "prediction module"},
          {"little_latent", halves, "none"}, {"little_hybrid", halves, "none"}};
}

bool has_lpu(const PlacementRow& placement) {
  return std::ranges::any_of(placement.pools, &PlacedPool::is_lpu);
}

}  // namespace

std::vector<TrainedModel> trained_models() {
  return {{"little_tales", "little_tales/model.bin", "little_tales_drafter",
           "little_tales_drafter/model.bin"},
          {"little_latent", "little_latent", "little_latent_drafter", "little_latent_drafter"},
          {"little_hybrid", "little_hybrid", "little_hybrid_drafter", "little_hybrid_drafter"}};
}

std::vector<PlacementRow> placement_rows() {
  return {
      {"one GPU", "little_tales_gpu", {{"placement"}}, {}},
      {"two GPUs", "little_tales_gpu", {{"placement"}}, {"system=dgx_h100", "placement.tensor=2"}},
      {lpu, "little_tales_lpu", {{"placement", true}}, {}},
      {disaggregated,
       "little_tales_hybrid",
       {{"placement.prefill"}, {"placement.decode", true}},
       {}},
      {halves,
       "little_tales_afd",
       {{"placement.prefill"}, {"placement.attention"}, {"placement.ffn", true, false}},
       {}}};
}

std::vector<Technique> techniques() {
  return {{.name = "none", .keeps_text = true},
          {.name = "weights in int4_g32", .weights = "int4_g32", .trace = Trace::OtherLogits},
          {.name = "KV in fp8_channel", .kv_cache = "fp8_channel", .trace = Trace::OtherLogits},
          {.name = "StreamingLLM",
           .sets = {"serving.eviction={policy: streaming_llm, tokens: 10, sinks: 2}"},
           .trace = Trace::EvictedTokens,
           .kept_tokens = 10},
          {.name = "H2O",
           .sets = {"serving.eviction={policy: h2o, budget: 0.6}"},
           .trace = Trace::EvictedTokens,
           .kept_share = 0.6},
          {.name = "draft model",
           .sets = {"speculation={method: draft_model, drafts: 3}"},
           .uses_draft_model = true,
           .keeps_text = true,
           .trace = Trace::RejectedDrafts},
          {.name = "prediction module",
           .sets = {"speculation={method: mtp, drafts: 2}"},
           .keeps_text = true,
           .trace = Trace::RejectedDrafts},
          {.name = "best of two", .trace = Trace::SharedPrompt, .texts = 2}};
}

std::vector<std::string> overrides_of(const TrainedModel& model, const PlacementRow& placement,
                                      const Technique& technique) {
  std::vector<std::string> sets = placement.sets;
  sets.push_back("model=" + model.name);
  for (const PlacedPool& pool : placement.pools) {
    const bool expands = pool.is_lpu && technique.weights != "float16";
    sets.push_back(fmt::format("{}.precision={{weights: {}, kv_cache: {}, activations: float16{}}}",
                               pool.key, technique.weights,
                               pool.caches ? technique.kv_cache : "float16",
                               expands ? ", expand: load" : ""));
  }
  if (technique.uses_draft_model) sets.push_back("draft_model=" + model.draft_model);
  sets.insert(sets.end(), technique.sets.begin(), technique.sets.end());
  return sets;
}

Cell same_tokens(const TrainedModel& model, const PlacementRow& placement,
                 const Technique& technique) {
  const auto find = [&](const std::vector<Exception>& list) {
    return std::ranges::find_if(list, [&](const Exception& exception) {
      return exception.is_of(model.name, placement.name, technique.name);
    });
  };
  const std::vector<Exception> refused = refusals(), own = own_texts(),
                               quick = quick_cells_with_lpus();
  if (const auto at = find(refused); at != refused.end()) return {CellKind::Refused, at->words};
  const bool takes_long = has_lpu(placement) && find(quick) == quick.end();
  if (const auto at = find(own); at != own.end()) return {CellKind::OwnText, at->words, takes_long};
  const std::vector<Exception> even = ties();
  if (find(even) != even.end()) return {CellKind::Tie, tie, takes_long};
  return {CellKind::Same, "", takes_long};
}

std::string same_tokens_page() {
  std::string page =
      "\n## Same tokens on every placement\n\nSixty tokens of the trained models, all pools in "
      "float16 (weights and caches but for what a technique says), against one GPU with the same "
      "technique. \"same\": the same tokens, by a test of every change, \"same*\": by "
      "scripts/full.sh. Greedy, "
      "but for \"best of two\", which samples both texts. Draft models and prediction modules "
      "leave "
      "the text of no technique. Every cell shows its technique at work: formats and eviction by "
      "logits that part from those of no technique in the very pass in which they have to, drafts "
      "by some that were accepted and some that were rejected, two texts by one pass over their "
      "prompt.\n\n| model | technique |";
  for (const PlacementRow& placement : placement_rows()) page += " " + placement.name + " |";
  page += "\n|---|---|";
  for (std::size_t i = 0; i < placement_rows().size(); ++i) page += "---|";
  page += "\n";
  std::vector<std::string> words;
  const auto number_of = [&](const std::string& own) {
    const auto at = std::ranges::find(words, own);
    const auto number = at - words.begin();
    if (at == words.end()) words.push_back(own);
    return number + 1;
  };
  for (const TrainedModel& model : trained_models()) {
    for (const Technique& technique : techniques()) {
      page += fmt::format("| {} | {} |", model.name, technique.name);
      for (const PlacementRow& placement : placement_rows()) {
        const Cell cell = same_tokens(model, placement, technique);
        switch (cell.kind) {
          case CellKind::Same:
            page += cell.takes_long ? " same* |" : " same |";
            break;
          case CellKind::OwnText:
            page += fmt::format(" a text of its own ({}) |", number_of(cell.words));
            break;
          case CellKind::Tie:
            page += fmt::format(" the same up to a tie{} ({}) |", cell.takes_long ? "*" : "",
                                number_of(cell.words));
            break;
          case CellKind::Refused:
            page += fmt::format(" refused ({}) |", number_of(cell.words));
            break;
        }
      }
      page += "\n";
    }
  }
  page += "\nWhy:\n\n";
  for (std::size_t i = 0; i < words.size(); ++i) page += fmt::format("{}. {}\n", i + 1, words[i]);
  return page;
}

}  // namespace tandem::conformance
