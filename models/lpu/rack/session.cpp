#include "models/lpu/rack/session.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

std::int64_t shortest_link(const std::vector<LinkClass>& classes) {
  std::int64_t shortest = classes.front().latency;
  for (const LinkClass& link : classes) shortest = std::min<std::int64_t>(shortest, link.latency);
  return shortest;
}

}  // namespace

RackSession::RackSession(const Topology& topology, const Geometry& chip,
                         const LatencyTable& latencies, bool functional)
    : topology_(topology), geometry_(topology.with_links(chip)) {
  machines_.reserve(static_cast<std::size_t>(topology_.chips()));
  for (int i = 0; i < topology_.chips(); ++i) {
    machines_.emplace_back(geometry_, latencies, functional);
  }
}

std::int64_t RackSession::start_of(std::size_t chip) const {
  return starts_.empty() ? 0 : starts_[chip];
}

// Faults of a chip carry its number.
template <class Step>
auto RackSession::on_chip(std::size_t chip, Step step) -> decltype(step()) {
  try {
    return step();
  } catch (const ScheduleError& error) {
    throw ScheduleError(error.rule(), error.queue(), error.cycle(),
                        fmt::format("chip {}: {}", chip, error.what()));
  }
}

// Hands what a chip has sent to the chips at the other ends.
void RackSession::carry(std::size_t chip, const Leaves& leaves) {
  const auto sent = machines_[chip].sent();
  for (; carried_[chip] < sent.size(); ++carried_[chip]) {
    const LinkVector& vector = sent[carried_[chip]];
    if (leaves && leaves(vector)) continue;
    const Port to = topology_.peer(static_cast<int>(chip), vector.link);
    const auto fail = [&](const std::string& message) {
      throw ScheduleError("H6", geometry_.c2c_queue(vector.link), vector.cycle,
                          fmt::format("chip {}: lpu {} at cycle {}: H6: {}", chip,
                                      geometry_.queue_name(geometry_.c2c_queue(vector.link)),
                                      vector.cycle, message));
    };
    if (!to.connected()) fail("a vector is sent over a port without a cable");
    LinkVector arrival = vector;
    arrival.link = to.link;
    arrival.cycle += start_of(chip) - start_of(static_cast<std::size_t>(to.chip)) +
                     geometry_.link_class(vector.link).latency;
    if (arrival.cycle < 0) fail(fmt::format("chip {} has not begun when it arrives", to.chip));
    machine(to.chip).deliver(arrival);
    ++vectors_;
  }
}

void RackSession::deliver(int chip, LinkVector vector) {
  outside_.emplace_back(chip, std::move(vector));
}

void RackSession::advance(std::int64_t until, const Leaves& leaves) {
  for (std::size_t chip = 0; chip < machines_.size(); ++chip) {
    if (!busy_[chip]) continue;
    busy_[chip] = on_chip(chip, [&] { return machines_[chip].advance(until - start_of(chip)); });
  }
  for (std::size_t chip = 0; chip < machines_.size(); ++chip) carry(chip, leaves);
}

RackResult RackSession::run(std::span<const std::int64_t> starts, const Leaves& leaves) {
  starts_.assign(starts.begin(), starts.end());
  if (!starts_.empty() && starts_.size() != machines_.size()) {
    throw ModelError("lpu.rack: a start is needed for every chip");
  }
  carried_.assign(machines_.size(), 0);
  busy_.assign(machines_.size(), true);
  vectors_ = 0;
  for (Machine& machine : machines_) machine.begin();
  for (const auto& [chip, vector] : outside_) machine(chip).deliver(vector);
  outside_.clear();
  const std::int64_t step = shortest_link(geometry_.links);
  for (std::int64_t until = step; std::find(busy_.begin(), busy_.end(), true) != busy_.end();
       until += step) {
    advance(until, leaves);
  }
  RackResult result;
  const std::int64_t first =
      starts_.empty() ? 0 : *std::min_element(starts_.begin(), starts_.end());
  for (std::size_t chip = 0; chip < machines_.size(); ++chip) {
    result.chips.push_back(on_chip(chip, [&] { return machines_[chip].finish(); }));
    result.cycles = std::max(result.cycles, start_of(chip) - first + result.chips.back().cycles);
  }
  result.vectors = vectors_;
  return result;
}

}  // namespace tandem::lpu
