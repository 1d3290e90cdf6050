// Speculative decoding: of drafter placements, and on the pool that verifies.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/config/build.hpp"
#include "sim/config/check_scenario.hpp"
#include "sim/config/loader.hpp"

namespace tandem::config {
namespace {

std::vector<double> read_acceptance(const Tree& tree, ReadContext& context) {
  return read_numbers(tree, {"acceptance", Dimension::Fraction, "", std::nullopt, 0, 1}, "draft",
                      "[0.8, 0.7]", context);
}

/// The probabilities that measured lengths give.
std::vector<double> read_lengths(const Tree& tree, std::int64_t drafts, ReadContext& context) {
  const std::size_t before = context.problems.size();
  const std::vector<double> lengths =
      read_numbers(tree, {"acceptance_lengths", Dimension::Scalar, "", std::nullopt, 1, 64},
                   "draft", "[1.8, 2.3]", context);
  if (context.problems.size() != before) return {};
  const bool is_list = tree.is_sequence();
  if (is_list && static_cast<std::int64_t>(lengths.size()) < drafts) {
    context.problems.report(
        tree.place,
        fmt::format("'acceptance_lengths' lists rounds of up to {} drafts, but 'drafts' "
                    "is {}; list one length per draft",
                    lengths.size(), drafts));
    return {};
  }
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const std::int64_t of = is_list ? static_cast<std::int64_t>(i) + 1 : drafts;
    if (lengths[i] <= static_cast<double>(of + 1)) continue;
    context.problems.report(is_list ? tree.items[i].place : tree.place,
                            fmt::format("a round of {} drafts gives at most {} tokens, not {}", of,
                                        of + 1, lengths[i]));
    return {};
  }
  if (is_list) return acceptance_of_lengths(lengths, drafts);
  return {acceptance_of_length(lengths.front(), drafts)};
}

/// How often drafts are right, in either form. Lengths are of so many drafts, so where these are
/// unusable nothing can be said of lengths.
void read_how_often(const MapReader& reader, Speculation& speculation, bool knows_drafts,
                    ReadContext& context) {
  const char* lengths = "acceptance_lengths";
  if (reader.has("acceptance")) {
    speculation.acceptance = read_acceptance(*reader.child("acceptance"), context);
    speculation.place = reader.place("acceptance");
    if (reader.has(lengths)) {
      reader.report(lengths, "'acceptance' says already how often drafts are right; leave one out");
    }
  } else if (reader.has(lengths) && knows_drafts) {
    speculation.acceptance = read_lengths(*reader.child(lengths), speculation.drafts, context);
    speculation.place = reader.place(lengths);
  }
}

void read_tree(const MapReader& reader, Speculation& speculation, ReadContext& context) {
  if (!reader.has("tree")) return;
  if (reader.has("drafts")) {
    reader.report("tree", "'tree' says how deep the drafts go; leave 'drafts' out");
  }
  const std::vector<double> branches =
      read_numbers(*reader.child("tree"), {"tree", Dimension::Count, "", std::nullopt, 1, 32},
                   "draft", "[3, 2, 1]", context);
  if (branches.empty()) return;
  for (const double count : branches) speculation.tree.push_back(std::llround(count));
  speculation.drafts = static_cast<std::int64_t>(branches.size());
  constexpr std::int64_t most = 256;
  if (speculation.drafts <= 32 && speculation.drafted() <= most) return;
  reader.report("tree", fmt::format("a tree has at most 32 levels and {} drafts", most));
}

/// Which keys a method has.
void read_lookup(const MapReader& reader, Speculation& speculation) {
  const char* shortest = "prompt_lookup_min";
  const char* longest = "prompt_lookup_max";
  if (speculation.method != DraftMethod::PromptLookup) {
    for (const char* key : {shortest, longest}) {
      if (!reader.has(key)) continue;
      reader.report(key, fmt::format("'{}' is for method ngram; leave it out", key));
    }
    return;
  }
  if (reader.has("tree")) {
    reader.report("tree", "a look-up gives one draft per place; write 'drafts' instead of 'tree'");
  }
  // As vLLM: where one is left out it is the other.
  const char* given = reader.has(shortest) ? shortest : longest;
  speculation.lookup.shortest = reader.count(given);
  speculation.lookup.longest = reader.has(longest) ? reader.count(longest) : reader.count(given);
  if (speculation.lookup.shortest <= speculation.lookup.longest) return;
  reader.report(shortest, fmt::format("'prompt_lookup_min' is at most 'prompt_lookup_max', {}",
                                      speculation.lookup.longest));
}

bool is_known(const NeuralNetwork& network) {
  return network.name != from_checkpoint && network.layers() > 0;
}

void check_vocabulary(const Scenario& scenario, const SourcePlace& place, Problems& problems) {
  const NeuralNetwork& draft = scenario.draft_model;
  if (!is_known(draft) || !is_known(scenario.model)) return;
  if (draft.vocabulary == scenario.model.vocabulary) return;
  problems.report(
      place,
      fmt::format("'{}' drafts tokens of a vocabulary of {}, '{}' has {}; a draft "
                  "model shares the vocabulary of the model",
                  draft.name, draft.vocabulary, scenario.model.name, scenario.model.vocabulary));
}

/// The chip model behind a pool; empty where the system has no such pool.
std::string chip_model_of(const Scenario& scenario, const std::string& pool) {
  for (const ChipGroup& group : scenario.system.groups) {
    if (group.pool != pool) continue;
    const auto chip = scenario.system.chips.find(group.chip);
    return chip == scenario.system.chips.end() ? "" : chip->second.model;
  }
  return "";
}

/// One pool that drafts and verifies.
void check_pool_in_place(const Scenario& scenario, const PoolPlacement& pool,
                         const SourcePlace& place, Problems& problems) {
  if (pool.pipeline == 1 || chip_model_of(scenario, pool.pool) == "lpu") return;
  problems.report(place, fmt::format("drafts on a pool of GPUs need one stage, but "
                                     "'pipeline' is {}; share layers by 'tensor' instead",
                                     pool.pipeline));
}

void check_in_place(const Scenario& scenario, const SourcePlace& place, Problems& problems) {
  const Placement& placement = scenario.placement;
  const Speculation& speculation = placement.speculation;
  if (placement.has_ffn()) {
    problems.report(place,
                    "'speculation' is for modes monolithic and disaggregated, not attention_ffn");
    return;
  }
  check_pool_in_place(scenario, placement.prefill, place, problems);
  if (placement.is_split()) check_pool_in_place(scenario, placement.decode, place, problems);
  const NeuralNetwork& model = scenario.model;
  if (speculation.method == DraftMethod::Modules && is_known(model) && model.mtp.modules == 0) {
    problems.report(place,
                    fmt::format("'{}' has no modules of multi-token prediction; write 'method: "
                                "draft_model' with a 'draft_model'",
                                model.name));
  }
}

}  // namespace

