#include "models/lpu/schedule_map.hpp"

#include <algorithm>
#include <span>

namespace tandem::lpu {
namespace {

// Follows the words of one queue from Sync to Sync without unfolding loops.
class QueueMapper {
 public:
  QueueMapper(const QueueProgram& words, std::span<const OperatorSpan> marks,
              const HostRegisters& registers, int hac_period)
      : words_(words),
        marks_(marks),
        registers_(registers),
        hac_period_(hac_period),
        starts_(words.size()),
        runs_before_(words.size()) {}

  // Up to the next Sync or the end; adds the cycles of every Notify.
  void run(std::vector<std::int64_t>& notifies) {
    for (parked_ = false; pc_ < words_.size() && !parked_;) {
      if (block_end_ != 0 && pc_ == block_end_) {
        leave_block();
        continue;
      }
      starts_[pc_] = cursor_;
      runs_before_[pc_] = schedule_.runs.size();
      if (words_[pc_].op == Opcode::Notify) notifies.push_back(cursor_);
      step(words_[pc_]);
    }
  }
  [[nodiscard]] bool is_parked_by(std::int64_t cycle) const { return parked_ && cursor_ <= cycle; }
  void resume(std::int64_t cycle) {
    cursor_ = cycle;
    ++pc_;
    parked_ = false;
  }
  [[nodiscard]] std::int64_t last_cycle() const {
    return lasts_.empty() ? -1 : *std::max_element(lasts_.begin(), lasts_.end());
  }
  // A loop around another closes later and comes first where both begin with the same run.
  QueueSchedule take() {
    std::reverse(schedule_.loops.begin(), schedule_.loops.end());
    std::stable_sort(schedule_.loops.begin(), schedule_.loops.end(),
                     [](const ScheduleLoop& a, const ScheduleLoop& b) {
                       return a.first != b.first ? a.first < b.first : a.last > b.last;
                     });
    return std::move(schedule_);
  }

 private:
  void step(const Instruction& word) {
    switch (word.op) {
      case Opcode::Sync:
        parked_ = true;
        return;
      case Opcode::Nop:
      case Opcode::RuntimeDeskew:
        cursor_ += word.count;
        break;
      case Opcode::Deskew:
        cursor_ = (cursor_ / hac_period_ + 1) * hac_period_;
        break;
      case Opcode::Repeat:
        repeat(word);
        break;
      case Opcode::Loop:
      case Opcode::LoopReg:
        close_loop(word);
        break;
      case Opcode::Select:
        return enter_block(word);
      default:
        issue(word);
    }
    ++pc_;
  }

  void issue(const Instruction& word) {
    schedule_.runs.push_back({cursor_, 1, 1, 0, static_cast<std::uint32_t>(pc_), mark_of(pc_)});
    cursor_ += queue_cycles(word);
    lasts_.push_back(cursor_ - 1);
  }

  void repeat(const Instruction& word) {
    if (schedule_.runs.empty() || word.count == 0) return;
    ScheduleRun& run = schedule_.runs.back();
    run.count = std::int64_t{word.count} + 1;
    run.interval = word.interval;
    run.stride = word.stride;
    lasts_.back() += std::int64_t{word.count} * word.interval;
    cursor_ = lasts_.back() + 1;
  }

  void close_loop(const Instruction& word) {
    const std::size_t body = pc_ - std::min<std::size_t>(word.width, pc_);
    ScheduleLoop loop;
    loop.first = runs_before_[body];
    loop.last = schedule_.runs.size();
    loop.start = starts_[body];
    loop.reg = word.op == Opcode::LoopReg ? word.reg : 0;
    loop.further = loop.reg != 0 ? registers_[word.reg] : word.count;
    loop.interval = word.interval;
    loop.stride = word.stride;
    cursor_ = loop.start + loop.interval * (loop.further + 1);
    if (loop.first == loop.last) return;
    for (std::size_t run = loop.first; run < loop.last; ++run) {
      lasts_[run] += loop.interval * loop.further;
    }
    schedule_.loops.push_back(loop);
  }

  void enter_block(const Instruction& select) {
    const std::size_t blocks = std::max<std::size_t>(select.count, 1);
    const std::size_t choice = std::min<std::size_t>(registers_[select.reg], blocks - 1);
    const std::size_t first = pc_ + 1;
    block_end_ = first + (choice + 1) * select.width;
    block_resume_ = first + blocks * select.width;
    block_deadline_ = cursor_ + select.interval;
    pc_ = first + choice * select.width;
  }
  void leave_block() {
    cursor_ = block_deadline_;
    pc_ = block_resume_;
    block_end_ = 0;
  }

  [[nodiscard]] std::uint16_t mark_of(std::size_t word) {
    while (next_mark_ < marks_.size() && marks_[next_mark_].first_word <= word) ++next_mark_;
    return next_mark_ == 0 ? no_operator : marks_[next_mark_ - 1].mark;
  }

  const QueueProgram& words_;
  std::span<const OperatorSpan> marks_;
  const HostRegisters& registers_;
  std::int64_t hac_period_;
  std::vector<std::int64_t> starts_;      // by word
  std::vector<std::size_t> runs_before_;  // by word
  std::vector<std::int64_t> lasts_;       // by run: its last cycle, loops around it included
  QueueSchedule schedule_;
  std::size_t pc_ = 0;
  std::int64_t cursor_ = 0;
  bool parked_ = false;
  std::size_t next_mark_ = 0;
  std::size_t block_end_ = 0;  // 0: no block is being executed
  std::size_t block_resume_ = 0;
  std::int64_t block_deadline_ = 0;
};

std::vector<QueueMapper> make_mappers(const Program& program, const Geometry& geometry,
                                      const HostRegisters& registers) {
  std::vector<QueueMapper> mappers;
  for (std::size_t queue = 0; queue < program.queues.size(); ++queue) {
    std::span<const OperatorSpan> marks;
    if (queue < program.marks.queues.size()) marks = program.marks.queues[queue];
    mappers.emplace_back(program.queues[queue], marks, registers, geometry.hac_period);
  }
  return mappers;
}

}  // namespace

ScheduleMap map_schedule(const Program& program, const Geometry& geometry,
                         const LatencyTable& latencies, const HostRegisters& registers) {
  std::vector<QueueMapper> mappers = make_mappers(program, geometry, registers);
  std::vector<std::int64_t> notifies;
  for (QueueMapper& mapper : mappers) mapper.run(notifies);
  ScheduleMap map;
  std::int64_t first_notify = -1;
  while (!notifies.empty()) {
    const auto earliest = std::min_element(notifies.begin(), notifies.end());
    const std::int64_t release = *earliest + latencies.barrier;
    if (first_notify < 0) first_notify = *earliest;
    notifies.erase(earliest);
    map.releases.push_back(release);
    for (QueueMapper& mapper : mappers) {
      if (!mapper.is_parked_by(release)) continue;
      mapper.resume(release);
      mapper.run(notifies);
    }
  }
  std::int64_t last = -1;
  for (QueueMapper& mapper : mappers) {
    last = std::max(last, mapper.last_cycle());
    map.queues.push_back(mapper.take());
  }
  if (last >= 0) {
    map.cycles = last - std::max<std::int64_t>(first_notify, 0) + geometry.superlanes;
  }
  return map;
}

}  // namespace tandem::lpu
