// The load: when requests come, how long they are, what their prompts share.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/units.hpp"

namespace tandem {

/// Tokens up to `end` of a prompt, behind those of the part before, that all requests with this key
/// begin with.
struct SharedPart {
  std::int64_t key = 0;
  std::int64_t end = 0;
};

/// A request as a trace recorded it.
struct TracedRequest {
  Picoseconds arrival;      ///< after that of the first one
  std::int64_t prompt = 0;  ///< tokens
  std::int64_t output = 0;
  std::vector<SharedPart> shared;  ///< from the start of the prompt
  std::int64_t priority = 0;       ///< smaller ones first
  std::int64_t session = -1;       ///< requests of one user or conversation; -1: not known
};

/// Recorded requests, by arrival; those of equal time in the order of the file.
struct RequestTrace {
  std::string file;
  std::vector<TracedRequest> requests;
  std::int64_t dropped = 0;  ///< longer than the model's context, and left out
  /// Requests per second, as recorded: all but the first, over the time from first to last. 0 where
  /// that is no time.
  [[nodiscard]] double rate() const;
  [[nodiscard]] std::int64_t mean_prompt() const;
  [[nodiscard]] std::int64_t mean_output() const;
  [[nodiscard]] std::int64_t longest_prompt() const;
  /// Most tokens of a request, prompt and output together.
  [[nodiscard]] std::int64_t longest() const;
};

enum class ArrivalKind : std::uint8_t { Closed, Poisson, Constant, Gamma, Ramp, Trace };

struct Traffic {
  ArrivalKind arrivals = ArrivalKind::Closed;
  std::int64_t concurrency = 1;  ///< Closed: users that each wait for their answer
  /// Requests per second; Ramp: at the start, Trace: what the recorded times are scaled to.
  double rate = 0;
  double burstiness = 1;  ///< Gamma: coefficient of variation of the times between arrivals
  double end_rate = 0;    ///< Ramp: requests per second from `ramp_time` on
  double ramp_time_s = 0;
  std::int64_t prompt_tokens = 1024;  ///< mean; of a trace, its mean
  std::int64_t output_tokens = 256;
  double length_spread = 0;  ///< lengths uniform in [(1-s) n, (1+s) n]
  std::int64_t requests = 100;
  /// Left out of latencies and rates: the first requests to arrive, or those of the first seconds.
  std::int64_t warm_up_requests = 0;
  double warm_up_s = 0;
  /// Lengths and shared prefixes, and with arrivals Trace the times too; closed loops begin it
  /// again when it is over. Null: lengths are drawn.
  std::shared_ptr<const RequestTrace> trace;
  /// Answers to one prompt, whose KV they share (best of n, self-consistency). An arrival is a
  /// group of them and ends with its last one.
  std::int64_t branches = 1;
  /// Agents that answer side by side, in rounds; an arrival is the group of all of them. Each
  /// prompt is the shared prefix, what all agents wrote in the round before, and `prompt_tokens` of
  /// the agent's own.
  std::int64_t agents = 1;
  std::int64_t rounds = 1;
  std::int64_t shared_prefix_tokens = 0;  ///< of all agents of a group, or of all sessions
  /// Turns of a session; an arrival is a session and ends with its last answer. The prompt of a
  /// turn is the text so far, answers included, and `prompt_tokens` more; it comes a time after the
  /// answer before it: while a user thinks, or a tool runs.
  std::int64_t turns = 1;
  double turns_spread = 0;               ///< their number is uniform in [(1-s) n, (1+s) n]
  double think_time_s = 0;               ///< mean
  bool think_time_is_constant = false;   ///< or exponential
  std::int64_t first_prompt_tokens = 0;  ///< new tokens of the first turn; 0: `prompt_tokens`
  /// Closed: users start evenly over this time. Absent: over the time that one request takes by
  /// itself on the analytical clock, so that they are out of step as in the middle of a run.
  std::optional<Picoseconds> ramp;
  [[nodiscard]] bool has_agents() const { return agents * rounds > 1; }
  [[nodiscard]] bool has_groups() const { return branches > 1 || has_agents(); }
  [[nodiscard]] bool has_sessions() const { return turns > 1; }
  [[nodiscard]] bool has_warm_up() const { return warm_up_requests > 0 || warm_up_s > 0; }
  /// Most turns that a session may have.
  [[nodiscard]] std::int64_t most_turns() const;
};

/// Longest prompt that the traffic can draw: of the last round or turn, where there are any.
[[nodiscard]] std::int64_t longest_prompt(const Traffic& traffic);
/// Longest request that the traffic can draw: prompt and output tokens together.
[[nodiscard]] std::int64_t longest_request(const Traffic& traffic);

}  // namespace tandem
