#include "sim/service/planner/autoscaler.hpp"

#include <algorithm>

#include "sim/service/planner/budget.hpp"

namespace tandem {

ScaledPool::ScaledPool(std::int64_t placed, std::int64_t on_at_first)
    : ready_at_(static_cast<std::size_t>(placed)), spans_(static_cast<std::size_t>(placed)) {
  while (on_ < on_at_first) turn_on(Picoseconds(0), Picoseconds(0));
}

void ScaledPool::turn_on(Picoseconds now, Picoseconds ready) {
  const auto replica = static_cast<std::size_t>(on_++);
  ready_at_[replica] = ready;
  spans_[replica].push_back({now, now});
}

void ScaledPool::turn_off(Picoseconds now) {
  Span& last = spans_[static_cast<std::size_t>(--on_)].back();
  last.off = now;
  last.is_over = true;
}

std::int64_t ScaledPool::ready(Picoseconds now) const {
  std::int64_t ready = 0;
  while (ready < on_ && ready_at_[static_cast<std::size_t>(ready)] <= now) ++ready;
  return std::max<std::int64_t>(1, ready);
}

namespace {

/// When a replica that was turned off at `from` had nothing left, at most `end`.
Picoseconds empty_since(const OccupancyLog& log, Picoseconds from, Picoseconds end) {
  const auto& changes = log.changes();
  auto change = std::upper_bound(
      changes.begin(), changes.end(), from,
      [](Picoseconds time, const OccupancyChange& other) { return time < other.at; });
  const bool is_empty = change == changes.begin() || std::prev(change)->now == Occupancy();
  if (is_empty) return from;
  while (change != changes.end() && change->now != Occupancy()) ++change;
  return change == changes.end() ? end : std::min(end, change->at);
}

}  // namespace

double ScaledPool::mean_on(const std::vector<std::unique_ptr<Replica>>& replicas, Picoseconds start,
                           Picoseconds end) const {
  Picoseconds sum{0};
  for (std::size_t i = 0; i < spans_.size(); ++i) {
    Picoseconds counted = start;  // spans of a replica that drains and goes on may overlap
    for (const Span& span : spans_[i]) {
      const Picoseconds off =
          span.is_over ? empty_since(replicas[i]->occupancy_log(), span.off, end) : end;
      const Picoseconds from = std::max(counted, span.on);
      if (off <= from) continue;
      sum += std::min(off, end) - from;
      counted = off;
    }
  }
  return sum / (end - start);
}

Autoscaler::Autoscaler(const Planner& planner, ReplicaProfile& profile, const PoolLimits& prefill,
                       const PoolLimits& decode, Agenda& agenda)
    : planner_(planner),
      profile_(profile),
      prefill_limits_(prefill),
      decode_limits_(decode),
      agenda_(agenda),
      prefill_(prefill.replicas, std::min(planner.least_replicas, prefill.replicas)),
      decode_(decode.replicas, std::min(planner.least_replicas, decode.replicas)) {}

void Autoscaler::connect(const Replicas* prefill, const Replicas* decode) {
  prefill_replicas_ = prefill;
  decode_replicas_ = decode;
}

/// Intervals begin at multiples of their length.
void Autoscaler::plan_next(Picoseconds now) {
  if (has_plan_) return;
  has_plan_ = true;
  const std::int64_t interval = planner_.interval.count();
  agenda_.wake(*this, Picoseconds((now.count() / interval + 1) * interval), Phase::Release);
}

void Autoscaler::arrived(const Request& request, Picoseconds now) {
  ++open_;
  ++came_;
  prompt_tokens_ += static_cast<double>(request.prompt);
  plan_next(now);
}

void Autoscaler::finished(const Request& request, Picoseconds now) {
  --open_;
  ++left_;
  output_tokens_ += static_cast<double>(request.output);
  ttft_s_ += to_seconds(request.first_token - request.arrival);
  duration_s_ += to_seconds(now - request.arrival);
  if (request.output > 1) {
    ++with_gaps_;
    itl_s_ += to_seconds(now - request.first_token) / static_cast<double>(request.output - 1);
  }
}

IntervalLoad Autoscaler::interval_load() const {
  IntervalLoad load;
  const auto left = static_cast<double>(left_);
  load.requests = came_;
  load.prompt_tokens = prompt_tokens_ / static_cast<double>(came_);
  load.output_tokens = output_tokens_ / left;
  load.ttft_s = ttft_s_ / left;
  load.duration_s = duration_s_ / left;
  if (with_gaps_ > 0) load.itl_s = itl_s_ / static_cast<double>(with_gaps_);
  return load;
}

void Autoscaler::limit(PlannerDecision& decision) const {
  ReplicaCounts& counts = decision.replicas;
  const auto note = [&](const ReplicaCounts& within, const char* what) {
    if (within != counts) decision.limit = what;
    counts = within;
  };
  note({std::min(counts.prefill, prefill_limits_.replicas),
        std::min(counts.decode, decode_limits_.replicas)},
       "replicas");
  const auto prefill_chips = static_cast<double>(prefill_limits_.chips_per_replica);
  const auto decode_chips = static_cast<double>(decode_limits_.chips_per_replica);
  if (planner_.chip_budget > 0) {
    note(within_budget(counts, {prefill_chips, decode_chips},
                       static_cast<double>(planner_.chip_budget), planner_.least_replicas),
         "chips");
  }
  if (planner_.power_cap_w > 0) {
    note(within_budget(
             counts,
             {prefill_chips * planner_.prefill_chip_w, decode_chips * planner_.decode_chip_w},
             planner_.power_cap_w, planner_.least_replicas),
         "power");
  }
}

PlannerDecision Autoscaler::decide(Picoseconds now) {
  PlannerDecision decision;
  decision.at = now;
  decision.load = interval_load();
  decision.corrections =
      corrections_of(decision.load, {prefill_.on(), decode_.on()}, planner_, profile_);
  decision.wanted = replicas_for(decision.load, decision.corrections, planner_, profile_);
  decision.replicas = decision.wanted;
  limit(decision);
  return decision;
}

void Autoscaler::act(Picoseconds now, Phase phase) {
  (void)phase;
  has_plan_ = false;
  // Without arrivals or answers there is nothing to go by: the replicas stay.
  if (came_ > 0 && left_ > 0) {
    const PlannerDecision& decision = decisions_.emplace_back(decide(now));
    const auto serves = [](const Replicas& replicas) {
      return [&replicas](std::int64_t replica) {
        return replicas[static_cast<std::size_t>(replica)]->load() > 0;
      };
    };
    prefill_.scale_to(decision.replicas.prefill, now, planner_.start_time,
                      serves(*prefill_replicas_));
    decode_.scale_to(decision.replicas.decode, now, planner_.start_time, serves(*decode_replicas_));
  }
  came_ = left_ = with_gaps_ = 0;
  prompt_tokens_ = output_tokens_ = ttft_s_ = itl_s_ = duration_s_ = 0;
  if (open_ > 0) plan_next(now);
}

PlannerUse Autoscaler::use(Picoseconds start, Picoseconds end) const {
  return {decisions_, prefill_.mean_on(*prefill_replicas_, start, end),
          decode_.mean_on(*decode_replicas_, start, end)};
}

}  // namespace tandem
