#include "sim/service/streaming_replica.hpp"

#include <algorithm>

namespace tandem {

StreamingReplica::StreamingReplica(const ReplicaSetup& setup)
    : Replica(setup, setup.estimator->pool().stations().size()),
      slots_(setup.estimator->pool().kv_room().sequences) {}

void StreamingReplica::submit(Request& request, Picoseconds now) {
  ++load_;
  waiting_.push_back({&request, false});
  admit(now);
}

void StreamingReplica::offer(Request& request, Picoseconds now) {
  ++load_;
  waiting_.push_back({&request, true});
  admit(now);
}

void StreamingReplica::arrive(Request& request, Picoseconds now) {
  ready_.push_back({&request, request.prompt});
  want_issue(now);
}

void StreamingReplica::release(Request& request, Picoseconds now) {
  (void)request;
  --load_;
  free_slot(now);
}

void StreamingReplica::free_slot(Picoseconds now) {
  --used_;
  admit(now);
}

void StreamingReplica::admit(Picoseconds now) {
  while (!waiting_.empty() && used_ < slots_) {
    const Waiting next = waiting_.front();
    waiting_.pop_front();
    peak_ = std::max(peak_, ++used_);
    if (next.comes_with_kv) {
      setup_.sink->reserved(*next.request, *this, now);
    } else {
      ready_.push_back({next.request, 0});
      want_issue(now);
    }
  }
}

void StreamingReplica::act(Picoseconds now, Phase phase) {
  if (phase == Phase::Complete) {
    land(now);
  } else if (phase == Phase::Issue) {
    note_issue(now);
    issue(now);
  }
}

// One pass enters when the first station is free; the next wish follows at the time it frees.
void StreamingReplica::issue(Picoseconds now) {
  if (ready_.empty()) return;
  if (pipeline_.first_free() > now) {
    want_issue(pipeline_.first_free());
    return;
  }
  const Ready pass = ready_.front();
  ready_.pop_front();
  const bool samples = pass.context + 1 == pass.request->known_tokens();
  Batch batch;
  batch.slices.push_back({.request = pass.request->id,
                          .context = pass.context,
                          .new_tokens = 1,
                          .wants_logits = samples});
  StepEstimate estimate;
  const Picoseconds end = run_pass(batch, now, estimate);
  if (samples) {
    landings_.push_back({end, pass.request, estimate.floor_latency});
    setup_.agenda->wake(*this, end, Phase::Complete);
  } else {
    // The next prompt token may follow at once: stations compute a request's tokens in order. Of
    // the floor only the distance to the next token counts; the last token adds the latency.
    pass.request->floor_to_first += estimate.floor_period;
    ready_.push_back({pass.request, pass.context + 1});
  }
  if (!ready_.empty()) want_issue(pipeline_.first_free());
}

void StreamingReplica::land(Picoseconds now) {
  while (!landings_.empty() && landings_.front().end <= now) {
    const Landing landing = landings_.front();
    landings_.pop_front();
    Request& request = *landing.request;
    if (!emit_token(request, now, landing.floor)) {
      ready_.push_back({&request, request.known_tokens() - 1});
      want_issue(now);
    } else if (request.is_done()) {
      free_slot(now);
    }
  }
}

double StreamingReplica::kv_peak() const {
  return static_cast<double>(peak_) / static_cast<double>(std::max<std::int64_t>(1, slots_));
}

}  // namespace tandem
