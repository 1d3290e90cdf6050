#include "sim/step/ping_pong.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <tuple>

#include "sim/step/program_turns.hpp"

namespace tandem {
namespace {

/// A micro-batch that is ready for its next leg.
struct Arrival {
  Picoseconds time;
  std::int64_t micro_batch;
  std::size_t leg;
  bool operator<(const Arrival& other) const {
    return std::tie(time, micro_batch) < std::tie(other.time, other.micro_batch);
  }
};

Picoseconds busiest(const std::vector<FeedForwardVisit>& visits, std::int64_t micro_batches) {
  std::vector<Picoseconds> busy;
  for (const FeedForwardVisit& visit : visits) {
    if (busy.size() <= visit.gang) busy.resize(visit.gang + 1, Picoseconds(0));
    busy[visit.gang] += visit.service * micro_batches;
  }
  return busy.empty() ? Picoseconds(0) : *std::max_element(busy.begin(), busy.end());
}

}  // namespace

PingPong ping_pong(const std::vector<Picoseconds>& legs,
                   const std::vector<FeedForwardVisit>& visits, std::int64_t micro_batches,
                   PassTrace* trace) {
  if (legs.size() != visits.size() + 1) {
    throw std::logic_error("ping_pong: needs one leg more than visits");
  }
  std::vector<ProgramTurns> turns = turns_of(visits);
  std::set<Arrival> arrivals;
  for (std::int64_t i = 0; i < micro_batches; ++i) arrivals.insert({Picoseconds(0), i, 0});
  PingPong result;
  result.gang_busy = busiest(visits, micro_batches);
  Picoseconds mixers_free{0};
  while (!arrivals.empty()) {
    const Arrival next = *arrivals.begin();
    arrivals.erase(arrivals.begin());
    const Picoseconds start = std::max(next.time, mixers_free);
    mixers_free = start + legs[next.leg];
    const auto record = [&](const char* label, Picoseconds from, Picoseconds to) {
      if (trace == nullptr || from == to) return;
      trace->push_back({"micro-batch " + std::to_string(next.micro_batch), label, from, to});
    };
    record("wait", next.time, start);
    record("mixers", start, mixers_free);
    const bool is_first = next.micro_batch == 0;
    if (is_first) {
      result.mixer_wait += start - next.time;
      result.mixing += legs[next.leg];
    }
    if (next.leg == visits.size()) {
      result.time = std::max(result.time, mixers_free);
      continue;
    }
    const FeedForwardVisit& visit = visits[next.leg];
    const Picoseconds there = mixers_free + visit.there;
    const Picoseconds slot = turns[next.leg].take(there);
    if (is_first) {
      result.bridge += visit.there + visit.back;
      result.slot_wait += slot - there;
      result.feeding += visit.service;
    }
    const Picoseconds fed = slot + visit.service;
    record("bridge", mixers_free, there);
    record("slot_wait", there, slot);
    record("feed_forward", slot, fed);
    record("bridge", fed, fed + visit.back);
    arrivals.insert({fed + visit.back, next.micro_batch, next.leg + 1});
  }
  return result;
}

}  // namespace tandem
