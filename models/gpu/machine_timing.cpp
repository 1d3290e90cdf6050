// What a kernel did, added up; and the rounds of equal CTAs that are not simulated again.
#include <algorithm>
#include <tuple>
#include <type_traits>

#include "models/gpu/machine.hpp"

namespace tandem::gpu {

/// Adds to what is not simulated, count by count, what `grow(total, before, after)` makes of the
/// difference.
template <class Grow>
void Machine::grow_counts(const KernelTiming& before, const KernelTiming& after, const Grow& grow) {
  const auto pipe = static_cast<std::size_t>(phase_->pipe);
  grow(skipped_.hbm_read, before.hbm_read, after.hbm_read);
  grow(skipped_.hbm_written, before.hbm_written, after.hbm_written);
  grow(skipped_.l2_bytes, before.l2_bytes, after.l2_bytes);
  grow(switched_.tensor_of(phase_->pipe), before.switched.tensor[pipe],
       after.switched.tensor[pipe]);
  grow(switched_.vector, before.switched.vector, after.switched.vector);
  grow(switched_.special, before.switched.special, after.switched.special);
  grow(skipped_.tensor_busy, before.tensor_busy, after.tensor_busy);
  grow(skipped_.vector_busy, before.vector_busy, after.vector_busy);
  grow(skipped_.special_busy, before.special_busy, after.special_busy);
  grow(skipped_.port_busy, before.port_busy, after.port_busy);
  grow(skipped_.l2_busy, before.l2_busy, after.l2_busy);
  grow(skipped_.hbm_busy, before.hbm_busy, after.hbm_busy);
}

void Machine::skip_rounds(const PlanPhase& phase, Picoseconds start, const KernelTiming& before) {
  const std::int64_t ctas = phase.program->ctas();
  const std::int64_t steps = phase.program->steps(0);
  const std::int64_t kept_steps =
      phase.has_equal_ctas ? std::min<std::int64_t>(steps, most_equal_steps) : steps;
  if (last_cta_ == ctas && kept_steps == steps) return;
  const double ratio =
      static_cast<double>(ctas * steps) / static_cast<double>(last_cta_ * kept_steps) - 1;
  const KernelTiming after = summarise(phase_end_);
  const auto grow = [&](auto& total, auto then, auto now) {
    using Amount = std::decay_t<decltype(total)>;
    total += Amount(static_cast<std::int64_t>(static_cast<double>((now - then).count()) * ratio));
  };
  grow_counts(before, after, grow);
  const Picoseconds simulated_end = phase_end_;
  if (last_cta_ < ctas) {
    // First CTA to first CTA of a repetition: right whether CTAs start together or one by one.
    const std::int64_t measured = ((last_cta_ - 1) / repetition_ - 1) * repetition_;
    phase_end_ += (last_round_ - second_round_) * (ctas - last_cta_) / measured;
  }
  phase_end_ = start + (phase_end_ - start) * steps / kept_steps;
  skipped_.skipped += phase_end_ - simulated_end;
}

void Machine::prepare_repeats(const PlanPhase& phase) {
  repeat_marks_.clear();
  next_mark_ = 0;
  left_out_ = Picoseconds(0);
  second_repeats_.assign(phase.repeats.size(), {});
  for (std::size_t i = 0; i < phase.repeats.size(); ++i) {
    const RepeatedCtas& repeat = phase.repeats[i];
    if (repeat.count <= repeat.kept) continue;
    repeat_marks_.push_back({repeat.second(), false, i});
    repeat_marks_.push_back({repeat.left_out(), true, i});
  }
  std::ranges::sort(repeat_marks_, {}, [](const RepeatMark& mark) {
    return std::tuple(mark.cta, !mark.leaves_out, mark.repeat);
  });
}

void Machine::pass_repeats(Picoseconds now) {
  while (next_mark_ < repeat_marks_.size() && repeat_marks_[next_mark_].cta == next_cta_) {
    const RepeatMark& mark = repeat_marks_[next_mark_++];
    const RepeatedCtas& repeat = phase_->repeats[mark.repeat];
    RepeatState& second = second_repeats_[mark.repeat];
    if (!mark.leaves_out) {
      second = {now + left_out_, summarise(now)};
      continue;
    }
    leave_out(repeat, second, now);
    next_cta_ = repeat.end();
    while (next_mark_ < repeat_marks_.size() && repeat_marks_[next_mark_].cta < next_cta_) {
      ++next_mark_;
    }
  }
}

void Machine::leave_out(const RepeatedCtas& repeat, const RepeatState& second, Picoseconds now) {
  const std::int64_t seen = repeat.kept - 1;
  const std::int64_t left = repeat.count - repeat.kept;
  const KernelTiming timing = summarise(now);
  const auto grow = [&](auto& total, auto then, auto since) {
    using Amount = std::decay_t<decltype(total)>;
    total += Amount((since - then).count() * left / seen);
  };
  grow_counts(second.timing, timing, grow);
  grow(left_out_, second.time, now + left_out_);
}

KernelTiming Machine::summarise(Picoseconds end) const {
  KernelTiming timing;
  timing.time = end - start_;
  timing.hbm_read = hbm_.bytes_read() - read_before_;
  timing.hbm_written = hbm_.bytes_written() - written_before_;
  timing.l2_bytes = l2_bytes_;
  timing.switched = switched_;
  timing.l2_busy = l2_.busy;
  timing.hbm_busy = hbm_.busy() - hbm_busy_before_;
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
  timing.hbm_read += skipped_.hbm_read;
  timing.hbm_written += skipped_.hbm_written;
  timing.l2_bytes += skipped_.l2_bytes;
  timing.l2_busy += skipped_.l2_busy;
  timing.hbm_busy += skipped_.hbm_busy;
  timing.tensor_busy += skipped_.tensor_busy;
  timing.vector_busy += skipped_.vector_busy;
  timing.special_busy += skipped_.special_busy;
  timing.port_busy += skipped_.port_busy;
  timing.skipped = skipped_.skipped;
  timing.switched.l2 = timing.l2_bytes;
  timing.switched.hbm = timing.hbm_read + timing.hbm_written;
  return timing;
}

}  // namespace tandem::gpu
