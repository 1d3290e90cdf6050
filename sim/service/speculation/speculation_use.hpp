// What the speculative decoding of a run came to.
#pragma once

#include <cstdint>
#include <string>

#include "sim/core/units.hpp"

namespace tandem {

/// What the rounds of a run came to. The five times are sums over requests and cover, without gap
/// or overlap, the time from a request's first token to its last; waiting for a pool counts to it.
struct SpeculationUse {
  std::string draft_model;
  std::int64_t drafts = 0;  ///< of a round
  std::int64_t rounds = 0;
  std::int64_t accepted = 0;  ///< drafts, those after a request's last token too
  Picoseconds draft_prompt;   ///< the first token is there, the draft model's KV of the prompt not
  Picoseconds drafting;
  Picoseconds transfer;  ///< token ids on the links, both ways
  Picoseconds waiting;   ///< for the drafts of others, where rounds are in step
  Picoseconds verifying;
};

}  // namespace tandem
