// Where requests come from: users that each wait for their answer, or arrivals at their own times.
#pragma once

#include <cstdint>
#include <deque>

#include "sim/core/random.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/service/component.hpp"
#include "sim/service/request.hpp"

namespace tandem {

/// Where a source delivers.
class RequestInlet {
 public:
  virtual ~RequestInlet() = default;
  virtual void arrived(Request& request, Picoseconds now) = 0;
};

/// What hears of answers.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  virtual void answered(Request& request, Picoseconds now) = 0;
};

/// A length around `mean` with the traffic's spread; draws nothing where there is none.
[[nodiscard]] std::int64_t draw_length(std::int64_t mean, const Traffic& traffic,
                                       RandomStream& stream);

/// Makes the requests of a run. Lengths come from the stream "lengths" in the order of the ids,
/// times between arrivals from the stream "arrivals": neither depends on how the service fares. A
/// trace gives the lengths, and times where the arrivals are its own.
class RequestSource final : public Component, public AnswerSink {
 public:
  /// `ramp`: time over which closed-loop users start, where the traffic does not say.
  /// `shares_prefixes`: prompts of a trace keep what they have in common.
  RequestSource(const Traffic& traffic, Picoseconds ramp, bool shares_prefixes, std::uint64_t seed,
                Agenda& agenda, RequestInlet& inlet);
  /// Plans the first arrivals.
  void start();
  /// A request was answered: in closed loop its user sends the next one.
  void answered(Request& request, Picoseconds now) override;
  void act(Picoseconds now, Phase phase) override;
  [[nodiscard]] const std::deque<Request>& requests() const { return requests_; }
  [[nodiscard]] std::int64_t answered_count() const { return answered_; }

 private:
  /// When the next request comes that waits for no answer; `now`: when the one before came.
  [[nodiscard]] Picoseconds next_arrival(Picoseconds now);
  [[nodiscard]] Picoseconds recorded_arrival() const;
  [[nodiscard]] Picoseconds ramped_arrival();
  void set_lengths(Request& request);
  [[nodiscard]] bool has_more() const {
    return static_cast<std::int64_t>(requests_.size()) < traffic_.requests;
  }
  void send_one(Picoseconds now, bool opens_user);
  void start_users(Picoseconds now);
  /// When closed-loop user `index` sends the first request.
  [[nodiscard]] Picoseconds start_of(std::int64_t index) const;

  Traffic traffic_;
  RandomStream lengths_;
  RandomStream gaps_;
  Agenda& agenda_;
  RequestInlet& inlet_;
  std::deque<Request> requests_;  ///< a deque: pointers to requests stay valid
  Picoseconds ramp_;
  bool shares_prefixes_;
  double expected_ = 0;       ///< Ramp: mean number of arrivals until the last one
  std::int64_t started_ = 0;  ///< closed loop: users that have sent their first request
  std::int64_t answered_ = 0;
  std::int64_t due_ = 0;  ///< closed loop: users ready to send the next one
};

}  // namespace tandem
