#include "sim/service/session_turns.hpp"

#include <algorithm>
#include <cmath>

namespace tandem {
namespace {

/// Key of the prefix that all sessions share; those of sessions are their numbers.
constexpr std::int64_t common_key = -1;

std::int64_t whole_blocks(std::int64_t tokens, std::int64_t block) {
  return tokens / block * block;
}

}  // namespace

SessionTurns::SessionTurns(const Traffic& traffic, std::int64_t block_tokens, bool shares_prefixes,
                           std::uint64_t seed, Agenda& agenda, RequestInlet& inlet)
    : traffic_(traffic),
      block_tokens_(block_tokens),
      shares_prefixes_(shares_prefixes),
      lengths_(seed, "session lengths"),
      thinking_(seed, "think times"),
      agenda_(agenda),
      inlet_(inlet) {}

Picoseconds SessionTurns::draw_think_time() {
  const double mean = traffic_.think_time_s;
  return from_seconds(traffic_.think_time_is_constant ? mean : thinking_.exponential(mean));
}

// The source has drawn the first turn as any other.
void SessionTurns::draw(Session& session) {
  const auto mean = static_cast<double>(traffic_.turns);
  const auto least = static_cast<std::int64_t>(std::ceil((1 - traffic_.turns_spread) * mean));
  const std::int64_t turns =
      traffic_.turns_spread > 0
          ? lengths_.integer(std::max<std::int64_t>(1, least), traffic_.most_turns())
          : traffic_.turns;
  const std::int64_t opening = traffic_.first_prompt_tokens;
  session.turns.push_back(
      {opening > 0 ? draw_length(opening, traffic_, lengths_) : session.first->prompt,
       session.first->output,
       {}});
  for (std::int64_t i = 1; i < turns; ++i) {
    const std::int64_t new_tokens = draw_length(traffic_.prompt_tokens, traffic_, lengths_);
    const std::int64_t output = draw_length(traffic_.output_tokens, traffic_, lengths_);
    session.turns.push_back({new_tokens, output, draw_think_time()});
  }
}

void SessionTurns::arrived(Request& first, Picoseconds now) {
  const std::int64_t number = first.id;
  Session& session = sessions_[number];
  session.first = &first;
  session.text = traffic_.shared_prefix_tokens;
  draw(session);
  ++use_.sessions;
  use_.duration_ms.push_back(0);
  first.session = number;
  first.id = number * traffic_.most_turns();
  prepare(first, session);
  inlet_.arrived(first, now);
}

/// Lengths of the next turn, and what its prompt has in common with others.
void SessionTurns::prepare(Request& request, const Session& session) const {
  const Turn& turn = session.turns[static_cast<std::size_t>(session.answered)];
  request.turn = session.answered;
  request.prompt = session.text + turn.new_tokens;
  request.output = turn.output;
  if (!shares_prefixes_) return;
  const std::int64_t prefix = traffic_.shared_prefix_tokens;
  if (prefix > 0) request.shared.push_back({common_key, prefix});
  request.shared.push_back({request.session, request.prompt + request.output});
}

void SessionTurns::count(const Request& request) {
  ++use_.turns;
  const double ttft_ms = to_milliseconds(request.first_token - request.arrival);
  (request.turn == 0 ? use_.ttft_first_ms : use_.ttft_later_ms).push_back(ttft_ms);
  use_.prompt_tokens += request.prompt;
  use_.cached_tokens += request.cached_tokens;
  const Session& session = sessions_.at(request.session);
  // The last token of the text before has no KV yet; the shared prefix is there from the second
  // session on.
  const bool finds_prefix = request.turn > 0 || request.session > 0;
  const std::int64_t before = request.turn > 0 ? session.text - 1
                              : finds_prefix   ? traffic_.shared_prefix_tokens
                                               : 0;
  use_.reusable_tokens += whole_blocks(std::min(before, request.prompt - 1), block_tokens_);
}

void SessionTurns::answered(Request& request, Picoseconds now) {
  Session& session = sessions_.at(request.session);
  count(request);
  session.text = request.prompt + request.output;
  ++session.answered;
  if (session.answered < std::ssize(session.turns)) {
    const Picoseconds next = now + session.turns[static_cast<std::size_t>(session.answered)].think;
    thinking_until_.emplace(next, request.session);
    agenda_.wake(*this, next, Phase::Release);
    return;
  }
  use_.duration_ms[static_cast<std::size_t>(request.session)] =
      to_milliseconds(now - session.first->arrival);
  Request& first = *session.first;
  sessions_.erase(request.session);
  source_->answered(first, now);
}

void SessionTurns::send_next(Session& session, Picoseconds now) {
  Request request;
  request.session = session.first->session;
  request.id = session.first->id + session.answered;
  request.arrival = now;
  prepare(request, session);
  requests_.push_back(request);
  inlet_.arrived(requests_.back(), now);
}

void SessionTurns::act(Picoseconds now, Phase phase) {
  (void)phase;
  while (!thinking_until_.empty() && thinking_until_.begin()->first <= now) {
    const std::int64_t number = thinking_until_.begin()->second;
    thinking_until_.erase(thinking_until_.begin());
    send_next(sessions_.at(number), now);
  }
}

}  // namespace tandem
