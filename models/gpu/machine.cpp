#include "models/gpu/machine.hpp"

#include <algorithm>
#include <cmath>

namespace tandem::gpu {
namespace {

/// Duration of `amount` at `per_ps`, rounded up so that nothing is free.
Picoseconds at_rate(std::int64_t amount, double per_ps) {
  if (amount <= 0) return Picoseconds(0);
  return Picoseconds(static_cast<std::int64_t>(std::ceil(static_cast<double>(amount) / per_ps)));
}

}  // namespace

const char* KernelTiming::bound() const {
  struct Part {
    const char* name;
    Picoseconds busy;
  };
  const Part parts[] = {{"tensor", tensor_busy},   {"hbm", hbm_busy},
                        {"l2", l2_busy},           {"port", port_busy},
                        {"special", special_busy}, {"vector", vector_busy}};
  const Part* most = std::max_element(std::begin(parts), std::end(parts),
                                      [](const Part& a, const Part& b) { return a.busy < b.busy; });
  // Nothing busy for a third of the time: launch and latency decide.
  return most->busy.count() * 3 < time.count() ? "latency" : most->name;
}

Machine::Machine(const GpuParams& params)
    : params_(params),
      hbm_(params.hbm),
      clock_per_ps_(params.clock.count() / picoseconds_per_second),
      vector_per_ps_(params.vector_peak().count() / static_cast<double>(params.sms) /
                     picoseconds_per_second),
      special_per_ps_(params.special_per_clock * clock_per_ps_),
      shared_per_ps_(params.shared_bytes_per_clock * clock_per_ps_) {}

KernelTiming Machine::run(const KernelPlan& plan, const Residency& residency) {
  residency_ = residency;
  hbm_.reset();
  l2_ = shared_word_ = Server{};
  l2_bytes_ = Bytes(0);
  sms_.assign(static_cast<std::size_t>(params_.sms), Sm{});
  event_count_ = 0;
  std::int64_t tiles = 0;
  for (const PlanPhase& phase : plan.phases) tiles = std::max(tiles, phase.program->tiles());
  cache_ = L2Cache(params_.l2_capacity, tiles);
  Picoseconds now = params_.launch_overhead;
  for (const PlanPhase& phase : plan.phases) {
    if (phase.is_launched) now += params_.kernel_tail + params_.launch_overhead;
    run_phase(phase, now);
    now = phase_end_;
  }
  return summarise(now + params_.kernel_tail);
}

void Machine::prepare_slots(const PlanPhase& phase) {
  const std::int64_t wanted = std::min(phase.program->ctas(), params_.sms * phase.ctas_per_sm);
  slots_.assign(static_cast<std::size_t>(wanted), Slot{});
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].sm = static_cast<std::int32_t>(i % sms_.size());
    slots_[i].pending.resize(static_cast<std::size_t>(phase.stages));
  }
}

void Machine::run_phase(const PlanPhase& phase, Picoseconds start) {
  phase_ = &phase;
  tensor_per_ps_ = params_.matrix_peak(phase.pipe).count() * params_.matrix_efficiency /
                   static_cast<double>(params_.sms) / picoseconds_per_second;
  prepare_slots(phase);
  events_.clear();
  next_cta_ = 0;
  phase_end_ = start;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!assign_next(slots_[i])) break;
    events_.push(start + params_.cta_start, Phase::Issue,
                 {EventKind::Load, static_cast<std::int32_t>(i), 0});
  }
  while (!events_.empty()) {
    const auto entry = events_.pop();
    ++event_count_;
    handle(entry.event, entry.time);
  }
}

void Machine::handle(const Event& event, Picoseconds now) {
  Slot& slot = slots_[static_cast<std::size_t>(event.slot)];
  switch (event.kind) {
    case EventKind::Load:
      issue_loads(slot, event.slot, now);
      break;
    case EventKind::Tensor:
      start_tensor(slot, event.slot, now);
      break;
    case EventKind::TensorDone:
      finish_tensor(slot, event.slot, now);
      break;
    case EventKind::Epilogue:
      start_epilogue(event, now);
      break;
    case EventKind::Store:
      store_output(event, now);
      break;
  }
}

