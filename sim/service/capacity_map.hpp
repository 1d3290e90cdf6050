// What fits where: users by context length on a system, and what a user then gets.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/service/service.hpp"

namespace tandem {

/// So many users whose requests all are as long as the context, decoding at once.
struct MapCell {
  std::int64_t users = 0;
  bool fits = false;
  /// Of what does not fit: "kv" or "max_sequences". Else the parts that bound the step: "hbm".
  std::string bound;
  double tpot_ms = 0;                       ///< 0: does not fit
  double output_tokens_per_s_per_user = 0;  ///< 1000 / TPOT
  double output_tokens_per_s = 0;           ///< of all users
};

struct MapRow {
  std::int64_t context_tokens = 0;  ///< of a request, prompt and answer
  std::int64_t most_users = 0;      ///< that fit, all replicas together; 0: the model does not
  /// Of `most_users`: "kv", "max_sequences", "model", or "context" beyond that of the model.
  std::string limit;
  std::string problem;         ///< why the model does not fit; empty where it does
  std::vector<MapCell> cells;  ///< one per number of users asked for
};

struct CapacityMap {
  std::vector<std::int64_t> users;
  std::vector<MapRow> rows;  ///< one per context
};

struct MapOptions {
  std::vector<std::int64_t> contexts;
  std::vector<std::int64_t> users;
  Fidelity fidelity = Fidelity::Cycle;
  std::optional<std::string> store;
};

/// Requests that fit come from the room for KV beside the weights, no run. Times are of a pass of
/// decoding, interpolated as in a run: with the users spread evenly over the replicas and, in a
/// pipeline, over as many passes as it has stations, a token takes the longer of one pass by itself
/// and all passes one behind the other. Prompts take no time here.
[[nodiscard]] CapacityMap capacity_map(const Scenario& scenario, const Catalogue& catalogue,
                                       const NetworkFactory& make_network,
                                       const MapOptions& options);

}  // namespace tandem
