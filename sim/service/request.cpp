#include "sim/service/request.hpp"

#include <algorithm>

namespace tandem {

// The last known token is sampled from, and before it those whose next one is a draft to verify.
SequenceSlice slice_of(const Request& request, std::int64_t context, std::int64_t tokens) {
  const std::int64_t first_sampled = request.known_tokens() - 1 - request.unverified;
  const std::int64_t sampled =
      std::clamp<std::int64_t>(context + tokens - first_sampled, 0, tokens);
  return {.request = request.id,
          .context = context,
          .new_tokens = tokens,
          .wants_logits = sampled > 0,
          .verified = std::max<std::int64_t>(0, sampled - 1),
          .in_round = context >= request.prompt && tokens > 1 && tokens <= request.round_tokens};
}

RequestRecord record_of(const Request& request) {
  RequestRecord record;
  record.id = request.id;
  record.arrival_s = to_seconds(request.arrival);
  record.prompt = request.prompt;
  record.output = request.output;
  record.ttft_ms = to_milliseconds(request.first_token - request.arrival);
  record.e2e_ms = to_milliseconds(request.finish - request.arrival);
  record.ttft_floor_ms = to_milliseconds(request.floor_to_first);
  if (request.output > 1) {
    const auto gaps = static_cast<double>(request.output - 1);
    record.tpot_ms = to_milliseconds(request.finish - request.first_token) / gaps;
    record.tpot_floor_ms = to_milliseconds(request.floor_after_first) / gaps;
  }
  record.cached_tokens = request.cached_tokens;
  record.preemptions = request.preemptions;
  record.priority = request.priority;
  record.session = request.session;
  record.turn = request.turn;
  record.opens_user = request.opens_user;
  return record;
}

}  // namespace tandem