bool Machine::assign_next(Slot& slot) {
  if (next_cta_ >= phase_->program->ctas()) {
    slot.cta = -1;
    return false;
  }
  slot.cta = next_cta_++;
  slot.next_step = 0;
  slot.steps = phase_->program->steps(slot.cta);
  return true;
}

bool Machine::is_resident(Operand operand) const {
  switch (operand) {
    case Operand::Weight:
      return residency_.weights;
    case Operand::Activation:
      return residency_.activations;
    case Operand::Kv:
      return residency_.kv;
    case Operand::Workspace:
      break;
  }
  return false;
}

Picoseconds Machine::load_tile(Sm& sm, const TileLoad& load, std::int64_t rounds,
                               Picoseconds now) {
  const Picoseconds port = sm.port.reserve(
      now, at_rate(load.bytes.count(), params_.port_bytes_per_clock * clock_per_ps_));
  const Bytes shared((load.bytes.count() + load.sharers - 1) / load.sharers);
  l2_bytes_ += shared;
  const Picoseconds l2 = l2_.reserve(now, shared / params_.l2_bandwidth);
  Picoseconds ready = std::max({port, l2, now + params_.l2_latency * (rounds - 1)});
  ready += params_.l2_latency;
  Bytes missing = load.bytes;
  if (params_.model_l2) {
    const L2Cache::Look look = cache_.find(load.tile, load.bytes, is_resident(load.operand));
    missing = look.missing;
    ready = std::max(ready, look.ready + params_.l2_latency);
  }
  if (missing.count() == 0) return ready;
  const auto address = static_cast<std::uint64_t>(load.tile) * 1024;
  const Picoseconds arrived = hbm_.serve(now, {address, missing, false});
  if (params_.model_l2) {
    cache_.insert(load.tile, load.bytes, arrived + params_.hbm_latency - params_.l2_latency);
  }
  return std::max({ready, arrived + params_.hbm_latency, now + params_.hbm_latency * rounds});
}

Machine::PendingStep Machine::make_pending(const Slot& slot, const Step& step, Picoseconds now) {
  PendingStep pending{now,
                      std::max(at_rate(step.tensor_padded.count(), tensor_per_ps_),
                               at_rate(step.shared_traffic.count(), shared_per_ps_)),
                      params_.matrix_latency * step.chain,
                      at_rate((step.vector + step.schedule).count(), vector_per_ps_),
                      at_rate(step.special.count(), special_per_ps_),
                      slot.cta,
                      slot.next_step + 1 == slot.steps};
  for (int i = 0; i < step.load_count; ++i) {
    Sm& sm = sms_[static_cast<std::size_t>(slot.sm)];
    pending.ready = std::max(pending.ready, load_tile(sm, step.loads[i], step.rounds, now));
  }
  return pending;
}

void Machine::issue_loads(Slot& slot, std::int32_t index, Picoseconds now) {
  while (slot.cta >= 0 && slot.next_step < slot.steps && slot.count < slot.pending.size()) {
    Step step;
    phase_->program->step(slot.cta, slot.next_step, step);
    slot.pending[(slot.head + slot.count) % slot.pending.size()] = make_pending(slot, step, now);
    ++slot.count;
    ++slot.next_step;
    if (slot.next_step == slot.steps && phase_->persistent && !assign_next(slot)) break;
  }
  schedule_tensor(slot, index, now);
}

void Machine::schedule_tensor(Slot& slot, std::int32_t index, Picoseconds now) {
  if (slot.is_computing || slot.count == 0) return;
  slot.is_computing = true;
  const PendingStep& step = slot.pending[slot.head];
  const Picoseconds free = phase_->overlaps_vector ? slot.previous_vector_done : slot.vector_done;
  events_.push(std::max({now, step.ready, free}), Phase::Issue, {EventKind::Tensor, index, 0});
}

void Machine::start_tensor(Slot& slot, std::int32_t index, Picoseconds now) {
  Sm& sm = sms_[static_cast<std::size_t>(slot.sm)];
  const PendingStep& step = slot.pending[slot.head];
  // The pipe is free for other CTAs while this one waits for its own accumulators.
  const Picoseconds done = std::max(sm.tensor.reserve(now, step.tensor), now + step.chain);
  events_.push(done, Phase::Complete, {EventKind::TensorDone, index, 0});
}

