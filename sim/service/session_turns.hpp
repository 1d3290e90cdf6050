// Arrivals that are sessions: a conversation, or an agent that calls tools, turn by turn.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "sim/core/random.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/service/component.hpp"
#include "sim/service/request.hpp"
#include "sim/service/source.hpp"

namespace tandem {

/// What the sessions of a run did.
struct SessionUse {
  std::int64_t sessions = 0;
  std::int64_t turns = 0;           ///< of all sessions
  std::vector<double> duration_ms;  ///< first arrival to last token, thinking included, by session
  std::vector<double> ttft_first_ms;
  std::vector<double> ttft_later_ms;  ///< of turns behind the first
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;  ///< of those
  /// Prompt tokens of earlier turns and of the prefix that all sessions share, in whole blocks:
  /// those that a cache without end, where every session stays, does not compute.
  std::int64_t reusable_tokens = 0;
};

/// Stands between a source, whose arrivals are first turns, and what answers.
///
/// Contract:
///  - turns, lengths and think times of a session are drawn when it arrives, from the streams
///    "session lengths" and "think times": they do not depend on how the service fares.
///  - the source hears of a session once, when its last turn is answered.
///  - all turns of a session share one part of their prompts, which grows with its text.
class SessionTurns final : public RequestInlet, public AnswerSink, public Component {
 public:
  /// `block_tokens`: tokens of a KV block; `shares_prefixes`: prompts begin behind what is cached.
  SessionTurns(const Traffic& traffic, std::int64_t block_tokens, bool shares_prefixes,
               std::uint64_t seed, Agenda& agenda, RequestInlet& inlet);
  void connect(AnswerSink& source) { source_ = &source; }
  void arrived(Request& first, Picoseconds now) override;
  void answered(Request& request, Picoseconds now) override;
  void act(Picoseconds now, Phase phase) override;
  /// Requests beside those of the source.
  [[nodiscard]] const std::deque<Request>& requests() const { return requests_; }
  [[nodiscard]] const SessionUse& use() const { return use_; }

 private:
  struct Turn {
    std::int64_t new_tokens = 0;
    std::int64_t output = 0;
    Picoseconds think;  ///< after the answer before it
  };
  struct Session {
    Request* first = nullptr;
    std::vector<Turn> turns;
    std::int64_t answered = 0;
    std::int64_t text = 0;  ///< tokens so far, answers included
  };
  void draw(Session& session);
  [[nodiscard]] Picoseconds draw_think_time();
  void prepare(Request& request, const Session& session) const;
  void count(const Request& request);
  void send_next(Session& session, Picoseconds now);

  Traffic traffic_;
  std::int64_t block_tokens_;
  bool shares_prefixes_;
  RandomStream lengths_;
  RandomStream thinking_;
  Agenda& agenda_;
  RequestInlet& inlet_;
  AnswerSink* source_ = nullptr;
  std::map<std::int64_t, Session> sessions_;                 ///< under way
  std::multimap<Picoseconds, std::int64_t> thinking_until_;  ///< sessions, by time of the next turn
  std::deque<Request> requests_;  ///< a deque: pointers to requests stay valid
  SessionUse use_;
};

}  // namespace tandem