Speculation build_speculation(const MapReader& reader, ReadContext& context) {
  Speculation speculation;
  speculation.method = DraftMethod::DraftModel;
  const std::size_t before = context.problems.size();
  speculation.drafts = reader.count("drafts");
  const bool knows_drafts = context.problems.size() == before;
  speculation.in_step = reader.choice_word("rounds") == "in_step";
  speculation.place = reader.place("mode");
  if (reader.has("kv_transfer")) {
    reader.report("kv_transfer",
                  "'kv_transfer' is for modes whose prompts have a pool of their "
                  "own; drafter moves no KV");
  }
  read_how_often(reader, speculation, knows_drafts, context);
  return speculation;
}

void refuse_speculation(const MapReader& reader, const std::string& mode, ReadContext& context) {
  for (const char* key : {"drafts", "acceptance", "acceptance_lengths", "rounds"}) {
    if (!reader.has(key)) continue;
    context.problems.report(
        reader.place(key),
        fmt::format("'{}' is for mode drafter, not for mode {}; drafts on the pool that verifies "
                    "have a section 'speculation' beside 'placement'",
                    key, mode));
  }
}

void build_speculation_in_place(const Tree& tree, Placement& placement, ReadContext& context) {
  if (tree.is_null()) return;
  const MapReader reader(tree, speculation_section(), "speculation", context);
  if (!tree.is_map()) return;
  if (placement.has_drafter()) {
    context.problems.report(tree.place,
                            "mode drafter has the keys of speculative decoding under 'placement'; "
                            "leave the section 'speculation' out");
    return;
  }
  Speculation& speculation = placement.speculation;
  speculation.method =
      reader.choice<DraftMethod>("method", {{"mtp", DraftMethod::Modules},
                                            {"draft_model", DraftMethod::DraftModel},
                                            {"ngram", DraftMethod::PromptLookup}});
  speculation.place = reader.place("method");
  read_lookup(reader, speculation);
  const std::size_t before = context.problems.size();
  speculation.drafts = reader.count("drafts");
  read_tree(reader, speculation, context);
  read_how_often(reader, speculation, context.problems.size() == before, context);
}

void check_speculation(const Scenario& scenario, const Tree& tree, Problems& problems) {
  const Tree* placement_tree = tree.find("placement");
  const TreeEntry* written = tree.find_entry("draft_model");
  if (placement_tree == nullptr || placement_tree->find("mode") == nullptr) return;  // reported
  const Placement& placement = scenario.placement;
  const bool is_written = written != nullptr && !written->value.is_null();
  const Tree* section = tree.find("speculation");
  const bool in_place = placement.drafts_in_place() && section != nullptr;
  const Tree* method = in_place ? section->find("method") : nullptr;
  if (method != nullptr && problems.has(method->place)) return;
  const SourcePlace& place =
      method != nullptr ? method->place : placement_tree->find("mode")->place;
  if (in_place) check_in_place(scenario, place, problems);
  if (placement.speculation.method != DraftMethod::DraftModel) {
    if (!is_written) return;
    problems.report(written->key_place,
                    "'draft_model' is for speculative decoding with one; leave it out, or write "
                    "'mode: drafter', or a section 'speculation' with 'method: draft_model'");
    return;
  }
  if (!is_written) {
    problems.report(place,
                    fmt::format("{} needs the key 'draft_model' beside 'model': the network that "
                                "drafts",
                                in_place ? "method draft_model" : "mode drafter"));
    return;
  }
  check_vocabulary(scenario, written->key_place, problems);
}

}  // namespace tandem::config
