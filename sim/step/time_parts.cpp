#include "sim/step/time_parts.hpp"

#include <algorithm>
#include <string_view>

namespace tandem {
namespace {

constexpr std::string_view exchange_mark = "exchange ";

}  // namespace

std::string kind_of_part(const std::string& part) {
  if (part.starts_with(exchange_mark)) return "exchange";
  if (part == "feed_forward" || part == "slot_wait") return "feed_forward";
  const bool is_itself = part == "bridge" || part == "hand_over" || part == waiting;
  return is_itself ? part : "kernels";
}

std::string bound_of(const TimeParts& parts, const std::string& kernels) {
  TimeParts taken;
  for (const auto& [name, time] : parts) taken[kind_of_part(name)] += time;
  taken.erase(waiting);
  taken.erase("hand_over");
  const auto most = std::max_element(
      taken.begin(), taken.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == taken.end() || most->first == "kernels" ? kernels : most->first;
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
