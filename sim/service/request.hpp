// A request on its way through a service, and what is recorded of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/describe/traffic.hpp"
#include "sim/lower/batch.hpp"

namespace tandem {

class Replica;

/// Whether a branch goes on at once from the prompt that it shares, or waits: for one of the
/// sequences (or slots) that its replica runs at once, or for KV blocks. A request of a group that
/// is new may also wait for a step that has tokens to spare, or because the policy begins nothing
/// new in a step (static batches; prompts that wait for more of them).
enum class ForkOutcome : std::uint8_t {
  Runs,
  WaitsForSequence,
  WaitsForKv,
  WaitsForStep,
  WaitsForBatch
};

/// One request. Owned by the run; components hold pointers and change only what concerns them.
struct Request {
  std::int64_t id = 0;
  std::int64_t group = -1;         ///< of requests that share parts of their prompts; -1: none
  std::int64_t session = -1;       ///< of one user or conversation; -1: not known
  std::int64_t turn = 0;           ///< of the session
  bool opens_user = false;         ///< closed loop: the first request of its user
  std::vector<SharedPart> shared;  ///< from the start of the prompt
  Picoseconds arrival;
  std::int64_t prompt = 0;
  std::int64_t output = 0;    ///< tokens to generate, at least 1
  std::int64_t priority = 0;  ///< smaller ones first, where the scheduler looks at it
  std::int64_t generated = 0;
  std::int64_t preemptions = 0;
  std::int64_t cached_tokens = 0;  ///< prompt tokens that a prefix cache answered
  /// Of a group: prompt tokens that requests before it compute, in whole blocks; and those of them
  /// that others were still computing when it began.
  std::int64_t findable_tokens = 0;
  std::int64_t tokens_under_way = 0;
  bool may_find = true;                    ///< its replica shares blocks; slots share nothing
  ForkOutcome waited = ForkOutcome::Runs;  ///< of a group: why the first step did not take it
  Picoseconds first_token;
  Picoseconds last_token;
  Picoseconds finish;
  /// Sums of the analytical floors of the passes (and KV moves) that this request took part in, up
  /// to its first token and after it.
  Picoseconds floor_to_first;
  Picoseconds floor_after_first;
  Replica* prefill = nullptr;  ///< where its prompt is computed
  Replica* decode = nullptr;   ///< where its later tokens are computed
  bool stays = false;          ///< between pools: its prompt is computed where it decodes
  /// Prompt tokens whose KV that replica had when it set room aside: they are not sent.
  std::int64_t kv_at_decode = 0;
  /// Speculative decoding: most new tokens of a pass once the prompt is done; 0: none of it.
  std::int64_t round_tokens = 0;
  std::int64_t unverified = 0;  ///< drafts behind the generated tokens, to verify
  bool waits = false;           ///< for another pool: nothing to compute until Replica::resume()
  /// Tokens whose KV is needed before the next one can be computed, drafts included.
  [[nodiscard]] std::int64_t known_tokens() const { return prompt + generated + unverified; }
  [[nodiscard]] bool is_done() const { return generated >= output; }
};

/// `tokens` of a request's known tokens on top of `context` of them, as part of a pass.
[[nodiscard]] SequenceSlice slice_of(const Request& request, std::int64_t context,
                                     std::int64_t tokens);

/// One row of the request table.
struct RequestRecord {
  std::int64_t id = 0;
  double arrival_s = 0;
  std::int64_t prompt = 0;
  std::int64_t output = 0;
  double ttft_ms = 0;
  double tpot_ms = 0;  ///< (e2e - ttft) / (output - 1); 0 for a single token
  double e2e_ms = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t preemptions = 0;
  std::int64_t priority = 0;
  std::int64_t session = -1;  ///< of one user or conversation; -1: not known
  std::int64_t turn = 0;      ///< of the session
  bool opens_user = false;    ///< closed loop: the first request of its user
  double ttft_floor_ms = 0;
  double tpot_floor_ms = 0;
  std::string deployment;  ///< of a mix of models, whose answer it is
};

[[nodiscard]] RequestRecord record_of(const Request& request);

}  // namespace tandem
