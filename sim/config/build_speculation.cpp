// Speculative decoding of drafter placements.
#include <fmt/format.h>

#include "sim/config/build.hpp"
#include "sim/config/check_scenario.hpp"
#include "sim/config/loader.hpp"

namespace tandem::config {
namespace {

/// One probability, or a list of them.
std::vector<double> read_acceptance(const Tree& tree, ReadContext& context) {
  const ParameterSpec spec{"acceptance", Dimension::Fraction, "", std::nullopt, 0, 1};
  std::vector<double> acceptance;
  const auto read = [&](const Tree& one) {
    const auto parameter = read_parameter(one, spec, false, context);
    if (parameter) acceptance.push_back(parameter->value);
  };
  if (!tree.is_sequence()) {
    read(tree);
    return acceptance;
  }
  if (tree.items.empty()) {
    context.problems.report(tree.place,
                            "'acceptance' is an empty list; write one probability per draft, e.g. "
                            "'acceptance: [0.8, 0.7]'");
  }
  for (const Tree& item : tree.items) read(item);
  return acceptance;
}

bool has_recurrent_state(const NeuralNetwork& network) {
  for (const LayerKind& kind : network.kinds) {
    if (std::holds_alternative<GatedDelta>(kind.mixer)) return true;
  }
  return false;
}

/// What keeps a network from being part of speculative decoding.
void check_network_of_rounds(const NeuralNetwork& network, const SourcePlace& place,
                             Problems& problems) {
  if (!has_recurrent_state(network)) return;
  problems.report(place, fmt::format("'{}' keeps recurrent states, which cannot drop rejected "
                                     "drafts yet; mode drafter needs a model of attention alone",
                                     network.name));
}

bool is_known(const NeuralNetwork& network) {
  return network.name != from_checkpoint && network.layers() > 0;
}

}  // namespace

Speculation build_speculation(const MapReader& reader, ReadContext& context) {
  Speculation speculation;
  speculation.drafts = reader.count("drafts");
  speculation.in_step = reader.choice_word("rounds") == "in_step";
  speculation.place = reader.place("mode");
  if (reader.has("kv_transfer")) {
    reader.report("kv_transfer",
                  "'kv_transfer' is for modes whose prompts have a pool of their "
                  "own; drafter moves no KV");
  }
  if (reader.has("acceptance")) {
    speculation.acceptance = read_acceptance(*reader.child("acceptance"), context);
    speculation.place = reader.place("acceptance");
  }
  return speculation;
}

void refuse_speculation(const MapReader& reader, const std::string& mode, ReadContext& context) {
  for (const char* key : {"drafts", "acceptance", "rounds"}) {
    if (!reader.has(key)) continue;
    context.problems.report(reader.place(key),
                            fmt::format("'{}' is for mode drafter, not for mode {}", key, mode));
  }
}

void check_draft_model(const Scenario& scenario, const Tree& tree, Problems& problems) {
  const Tree* placement = tree.find("placement");
  const TreeEntry* written = tree.find_entry("draft_model");
  const bool has_mode = placement != nullptr && placement->find("mode") != nullptr;
  if (!has_mode) return;  // reported as missing
  if (!scenario.placement.has_drafter()) {
    if (written == nullptr || written->value.is_null()) return;
    problems.report(written->key_place,
                    "'draft_model' is for placements of mode drafter; leave it out, or write "
                    "'mode: drafter'");
    return;
  }
  if (written == nullptr || written->value.is_null()) {
    problems.report(placement->find("mode")->place,
                    "mode drafter needs the key 'draft_model' beside 'model': the network that "
                    "drafts");
    return;
  }
  const NeuralNetwork& draft = scenario.draft_model;
  check_network_of_rounds(draft, written->key_place, problems);
  if (const Tree* model = tree.find("model")) {
    check_network_of_rounds(scenario.model, model->place, problems);
  }
  if (!is_known(draft) || !is_known(scenario.model)) return;
  if (draft.vocabulary == scenario.model.vocabulary) return;
  problems.report(
      written->key_place,
      fmt::format("'{}' drafts tokens of a vocabulary of {}, '{}' has {}; a draft "
                  "model shares the vocabulary of the model",
                  draft.name, draft.vocabulary, scenario.model.name, scenario.model.vocabulary));
}

}  // namespace tandem::config
