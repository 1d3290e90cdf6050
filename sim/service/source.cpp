#include "sim/service/source.hpp"

#include <algorithm>
#include <cmath>

namespace tandem {

std::int64_t draw_length(std::int64_t mean, const Traffic& traffic, RandomStream& stream) {
  if (traffic.length_spread <= 0) return mean;
  const auto n = static_cast<double>(mean);
  const auto low = static_cast<std::int64_t>(std::ceil((1 - traffic.length_spread) * n));
  const auto high = static_cast<std::int64_t>(std::floor((1 + traffic.length_spread) * n));
  return stream.integer(std::max<std::int64_t>(1, low), high);
}

RequestSource::RequestSource(const Traffic& traffic, Picoseconds ramp, std::uint64_t seed,
                             Agenda& agenda, RequestInlet& inlet)
    : traffic_(traffic),
      lengths_(seed, "lengths"),
      gaps_(seed, "arrivals"),
      agenda_(agenda),
      inlet_(inlet),
      ramp_(traffic.ramp.value_or(ramp)) {}

Picoseconds RequestSource::draw_gap() {
  const double mean = 1 / traffic_.rate;
  return from_seconds(traffic_.arrivals == ArrivalKind::Poisson ? gaps_.exponential(mean) : mean);
}

void RequestSource::start() {
  if (traffic_.arrivals == ArrivalKind::Closed) {
    agenda_.wake(*this, Picoseconds(0), Phase::Release);
  } else {
    agenda_.wake(*this, draw_gap(), Phase::Release);
  }
}

void RequestSource::answered(Request& request, Picoseconds now) {
  (void)request;
  ++answered_;
  if (traffic_.arrivals != ArrivalKind::Closed) return;
  ++due_;
  agenda_.wake(*this, now, Phase::Release);
}

void RequestSource::send_one(Picoseconds now) {
  Request request;
  request.id = static_cast<std::int64_t>(requests_.size());
  request.arrival = now;
  request.prompt = draw_length(traffic_.prompt_tokens, traffic_, lengths_);
  request.output = draw_length(traffic_.output_tokens, traffic_, lengths_);
  requests_.push_back(request);
  inlet_.arrived(requests_.back(), now);
}

Picoseconds RequestSource::start_of(std::int64_t index) const {
  return Picoseconds(ramp_.count() / traffic_.concurrency * index);
}

void RequestSource::start_users(Picoseconds now) {
  while (started_ < traffic_.concurrency && start_of(started_) <= now && has_more()) {
    ++started_;
    send_one(now);
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
      if (has_more()) send_one(now);
    }
    return;
  }
  send_one(now);
  if (has_more()) agenda_.wake(*this, now + draw_gap(), Phase::Release);
}

}  // namespace tandem
