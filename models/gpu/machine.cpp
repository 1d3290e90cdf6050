#include "models/gpu/machine.hpp"

#include <algorithm>
#include <cmath>

#include "models/gpu/shared_constants.hpp"

namespace tandem::gpu {
namespace {

/// Duration of `amount` at `per_ps`, rounded up so that nothing is free.
Picoseconds at_rate(std::int64_t amount, double per_ps) {
  if (amount <= 0) return Picoseconds(0);
  return Picoseconds(static_cast<std::int64_t>(std::ceil(static_cast<double>(amount) / per_ps)));
}

/// Rounds of equal CTAs that show the steady state; long CTAs show it in fewer.
constexpr std::int64_t rounds_of_equal_ctas = 6;
constexpr std::int64_t steps_of_equal_ctas = 64;

/// Threads whose next instruction an SM issues per clock: four schedulers, a warp of 32 each
/// (NVIDIA V100 architecture whitepaper, and those of all later chips).
constexpr double issue_lanes_per_clock = 128;

/// Block scales go to tensor memory four times over, once to the lanes of each warp (PTX ISA,
/// tcgen05.cp 32x128b.warpx4), in order with the tensor instructions; 32 lanes of 4 bytes per
/// clock.
constexpr double scale_bytes_per_clock = 128.0 / 4;

/// Time that vector work keeps the tensor pipe of its SM idle.
Picoseconds held_by_vector_work(VectorWork kind, Picoseconds tensor, Picoseconds vector,
                                Picoseconds special) {
  switch (kind) {
    case VectorWork::Lockstep:
      // Warps are at different places of it, so the two pipes work side by side.
      return std::max(vector, special);
    case VectorWork::BesideValues:
      return vector + std::max(Picoseconds(0), special - tensor / 2);
    case VectorWork::AfterTensor:
    case VectorWork::BesideTensor:
      break;
  }
  return Picoseconds(0);
}

}  // namespace

Machine::Machine(const GpuParams& params)
    : params_(params),
      hbm_(params.hbm),
      clock_per_ps_(params.clock.count() / picoseconds_per_second),
      vector_per_ps_(params.vector_peak().count() / static_cast<double>(params.sms) /
                     picoseconds_per_second),
      special_per_ps_(params.special_per_clock * clock_per_ps_),
      shared_per_ps_(params.shared_bytes_per_clock * clock_per_ps_),
      issue_per_ps_(issue_lanes_per_clock * clock_per_ps_),
      exchange_(static_cast<std::int64_t>(shared::exchange_clocks / clock_per_ps_)) {}

KernelTiming Machine::run(const KernelPlan& plan, const Residency& residency) {
  hbm_.reset();
  start_ = Picoseconds(0);
  return run_next(plan, residency);
}

KernelTiming Machine::run_next(const KernelPlan& plan, const Residency& residency) {
  residency_ = residency;
  hbm_busy_before_ = hbm_.busy();
  read_before_ = hbm_.bytes_read();
  written_before_ = hbm_.bytes_written();
  l2_ = shared_word_ = Server{};
  l2_bytes_ = Bytes(0);
  switched_ = SwitchingCounts{};
  switched_.launches = 1;
  sms_.assign(static_cast<std::size_t>(params_.sms), Sm{});
  event_count_ = 0;
  skipped_ = KernelTiming{};
  std::int64_t tiles = 0;
  for (const PlanPhase& phase : plan.phases) tiles = std::max(tiles, phase.program->tiles());
  cache_ = L2Cache(params_.l2_capacity, tiles);
  Picoseconds now = start_ + params_.launch_gap();
  for (const PlanPhase& phase : plan.phases) {
    if (phase.is_launched) {
      now += params_.kernel_tail + params_.launch_gap();
      ++switched_.launches;
    }
    run_phase(phase, now);
    const auto used = std::min(sms_.size(), slots_.size());
    switched_.sm_active += (phase_end_ - now) * static_cast<std::int64_t>(used);
    now = phase_end_;
  }
  const KernelTiming timing = summarise(now + params_.kernel_tail);
  start_ += timing.time;
  return timing;
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
  setup_ = phase.has_setup ? params_.cta_start : Picoseconds(0);
  next_cta_ = 0;
  repetition_ = repetition_of(phase);
  last_cta_ = ctas_to_run(phase);
  prepare_repeats(phase);
  phase_end_ = start;
  const KernelTiming before = summarise(start);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!assign_next(slots_[i], start)) break;
    const Picoseconds first = start + (params_.hides_launch ? Picoseconds(0) : setup_);
    events_.push(first, Phase::Issue, {EventKind::Load, static_cast<std::int32_t>(i), 0});
  }
  while (!events_.empty()) {
    const auto entry = events_.pop();
    ++event_count_;
    handle(entry.event, entry.time);
  }
  if (repetition_of(phase) > 0) skip_rounds(phase, start, before);
  phase_end_ += left_out_;
  skipped_.skipped += left_out_;
}

