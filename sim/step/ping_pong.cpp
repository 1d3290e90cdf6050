#include "sim/step/ping_pong.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <stdexcept>
#include <tuple>

#include "sim/step/program_turns.hpp"

namespace tandem {
namespace {

/// A micro-batch that is ready for its next leg.
struct Arrival {
  Picoseconds time;
  std::size_t micro_batch;
  std::size_t leg;
  bool operator<(const Arrival& other) const {
    return std::tie(time, micro_batch) < std::tie(other.time, other.micro_batch);
  }
};

}  // namespace

Picoseconds FeedForwardVisit::service() const {
  return std::accumulate(passes.begin(), passes.end(), Picoseconds(0));
}

namespace {

Picoseconds busiest(const std::vector<MicroBatchWay>& ways) {
  std::vector<Picoseconds> busy;
  for (const MicroBatchWay& way : ways) {
    for (const FeedForwardVisit& visit : way.visits) {
      if (busy.size() <= visit.gang) busy.resize(visit.gang + 1, Picoseconds(0));
      busy[visit.gang] += visit.service();
    }
  }
  return busy.empty() ? Picoseconds(0) : *std::max_element(busy.begin(), busy.end());
}

}  // namespace

PingPong ping_pong(const std::vector<MicroBatchWay>& ways, PassTrace* trace) {
  std::vector<ProgramTurns> turns = turns_of(ways.front().visits);
  std::set<Arrival> arrivals;
  for (std::size_t i = 0; i < ways.size(); ++i) {
    if (ways[i].legs.size() != turns.size() + 1 || ways[i].visits.size() != turns.size()) {
      throw std::logic_error("ping_pong: all ways need as many visits, and one leg more");
    }
    arrivals.insert({Picoseconds(0), i, 0});
  }
  PingPong result;
  result.gang_busy = busiest(ways);
  Picoseconds mixers_free{0};
  while (!arrivals.empty()) {
    const Arrival next = *arrivals.begin();
    arrivals.erase(arrivals.begin());
    const MicroBatchWay& way = ways[next.micro_batch];
    const Picoseconds start = std::max(next.time, mixers_free);
    mixers_free = start + way.legs[next.leg];
    const auto record = [&](const char* label, Picoseconds from, Picoseconds to) {
      if (trace == nullptr || from == to) return;
      trace->push_back({"micro-batch " + std::to_string(next.micro_batch), label, from, to});
    };
    record("wait", next.time, start);
    record("mixers", start, mixers_free);
    const bool is_first = next.micro_batch == 0;
    if (is_first) {
      result.mixer_wait += start - next.time;
      result.mixing += way.legs[next.leg];
    }
    if (next.leg == way.visits.size()) {
      result.time = std::max(result.time, mixers_free);
      continue;
    }
    const FeedForwardVisit& visit = way.visits[next.leg];
    const Picoseconds there = mixers_free + visit.there;
    const auto [slot, fed] = turns[next.leg].take(there, visit.passes);
    if (is_first) {
      result.bridge += visit.there + visit.back;
      result.slot_wait += fed - there - visit.service();
      result.feeding += visit.service();
    }
    record("bridge", mixers_free, there);
    record("slot_wait", there, slot);
    record("feed_forward", slot, fed);
    record("bridge", fed, fed + visit.back);
    arrivals.insert({fed + visit.back, next.micro_batch, next.leg + 1});
  }
  return result;
}

}  // namespace tandem
