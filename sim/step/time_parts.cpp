#include "sim/step/time_parts.hpp"

namespace tandem {

Picoseconds total_of(const TimeParts& parts) {
  Picoseconds total{0};
  for (const auto& [name, time] : parts) total += time;
  return total;
}

void add_parts(const TimeParts& more, TimeParts& parts) {
  for (const auto& [name, time] : more) parts[name] += time;
}

TimeParts parts_of(Picoseconds total, const TimeParts& kernels, const TimeParts& exchanges) {
  TimeParts parts;
  for (const auto& [role, time] : exchanges) parts["exchange " + role] = time;
  const Picoseconds computing = total - total_of(parts);
  const Picoseconds all = total_of(kernels);
  const bool overlap = all > computing;
  for (const auto& [role, time] : kernels) {
    parts[role] = overlap ? from_seconds(to_seconds(computing) * (time / all)) : time;
  }
  const Picoseconds rest = total - total_of(parts);
  if (rest.count() != 0) parts[waiting] = rest;
  return parts;
}

}  // namespace tandem