std::int64_t Machine::repetition_of(const PlanPhase& phase) const {
  const std::int64_t period = phase.has_equal_ctas ? 1 : phase.period;
  if (period == 0) return 0;
  const std::int64_t round = params_.sms * phase.ctas_per_sm;
  return period * ((round + period - 1) / period);
}

std::int64_t Machine::ctas_to_run(const PlanPhase& phase) const {
  const std::int64_t ctas = phase.program->ctas();
  const std::int64_t round = repetition_of(phase);
  if (round == 0) return ctas;
  const std::int64_t rounds = (ctas + round - 1) / round;
  std::int64_t kept = std::clamp<std::int64_t>(steps_of_equal_ctas / phase.program->steps(0), 3,
                                               rounds_of_equal_ctas);
  // Tiles that neighbours share in L2 take some rounds; long periods show that themselves.
  if (!phase.has_equal_ctas) kept = round >= 4 * params_.sms * phase.ctas_per_sm ? 3 : 5;
  return ctas - round * std::max<std::int64_t>(0, rounds - kept);
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

bool Machine::assign_next(Slot& slot, Picoseconds now) {
  pass_repeats(now);
  if (next_cta_ >= last_cta_) {
    slot.cta = -1;
    return false;
  }
  slot.cta = next_cta_++;
  if (repetition_ > 0 && slot.cta % repetition_ == 0) {
    if (slot.cta == repetition_) second_round_ = now;
    last_round_ = now;
  }
  slot.next_step = 0;
  slot.steps = phase_->program->steps(slot.cta);
  if (phase_->has_equal_ctas) slot.steps = std::min(slot.steps, most_equal_steps);
  return true;
}

double Machine::resident_share(Operand operand) const {
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
  return 0;
}

Bytes Machine::leaving_output(Bytes store) const {
  if (!params_.model_l2) return store;
  const double stays = static_cast<double>(store.count()) * residency_.output;
  return store - Bytes(static_cast<std::int64_t>(stays));
}

Picoseconds Machine::load_tile(Sm& sm, const TileLoad& load, std::int64_t rounds, Picoseconds now) {
  const Picoseconds port = sm.port.reserve(
      now, at_rate(load.bytes.count(), params_.port_bytes_per_clock * clock_per_ps_));
  const Bytes shared((load.bytes.count() + load.sharers - 1) / load.sharers);
  l2_bytes_ += shared;
  const Picoseconds l2 = l2_.reserve(now, shared / params_.l2_bandwidth);
  Picoseconds ready = std::max({port, l2, now + params_.l2_latency * (rounds - 1)});
  ready += params_.l2_latency;
  Bytes missing = load.bytes;
  if (params_.model_l2) {
    const L2Cache::Look look = cache_.find(load.tile, load.bytes, resident_share(load.operand));
    missing = look.missing;
    ready = std::max(ready, look.ready + params_.l2_latency);
  }
  if (missing.count() == 0) return ready;
  const auto address = static_cast<std::uint64_t>(load.tile) * 1024;
  const Picoseconds arrived = hbm_.serve(now, {address, missing, false});
  if (params_.model_l2) {
    keep_tile(load.tile, load.bytes, arrived + params_.hbm_latency - params_.l2_latency, false,
              now);
  }
  return std::max({ready, arrived + params_.hbm_latency, now + params_.hbm_latency * rounds});
}

Machine::PendingStep Machine::make_pending(const Slot& slot, const Step& step, Picoseconds now) {
  const Flops vector = std::max(step.vector, step.vector_padded);
  const Flops special = std::max(step.special, step.special_padded);
  const Picoseconds product =
      at_rate(step.tensor_padded.count(), tensor_per_ps_) +
      at_rate(step.scale_copies.count(), scale_bytes_per_clock * clock_per_ps_);
  const Picoseconds fetch = at_rate(step.shared_traffic.count(), shared_per_ps_);
  PendingStep pending{
      now,
      phase_->fetches_in_order ? product + fetch : std::max(product, fetch),
      params_.matrix_latency * step.chain,
      params_.stage_handoff * step.handoffs + exchange_ * step.exchanges,
      std::max(at_rate(vector.count(), vector_per_ps_), at_rate(step.issue.count(), issue_per_ps_)),
      at_rate(special.count(), special_per_ps_),
      Picoseconds(0),
      step.store,
      slot.cta,
      slot.next_step + 1 == slot.steps};
  pending.hold =
      held_by_vector_work(phase_->vector_work, pending.tensor, pending.vector, pending.special);
  switched_.tensor_of(phase_->pipe) += step.tensor_padded;
  switched_.vector += vector;
  switched_.special += special;
  for (int i = 0; i < step.load_count; ++i) {
    Sm& sm = sms_[static_cast<std::size_t>(slot.sm)];
    pending.ready = std::max(pending.ready, load_tile(sm, step.loads[i], step.rounds, now));
  }
  return pending;
}

void Machine::issue_loads(Slot& slot, std::int32_t index, Picoseconds now) {
  while (slot.cta >= 0 && slot.next_step < slot.steps && slot.count < slot.pending.size() &&
         now >= slot.loads_from) {
    Step step;
    phase_->program->step(slot.cta, slot.next_step, step);
    slot.pending[(slot.head + slot.count) % slot.pending.size()] = make_pending(slot, step, now);
    ++slot.count;
    ++slot.next_step;
    if (slot.next_step < slot.steps || !phase_->persistent) continue;
    if (!assign_next(slot, now)) break;
    if (phase_->tile_setup.count() == 0) continue;
    slot.loads_from = now + phase_->tile_setup;
    events_.push(slot.loads_from, Phase::Issue, {EventKind::Load, index, 0});
  }
  schedule_tensor(slot, index, now);
}

void Machine::schedule_tensor(Slot& slot, std::int32_t index, Picoseconds now) {
  if (slot.is_computing || slot.count == 0) return;
  slot.is_computing = true;
  const PendingStep& step = slot.pending[slot.head];
  const bool beside = phase_->vector_work == VectorWork::BesideTensor;
  const Picoseconds free = beside ? slot.previous_vector_done : slot.vector_done;
  events_.push(std::max({now, step.ready, free}), Phase::Issue, {EventKind::Tensor, index, 0});
}

void Machine::start_tensor(Slot& slot, std::int32_t index, Picoseconds now) {
  Sm& sm = sms_[static_cast<std::size_t>(slot.sm)];
  const PendingStep& step = slot.pending[slot.head];
  // The pipe is free for other CTAs while this one waits for its own accumulators.
  const Picoseconds done =
      std::max(sm.tensor.reserve(now, step.tensor + step.hold), now + step.chain) + step.handoff;
  sm.tensor.busy -= step.hold;
  events_.push(done, Phase::Complete, {EventKind::TensorDone, index, 0});
}

void Machine::finish_tensor(Slot& slot, std::int32_t index, Picoseconds now) {
  Sm& sm = sms_[static_cast<std::size_t>(slot.sm)];
  const PendingStep step = slot.pending[slot.head];
  Picoseconds done = now;
  if (step.hold.count() > 0) {
    sm.vector.busy += step.vector;
    sm.special.busy += step.special;
  } else {
    if (step.vector.count() > 0) done = sm.vector.reserve(done, step.vector);
    if (step.special.count() > 0) done = sm.special.reserve(done, step.special);
  }
  slot.previous_vector_done = slot.vector_done;
  slot.vector_done = done;
  phase_end_ = std::max(phase_end_, store_tile(sm, step.store, step.cta, done).done);
  slot.head = (slot.head + 1) % slot.pending.size();
  --slot.count;
  // Without a second set of accumulators the next tile waits for the epilogue.
  slot.is_computing = step.is_last && phase_->persistent && !phase_->overlaps_epilogue;
  if (step.is_last) {
    events_.push(done, Phase::Release, {EventKind::Epilogue, index, step.cta});
  }
  issue_loads(slot, index, now);
}

void Machine::start_epilogue(const Event& event, Picoseconds now) {
  Sm& sm = sms_[static_cast<std::size_t>(slots_[static_cast<std::size_t>(event.slot)].sm)];
  Epilogue epilogue;
  phase_->program->epilogue(event.cta, epilogue);
  switched_.vector += epilogue.vector;
  switched_.special += epilogue.special;
  Picoseconds ready = now + exchange_ * epilogue.exchanges;
  if (epilogue.load.bytes.count() > 0) {
    ready = std::max(ready, load_tile(sm, epilogue.load, 1, now));
  }
  if (epilogue.vector.count() > 0) {
    ready = sm.vector.reserve(ready, at_rate(epilogue.vector.count(), vector_per_ps_));
  }
  if (epilogue.special.count() > 0) {
    ready = sm.special.reserve(ready, at_rate(epilogue.special.count(), special_per_ps_));
  }
  if (epilogue.staging.count() > 0) {
    ready = sm.staging.reserve(ready, at_rate(epilogue.staging.count(), shared_per_ps_));
  }
  events_.push(ready, Phase::Release, {EventKind::Store, event.slot, event.cta});
}

void Machine::keep_tile(std::int64_t tile, Bytes bytes, Picoseconds ready, bool dirty,
                        Picoseconds now) {
  cache_.insert(tile, bytes, ready, dirty);
  const Bytes evicted = cache_.take_written_back();
  if (evicted.count() == 0) return;
  const auto address = static_cast<std::uint64_t>(tile) * 1024;
  (void)hbm_.serve(now, {address, evicted, true});
}

Machine::Sent Machine::store_tile(Sm& sm, const TileStore& store, std::int64_t cta,
                                  Picoseconds now) {
  const Bytes bytes = store.output + store.workspace;
  if (bytes.count() == 0) return {now, now};
  l2_bytes_ += bytes;
  const Picoseconds sent =
      sm.store.reserve(now, at_rate(bytes.count(), params_.store_bytes_per_clock * clock_per_ps_));
  Picoseconds done = std::max(sent, l2_.reserve(now, bytes / params_.l2_bandwidth));
  if (store.workspace.count() > 0 && params_.model_l2) {
    keep_tile(store.tile, store.workspace, done, true, now);
  }
  const Bytes leaving = leaving_output(store.output);
  if (leaving.count() > 0) {
    const auto address = static_cast<std::uint64_t>(cta) * 1024;
    done = std::max(done, hbm_.serve(now, {address, leaving, true}));
  }
  return {sent, done};
}

void Machine::store_output(const Event& event, Picoseconds now) {
  Slot& slot = slots_[static_cast<std::size_t>(event.slot)];
  Epilogue epilogue;
  phase_->program->epilogue(event.cta, epilogue);
  const TileStore store{epilogue.store, epilogue.workspace_store, epilogue.store_tile};
  auto [sent, done] = store_tile(sms_[static_cast<std::size_t>(slot.sm)], store, event.cta, now);
  if (epilogue.updates_shared_word) {
    done = std::max(done, shared_word_.reserve(now, params_.atomic_interval) + params_.l2_latency);
  }
  phase_end_ = std::max(phase_end_, done);
  if (phase_->persistent) {
    if (phase_->overlaps_epilogue) return;
    slot.is_computing = false;
    schedule_tensor(slot, event.slot, sent);
  } else if (assign_next(slot, now)) {
    // A CTA leaves when its stores are on their way.
    events_.push(sent + setup_, Phase::Issue, {EventKind::Load, event.slot, 0});
  }
}

}  // namespace tandem::gpu
