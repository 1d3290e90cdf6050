// Judging the events of a slice of time: stream cells, ALU registers, planes.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "models/lpu/verifier_pass.hpp"

namespace tandem::lpu {

std::string VerifierPass::cell_name(const StreamEvent& event) const {
  const int per_direction = geometry_.total_streams_per_direction();
  const bool east = event.stream < per_direction;
  return fmt::format("stream {}{} at position {}", east ? 'E' : 'W', event.stream % per_direction,
                     east ? event.travelled : -event.travelled);
}

// A lane is complete when even its last cell lies before the horizon.
void VerifierPass::judge_streams(std::int64_t horizon) {
  const int edge = geometry_.mxm_position(Hemisphere::East);
  const auto open =
      std::partition(stream_events_.begin(), stream_events_.end(),
                     [&](const StreamEvent& event) { return event.lane < horizon - edge; });
  std::sort(stream_events_.begin(), open, [](const StreamEvent& a, const StreamEvent& b) {
    return std::tie(a.stream, a.lane, a.travelled, a.reads, a.queue) <
           std::tie(b.stream, b.lane, b.travelled, b.reads, b.queue);
  });
  const auto size = static_cast<std::size_t>(open - stream_events_.begin());
  for (std::size_t first = 0; first < size;) {
    std::size_t last = first;
    while (last < size && stream_events_[last].stream == stream_events_[first].stream &&
           stream_events_[last].lane == stream_events_[first].lane) {
      ++last;
    }
    judge_lane(&stream_events_[first], stream_events_.data() + last);
    first = last;
  }
  stream_events_.erase(stream_events_.begin(), open);
}

// Events of one lane in order of travel; a producer stands before the readers of its cell.
void VerifierPass::judge_lane(const StreamEvent* first, const StreamEvent* last) {
  const bool carries_weights =
      std::any_of(first, last, [](const StreamEvent& e) { return e.op == Opcode::LoadWeights; });
  const char* conflict = carries_weights ? "H7" : "H3";
  const StreamEvent* vector = nullptr;
  bool was_read = false;
  for (const StreamEvent* event = first; event != last; ++event) {
    const std::int64_t cycle = event->lane + event->travelled;
    if (event->reads) {
      if (vector == nullptr) {
        add("H4", event->queue, cycle, cell_name(*event), "no vector is there in that cycle");
      }
      was_read = true;
      continue;
    }
    if (vector != nullptr && vector->travelled == event->travelled) {
      add(conflict, event->queue, cycle, cell_name(*event),
          fmt::format("{} writes the same cell", geometry_.queue_name(vector->queue)));
    } else if (vector != nullptr && !was_read) {
      add(conflict, event->queue, cycle, cell_name(*event),
          fmt::format("overwrites a vector of {} that nobody has read",
                      geometry_.queue_name(vector->queue)));
    }
    vector = event;
    was_read = false;
  }
}

void VerifierPass::judge_registers(std::int64_t horizon) {
  const auto open =
      std::partition(register_events_.begin(), register_events_.end(),
                     [&](const RegisterEvent& event) { return event.cycle < horizon; });
  std::sort(register_events_.begin(), open, [](const RegisterEvent& a, const RegisterEvent& b) {
    return std::tie(a.alu, a.cycle, a.reads, a.queue) < std::tie(b.alu, b.cycle, b.reads, b.queue);
  });
  for (auto event = register_events_.begin(); event != open; ++event) {
    std::int64_t& filled = register_filled_[static_cast<std::size_t>(event->alu)];
    if (event->reads) {
      if (filled < 0) {
        add("H4", event->queue, event->cycle, fmt::format("ALU {}", event->alu),
            "its output register holds nothing yet");
      }
      continue;
    }
    if (filled == event->cycle) {
      add("H3", event->queue, event->cycle, fmt::format("ALU {}", event->alu),
          "two results land in its output register");
    }
    filled = event->cycle;
  }
  register_events_.erase(register_events_.begin(), open);
}

void VerifierPass::judge_planes() {
  std::sort(plane_events_.begin(), plane_events_.end(),
            [](const PlaneEvent& a, const PlaneEvent& b) {
              return std::tie(a.cycle, a.queue) < std::tie(b.cycle, b.queue);
            });
  for (const PlaneEvent& event : plane_events_) judge_plane(event);
  plane_events_.clear();
}

void VerifierPass::judge_plane(const PlaneEvent& event) {
  const Instruction& i = *event.instruction;
  PlaneState& plane = planes_[i.plane];
  const std::string name = fmt::format("plane {}", i.plane);
  switch (i.op) {
    case Opcode::LoadWeights:
      plane.last_load = event.cycle;
      plane.load_since_install = true;
      return;
    case Opcode::InstallWeights:
      if (!plane.load_since_install) {
        add("H5", event.queue, event.cycle, name, "IW without an LW since the last IW");
      } else if (event.cycle - plane.last_load < latency_.mxm_load) {
        add("H5", event.queue, event.cycle, name,
            fmt::format("IW {} cycles after the LW in {}", event.cycle - plane.last_load,
                        plane.last_load));
      }
      if (plane.last_multiply >= event.cycle) {
        add("H5", event.queue, event.cycle, name, "IW while an ABC multiplies");
      }
      plane.last_install = event.cycle;
      plane.load_since_install = false;
      return;
    case Opcode::Activate:
      return judge_activate(event);
    default:
      break;
  }
  AccumulatorState& accumulator = plane.accumulators[i.accumulator];
  const std::string place = fmt::format("{} accumulator {}", name, i.accumulator);
  if (!accumulator.set) {
    add("H5", event.queue, event.cycle, place, "ACC of an accumulator that no ABC has set");
  } else if (event.cycle - accumulator.complete < latency_.mxm_result) {
    add("H5", event.queue, event.cycle, place,
        fmt::format("ACC {} cycles after its ABC ends; the result takes {}",
                    event.cycle - accumulator.complete, latency_.mxm_result));
  }
  accumulator.waiting = false;
}

void VerifierPass::judge_activate(const PlaneEvent& event) {
  const Instruction& i = *event.instruction;
  const std::int64_t end = event.cycle + i.halves - 1;
  for (int p = i.plane; p < i.plane + streams_of(i.type); ++p) {
    PlaneState& plane = planes_[static_cast<std::size_t>(p)];
    const std::string name = fmt::format("plane {}", p);
    if (plane.last_install < 0 || event.cycle - plane.last_install < latency_.mxm_install) {
      add("H5", event.queue, event.cycle, name, "ABC before installed weights are active");
    }
    if (plane.last_multiply >= event.cycle) {
      add("H5", event.queue, event.cycle, name, "ABC while another ABC multiplies");
    }
    plane.last_multiply = end;
  }
  AccumulatorState& accumulator = planes_[i.plane].accumulators[i.accumulator];
  const std::string place = fmt::format("plane {} accumulator {}", i.plane, i.accumulator);
  if (!i.add && accumulator.waiting) {
    add("H5", event.queue, event.cycle, place, "set again before its ACC");
  }
  if (i.add && !accumulator.set) {
    add("H5", event.queue, event.cycle, place, "added to before it is set");
  }
  accumulator = {true, true, end};
}

}  // namespace tandem::lpu
