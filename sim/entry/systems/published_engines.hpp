// How many engines the disaggregated runs of InferenceX had, and how many tokens they drafted, by
// load: what the benchmark's authors published beside their scripts. No figure of a run is in here.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/entry/systems/served_row.hpp"

namespace tandem::entry {

/// Engines of one run: `tensor` chips share a request, or `groups` of one chip share experts alone.
struct PublishedPool {
  std::int64_t engines = 1;
  std::int64_t tensor = 1;
  std::int64_t groups = 1;
  std::int64_t expert = 1;
};

struct PublishedEngines {
  std::int64_t drafts = 0;  ///< of multi-token prediction; 0: none
  PublishedPool prefill, decode;
};

/// Those with the chips, engine, format, lengths and users of a row; empty where none were
/// published. The source has TensorRT-LLM's; SGLang's name neither engines nor drafts by load.
[[nodiscard]] std::vector<PublishedEngines> published_engines(const ServedRow& row);

}  // namespace tandem::entry
