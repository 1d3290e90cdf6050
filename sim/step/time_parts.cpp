#include "sim/step/time_parts.hpp"

#include <algorithm>
#include <string_view>

namespace tandem {
namespace {

constexpr std::string_view exchange_mark = "exchange ";

/// What a part counts for; kernels of all roles for one, without a name.
std::string kind_of(const std::string& part) {
  if (part.starts_with(exchange_mark)) return "exchange";
  if (part == "feed_forward" || part == "slot_wait") return "feed_forward";
  return part == "bridge" ? part : std::string{};
}

}  // namespace

std::string bound_of(const TimeParts& parts, const std::string& kernels) {
  std::map<std::string, Picoseconds> taken;
  for (const auto& [name, time] : parts) {
    if (name == waiting) continue;
    taken[kind_of(name)] += time;
  }
  const auto most = std::max_element(
      taken.begin(), taken.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == taken.end() || most->first.empty() ? kernels : most->first;
}

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
  for (const auto& [role, time] : exchanges) parts[std::string(exchange_mark) + role] = time;
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
