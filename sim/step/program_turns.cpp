#include "sim/step/program_turns.hpp"

#include <algorithm>

#include "sim/core/integers.hpp"

namespace tandem {

ProgramTurns::Visit ProgramTurns::take(Picoseconds ready, const std::vector<Picoseconds>& passes) {
  std::int64_t turn = ready <= first ? 0 : ceil_div((ready - first).count(), period.count());
  Visit visit{};
  for (std::size_t i = 0; i < passes.size(); ++i) {
    while (!taken.insert(turn).second) ++turn;
    const Picoseconds start = first + period * turn;
    if (i == 0) visit.start = start;
    visit.end = start + passes[i];
  }
  return visit;
}

std::vector<ProgramTurns> turns_of(const std::vector<FeedForwardVisit>& visits) {
  std::size_t gangs = 0;
  for (const FeedForwardVisit& visit : visits) gangs = std::max(gangs, visit.gang + 1);
  std::vector<Picoseconds> loops(gangs, Picoseconds(0));
  std::vector<ProgramTurns> turns;
  for (const FeedForwardVisit& visit : visits) {
    turns.push_back({loops[visit.gang], Picoseconds(0), {}});
    loops[visit.gang] += *std::max_element(visit.passes.begin(), visit.passes.end());
  }
  for (std::size_t i = 0; i < visits.size(); ++i) {
    turns[i].period = std::max(loops[visits[i].gang], Picoseconds(1));
  }
  return turns;
}

}  // namespace tandem