void Machine::finish_tensor(Slot& slot, std::int32_t index, Picoseconds now) {
  Sm& sm = sms_[static_cast<std::size_t>(slot.sm)];
  const PendingStep step = slot.pending[slot.head];
  Picoseconds done = now;
  if (step.vector.count() > 0) done = sm.vector.reserve(done, step.vector);
  if (step.special.count() > 0) done = sm.special.reserve(done, step.special);
  slot.previous_vector_done = slot.vector_done;
  slot.vector_done = done;
  slot.head = (slot.head + 1) % slot.pending.size();
  --slot.count;
  slot.is_computing = false;
  if (step.is_last) {
    events_.push(done, Phase::Release, {EventKind::Epilogue, index, step.cta});
  }
  issue_loads(slot, index, now);
}

void Machine::start_epilogue(const Event& event, Picoseconds now) {
  Sm& sm = sms_[static_cast<std::size_t>(slots_[static_cast<std::size_t>(event.slot)].sm)];
  Epilogue epilogue;
  phase_->program->epilogue(event.cta, epilogue);
  Picoseconds ready = now;
  if (epilogue.load.bytes.count() > 0) ready = load_tile(sm, epilogue.load, 1, now);
  if (epilogue.vector.count() > 0) {
    ready = sm.vector.reserve(ready, at_rate(epilogue.vector.count(), vector_per_ps_));
  }
  if (epilogue.special.count() > 0) {
    ready = sm.special.reserve(ready, at_rate(epilogue.special.count(), special_per_ps_));
  }
  events_.push(ready, Phase::Release, {EventKind::Store, event.slot, event.cta});
}

void Machine::store_output(const Event& event, Picoseconds now) {
  Slot& slot = slots_[static_cast<std::size_t>(event.slot)];
  Epilogue epilogue;
  phase_->program->epilogue(event.cta, epilogue);
  const Bytes bytes = epilogue.store + epilogue.workspace_store;
  l2_bytes_ += bytes;
  Server& port = sms_[static_cast<std::size_t>(slot.sm)].port;
  Picoseconds done =
      port.reserve(now, at_rate(bytes.count(), params_.port_bytes_per_clock * clock_per_ps_));
  done = std::max(done, l2_.reserve(now, bytes / params_.l2_bandwidth));
  if (epilogue.updates_shared_word) {
    done = std::max(done, shared_word_.reserve(now, params_.atomic_interval) + params_.l2_latency);
  }
  if (epilogue.workspace_store.count() > 0 && params_.model_l2) {
    cache_.insert(epilogue.store_tile, epilogue.workspace_store, done);
  }
  const bool stays = params_.model_l2 && residency_.output;
  if (!stays && epilogue.store.count() > 0) {
    const auto address = static_cast<std::uint64_t>(event.cta) * 1024;
    done = std::max(done, hbm_.serve(now, {address, epilogue.store, true}));
  }
  phase_end_ = std::max(phase_end_, done);
  if (!phase_->persistent && assign_next(slot)) {
    events_.push(done + params_.cta_start, Phase::Issue, {EventKind::Load, event.slot, 0});
  }
}

KernelTiming Machine::summarise(Picoseconds end) const {
  KernelTiming timing;
  timing.time = end;
  timing.hbm_read = hbm_.bytes_read();
  timing.hbm_written = hbm_.bytes_written();
  timing.l2_bytes = l2_bytes_;
  timing.l2_busy = l2_.busy;
  timing.hbm_busy = hbm_.busy();
  for (const Sm& sm : sms_) {
    timing.tensor_busy += sm.tensor.busy;
    timing.vector_busy += sm.vector.busy;
    timing.special_busy += sm.special.busy;
    timing.port_busy += sm.port.busy;
  }
  for (Picoseconds* busy :
       {&timing.tensor_busy, &timing.vector_busy, &timing.special_busy, &timing.port_busy}) {
    *busy = *busy / params_.sms;
  }
  timing.events = event_count_;
  return timing;
}

}  // namespace tandem::gpu
