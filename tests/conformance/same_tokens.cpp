#include "tests/conformance/same_tokens.hpp"

#include <fmt/format.h>

#include <set>

namespace tandem::conformance {
namespace {

/// A refusal of every cell that the three name; empty: of all.
struct Refusal {
  std::string model, placement, technique, words;
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
std::vector<Refusal> refusals() {
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
          {.name = "weights in int4_g32", .weights = "int4_g32"},
          {.name = "KV in fp8_channel", .kv_cache = "fp8_channel"},
          {.name = "StreamingLLM",
           .sets = {"serving.eviction={policy: streaming_llm, tokens: 10, sinks: 2}"}},
          {.name = "H2O", .sets = {"serving.eviction={policy: h2o, budget: 0.6}"}},
          {.name = "draft model",
           .sets = {"speculation={method: draft_model, drafts: 3}"},
           .uses_draft_model = true,
           .keeps_text = true},
          {.name = "prediction module",
           .sets = {"speculation={method: mtp, drafts: 2}"},
           .keeps_text = true}};
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

Promise same_tokens(const TrainedModel& model, const PlacementRow& placement,
                    const Technique& technique) {
  for (const Refusal& refusal : refusals()) {
    if (refusal.is_of(model.name, placement.name, technique.name)) return {0, refusal.words};
  }
  return {};
}

std::string same_tokens_page() {
  std::string page =
      "\n## Same tokens on every placement\n\nGreedy text of the trained models, all pools in "
      "float16 (weights and caches but for what a technique says), against one GPU with the same "
      "technique. \"same\": the same tokens; draft models and prediction modules leave the text of "
      "no technique.\n\n| model | technique |";
  for (const PlacementRow& placement : placement_rows()) page += " " + placement.name + " |";
  page += "\n|---|---|";
  for (std::size_t i = 0; i < placement_rows().size(); ++i) page += "---|";
  page += "\n";
  std::vector<std::string> words;
  for (const TrainedModel& model : trained_models()) {
    for (const Technique& technique : techniques()) {
      page += fmt::format("| {} | {} |", model.name, technique.name);
      for (const PlacementRow& placement : placement_rows()) {
        const std::string refused = same_tokens(model, placement, technique).refused;
        if (refused.empty()) {
          page += " same |";
          continue;
        }
        std::size_t number = 0;
        while (number < words.size() && words[number] != refused) ++number;
        if (number == words.size()) words.push_back(refused);
        page += fmt::format(" refused ({}) |", number + 1);
      }
      page += "\n";
    }
  }
  page += "\nRefusals:\n\n";
  for (std::size_t i = 0; i < words.size(); ++i) page += fmt::format("{}. {}\n", i + 1, words[i]);
  return page;
}

}  // namespace tandem::conformance
