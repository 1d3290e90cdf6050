#include "sim/service/source.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/core/hash.hpp"

namespace tandem {
namespace {

/// A trace that begins again brings other users and other texts of the same lengths.
std::int64_t name_in_lap(std::int64_t name, std::int64_t lap) {
  constexpr std::int64_t sign = std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(Hasher().add(name).add(lap).value()) & sign;
}

}  // namespace

std::int64_t draw_length(std::int64_t mean, const Traffic& traffic, RandomStream& stream) {
  if (traffic.length_spread <= 0) return mean;
  const auto n = static_cast<double>(mean);
  const auto low = static_cast<std::int64_t>(std::ceil((1 - traffic.length_spread) * n));
  const auto high = static_cast<std::int64_t>(std::floor((1 + traffic.length_spread) * n));
  return stream.integer(std::max<std::int64_t>(1, low), high);
}

RequestSource::RequestSource(const Traffic& traffic, Picoseconds ramp, bool shares_prefixes,
                             std::uint64_t seed, Agenda& agenda, RequestInlet& inlet)
    : traffic_(traffic),
      lengths_(seed, "lengths"),
      gaps_(seed, "arrivals"),
      agenda_(agenda),
      inlet_(inlet),
      ramp_(traffic.ramp.value_or(ramp)),
      shares_prefixes_(shares_prefixes) {}

Picoseconds RequestSource::next_arrival(Picoseconds now) {
  const double mean = 1 / traffic_.rate;
  switch (traffic_.arrivals) {
    case ArrivalKind::Poisson:
      return now + from_seconds(gaps_.exponential(mean));
    case ArrivalKind::Gamma:
      return now + from_seconds(gaps_.gamma(1 / (traffic_.burstiness * traffic_.burstiness), mean));
    case ArrivalKind::Ramp:
      return ramped_arrival();
    case ArrivalKind::Trace:
      return recorded_arrival();
    case ArrivalKind::Constant:
    case ArrivalKind::Closed:
      break;
  }
  return now + from_seconds(mean);
}

Picoseconds RequestSource::recorded_arrival() const {
  const double recorded = traffic_.trace->rate();
  const Picoseconds at = traffic_.trace->requests[requests_.size()].arrival;
  if (recorded == 0 || recorded == traffic_.rate) return at;
  return from_seconds(to_seconds(at) * (recorded / traffic_.rate));
}

// A Poisson process of changing rate: arrivals of a process of rate 1, taken back through the mean
// number of arrivals until t, which is r t + (R - r) t^2 / 2T up to the end T of the ramp.
Picoseconds RequestSource::ramped_arrival() {
  const double first = traffic_.rate;
  const double end = traffic_.ramp_time_s;
  const double rise = (traffic_.end_rate - first) / (2 * end);
  expected_ += gaps_.exponential(1);
  const double during = (first + traffic_.end_rate) / 2 * end;
  if (expected_ >= during) return from_seconds(end + (expected_ - during) / traffic_.end_rate);
  // The root in the form that loses no digits where the rate hardly changes.
  return from_seconds(2 * expected_ / (first + std::sqrt(first * first + 4 * rise * expected_)));
}

void RequestSource::start() {
  const bool is_closed = traffic_.arrivals == ArrivalKind::Closed;
  const Picoseconds first = is_closed ? Picoseconds(0) : next_arrival(Picoseconds(0));
  agenda_.wake(*this, first, Phase::Release);
}

void RequestSource::answered(Request& request, Picoseconds now) {
  (void)request;
  ++answered_;
  if (traffic_.arrivals != ArrivalKind::Closed) return;
  ++due_;
  agenda_.wake(*this, now, Phase::Release);
}

void RequestSource::send_one(Picoseconds now, bool opens_user) {
  Request request;
  request.id = static_cast<std::int64_t>(requests_.size());
  request.arrival = now;
  request.opens_user = opens_user;
  set_lengths(request);
  requests_.push_back(request);
  inlet_.arrived(requests_.back(), now);
}

void RequestSource::set_lengths(Request& request) {
  if (!traffic_.trace) {
    request.prompt = draw_length(traffic_.prompt_tokens, traffic_, lengths_);
    request.output = draw_length(traffic_.output_tokens, traffic_, lengths_);
    return;
  }
  const auto& recorded = traffic_.trace->requests;
  const TracedRequest& traced = recorded[static_cast<std::size_t>(request.id) % recorded.size()];
  request.prompt = traced.prompt;
  request.output = traced.output;
  request.priority = traced.priority;
  request.session = traced.session;
  if (shares_prefixes_) request.shared = traced.shared;
  const std::int64_t lap = request.id / std::ssize(recorded);
  if (lap == 0) return;
  if (request.session >= 0) request.session = name_in_lap(request.session, lap);
  for (SharedPart& part : request.shared) part.key = name_in_lap(part.key, lap);
}

Picoseconds RequestSource::start_of(std::int64_t index) const {
  return Picoseconds(ramp_.count() / traffic_.concurrency * index);
}

void RequestSource::start_users(Picoseconds now) {
  while (started_ < traffic_.concurrency && start_of(started_) <= now && has_more()) {
    ++started_;
    send_one(now, true);
  }
  if (started_ < traffic_.concurrency && has_more()) {
    agenda_.wake(*this, start_of(started_), Phase::Release);
  }
}

void RequestSource::act(Picoseconds now, Phase phase) {
  (void)phase;
  if (traffic_.arrivals == ArrivalKind::Closed) {
    start_users(now);
    for (; due_ > 0; --due_) {
      if (has_more()) send_one(now, false);
    }
    return;
  }
  Picoseconds next = now;
  while (next <= now) {  // recorded requests may come at once
    send_one(now, false);
    if (!has_more()) return;
    next = next_arrival(now);
  }
  agenda_.wake(*this, next, Phase::Release);
}

}  // namespace tandem
