// A model that verifies and a smaller one that drafts, on chips whose costs can be worked out by
// hand.
#pragma once

#include <utility>
#include <vector>

#include "tests/step/fakes.hpp"

namespace tandem::fakes {

/// Both on pool "gpu": the scenario's model of four layers, three drafts per round by one of one
/// layer. Acceptance by position.
inline Scenario drafter_scenario(std::vector<double> acceptance, std::int64_t output) {
  Scenario s = scenario();
  DenseDecoder draft;
  draft.name = "tinier";
  draft.layers = 1;
  draft.hidden = 8;
  draft.heads = 2;
  draft.kv_heads = 1;
  draft.head_dim = 4;
  draft.intermediate = 16;
  draft.vocabulary = 32;
  draft.max_context = 4096;
  s.draft_model = network_of(draft);
  s.placement.mode = PlacementMode::Drafter;
  s.placement.draft.pool = "gpu";
  s.placement.speculation.method = DraftMethod::DraftModel;
  s.placement.speculation.drafts = 3;
  s.placement.speculation.acceptance = std::move(acceptance);
  s.placement.speculation.place = {"fake.yaml", 8, 5};
  s.traffic.output_tokens = output;
  return s;
}

}  // namespace tandem::fakes
