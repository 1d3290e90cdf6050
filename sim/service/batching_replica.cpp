#include "sim/service/batching_replica.hpp"

#include <algorithm>

#include "sim/service/kv_tiers.hpp"

namespace tandem {

namespace {

/// What decides on the first chip of a pool, where it may decide at all.
std::optional<CascadeChip> cascade_chip(const PoolModel& pool, const Serving& serving) {
  if (serving.cascade_attention != CascadeAttention::Vllm) return std::nullopt;
  const Stage& stage = pool.stations().front().stages.front();
  CascadeChip chip{.units = std::max<std::int64_t>(1, pool.chip().parallel_units())};
  for (const LayerKind& kind : shard_of(stage.network, stage.shard).kinds) {
    const auto* attention = std::get_if<GroupedAttention>(&kind.mixer);
    if (attention == nullptr || attention->shape.window > 0) continue;
    chip.query_heads = attention->shape.heads;
    chip.kv_heads = attention->shape.kv_heads;
    break;
  }
  return chip;
}

}  // namespace

BatchingReplica::BatchingReplica(const ReplicaSetup& setup, const Serving& serving)
    : Replica(setup, setup.estimator->pool().stations().size()),
      kv_blocks_(setup.estimator->pool().kv_room().tokens / serving.kv_block_tokens),
      cascade_(cascade_chip(setup.estimator->pool(), serving)),
      scheduler_(make_scheduler(serving, kv_blocks_)) {
  if (setup_.kv_tiers != nullptr) scheduler_->use_below(*setup_.kv_tiers);
}

void BatchingReplica::submit(Request& request, Picoseconds now) {
  ++load_;
  scheduler_->add(request, false);
  kick(now);
}

ForkOutcome BatchingReplica::fork(Request& parent, Request& branch, Picoseconds now) {
  (void)parent;  // the blocks are found by their key
  ++load_;
  const ForkOutcome outcome = scheduler_->fork(branch);
  kick(now);
  return outcome;
}

void BatchingReplica::offer(Request& request, Picoseconds now) {
  ++load_;
  scheduler_->add(request, true);
  kick(now);
}

void BatchingReplica::arrive(Request& request, Picoseconds now) {
  scheduler_->arrive(request);
  kick(now);
}

void BatchingReplica::resume(Request& request, std::int64_t tokens, Picoseconds now) {
  scheduler_->resume(request, tokens);
  kick(now);
}

void BatchingReplica::release(Request& request, Picoseconds now) {
  --load_;
  scheduler_->finish(request);
  kick(now);
}

void BatchingReplica::kick(Picoseconds now) {
  note_occupancy(now);
  want_issue(now);
}

void BatchingReplica::act(Picoseconds now, Phase phase) {
  if (phase == Phase::Complete) {
    // Passes may end out of order when their hand-overs differ in size: look at all of them.
    for (std::size_t i = 0; i < flights_.size();) {
      if (flights_[i].end > now) {
        ++i;
        continue;
      }
      Flight done = std::move(flights_[i]);
      flights_.erase(flights_.begin() + static_cast<std::ptrdiff_t>(i));
      complete(done, now);
    }
    end_loads(now);
    kick(now);
  } else if (phase == Phase::Issue) {
    note_issue(now);
    issue(now);
    note_occupancy(now);
  }
}

void BatchingReplica::complete(Flight& flight, Picoseconds now) {
  for (std::size_t i = 0; i < flight.step.sequences.size(); ++i) {
    ScheduledSequence& sequence = *flight.step.sequences[i];
    Request& request = *sequence.request;
    if (!BatchScheduler::complete(sequence, flight.step.batch.slices[i])) {
      // A chunk that is not the prompt's last: its time counts towards the token it leads to.
      (request.generated == 0 ? request.floor_to_first : request.floor_after_first) +=
          flight.estimate.floor_latency;
      continue;
    }
    const bool leaves = setup_.drafts == nullptr
                            ? emit_token(request, now, flight.estimate.floor_latency)
                            : emit_round(request, now, floor_of_round(flight.estimate));
    if (!leaves) {
      if (request.waits) scheduler_->pause(request);
      if (request.unverified > 0) BatchScheduler::take_back(sequence);
    } else if (request.is_done()) {
      scheduler_->finish(request);
    } else {
      scheduler_->hold(request);
    }
  }
}

/// Loads first: what goes down now must not push out what is on its way up.
void BatchingReplica::move_blocks(const ScheduledStep& step, Picoseconds now) {
  if (setup_.kv_tiers == nullptr) return;
  for (const BlockLoad& load : step.loads) {
    const Picoseconds end = setup_.kv_tiers->load(*load.request, load.from, load.to, now);
    loads_.push_back({load.request, end});
    setup_.agenda->wake(*this, end, Phase::Complete);
  }
  setup_.kv_tiers->write_down(step.dropped, now);
}

void BatchingReplica::end_loads(Picoseconds now) {
  std::erase_if(loads_, [&](const Load& load) {
    if (load.end > now) return false;
    scheduler_->loaded(*load.request);
    return true;
  });
}

void BatchingReplica::issue(Picoseconds now) {
  if (flights_.size() >= pipeline_.stations()) return;  // woken again when a pass ends
  if (pipeline_.first_free() > now) {
    want_issue(pipeline_.first_free());
    return;
  }
  ScheduledStep step = scheduler_->schedule();
  move_blocks(step, now);
  for (Request* request : step.reserved) setup_.sink->reserved(*request, *this, now);
  for (Request* request : step.preempted) setup_.sink->preempted(*request, now);
  if (step.batch.slices.empty()) return;
  if (cascade_ && !vllm_cascades(step.batch.slices, *cascade_)) share_no_prefix(step.batch.slices);
  StepEstimate estimate;
  const Picoseconds end = run_pass(step.batch, now, estimate);
  for (std::size_t i = 0; i < step.sequences.size(); ++i) {
    report_kv(*step.sequences[i]->request, step.batch.slices[i], now);
  }
  flights_.push_back({std::move(step), std::move(estimate), end});
  setup_.agenda->wake(*this, end, Phase::Complete);
  if (flights_.size() < pipeline_.stations()) want_issue(pipeline_.first_free());
}

double BatchingReplica::overlap_tokens(const Request& request) const {
  const std::int64_t here = cached_tokens(request);
  if (setup_.kv_tiers == nullptr) return static_cast<double>(here);
  const std::int64_t block = scheduler_->kv().block_tokens();
  const double below =
      setup_.kv_tiers->credit(request, here / block, (request.known_tokens() - 1) / block);
  return static_cast<double>(here) + below * static_cast<double>(block);
}

Occupancy BatchingReplica::occupancy() const {
  return {scheduler_->waiting(), scheduler_->running(), scheduler_->kv().used()};
}

double BatchingReplica::kv_peak() const {
  return static_cast<double>(scheduler_->kv().peak()) /
         static_cast<double>(std::max<std::int64_t>(1, kv_blocks_));
}

}  // namespace tandem
