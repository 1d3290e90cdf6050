#include "models/lpu/compiler/operator_use.hpp"

#include <algorithm>
#include <limits>

namespace tandem::lpu {
namespace {

std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

// Counts one operator's cycles on every unit.
class UseCounter {
 public:
  explicit UseCounter(const Geometry& geometry)
      : geometry_(geometry),
        ports_(index_of(geometry.mem_slices() * geometry.banks)),
        queues_(index_of(geometry.queue_count())) {}

  void count(const MemEvent& event) {
    ++ports_[index_of(event.slice * geometry_.banks + event.access.bank)];
    if (event.access.kind != MemAccess::Kind::Read) return;
    const bool is_weight = event.access.stream.id >= geometry_.streams_per_direction;
    if (!is_weight) add_streams(geometry_.mem_hemisphere(event.slice), event.access.stream, 1);
  }

  void count(const QueueEvent& event) {
    queues_[index_of(event.queue)] += queue_cycles(event.instruction);
    const Instruction& word = event.instruction;
    switch (word.op) {
      case Opcode::Alu:
        if (!word.has_out) return;
        add_streams(Hemisphere::West, word.out, streams_of(word.type));
        add_streams(Hemisphere::East, word.out, streams_of(word.type));
        return;
      case Opcode::Emit:
        add_streams(geometry_.plane_hemisphere(word.plane), word.out, 4);
        return;
      case Opcode::Send:
        queues_[index_of(event.queue)] +=
            geometry_.link_class(word.link).cycles_per_vector - queue_cycles(word);
        return;
      default:
        return;
    }
  }

  [[nodiscard]] std::array<std::int64_t, resource_count> busy() const {
    std::array<std::int64_t, resource_count> result{};
    const auto set = [&](Resource resource, std::int64_t cycles) {
      auto& slot = result[static_cast<std::size_t>(resource)];
      slot = std::max(slot, cycles);
    };
    for (const std::int64_t cycles : ports_) set(Resource::SramPorts, cycles);
    for (const std::int64_t vectors : streams_) {
      set(Resource::Streams, vectors / geometry_.streams_per_direction);
    }
    for (int plane = 0; plane < geometry_.planes; ++plane) {
      set(Resource::Streams, queues_[index_of(geometry_.mxm_weights_queue(plane))]);
      set(Resource::Mxm, queues_[index_of(geometry_.mxm_compute_queue(plane))]);
    }
    for (int alu = 0; alu < geometry_.vxm_alus; ++alu) {
      set(Resource::Vxm, queues_[index_of(geometry_.vxm_queue(alu))]);
    }
    for (int unit = 0; unit < geometry_.sxm_queues_per_hemisphere; ++unit) {
      for (const Hemisphere side : {Hemisphere::West, Hemisphere::East}) {
        set(Resource::Sxm, queues_[index_of(geometry_.sxm_queue(side, unit))]);
      }
    }
    for (int link = 0; link < geometry_.link_count(); ++link) {
      set(Resource::Links, queues_[index_of(geometry_.c2c_queue(link))]);
    }
    return result;
  }

 private:
  void add_streams(Hemisphere half, const StreamRef& stream, int vectors) {
    const std::size_t side = half == Hemisphere::East ? 1 : 0;
    const std::size_t lane = stream.direction == Direction::East ? 1 : 0;
    streams_[2 * side + lane] += vectors;
  }

  const Geometry& geometry_;
  std::vector<std::int64_t> ports_, queues_;
  std::array<std::int64_t, 4> streams_{};
};

}  // namespace

const char* name_of(Resource resource) {
  switch (resource) {
    case Resource::SramPorts:
      return "SRAM ports";
    case Resource::Streams:
      return "streams";
    case Resource::Mxm:
      return "MXM";
    case Resource::Vxm:
      return "VXM";
    case Resource::Sxm:
      return "SXM";
    case Resource::Links:
      return "links";
  }
  return "";
}

std::array<std::int64_t, resource_count> busy_cycles(const Scheduler& scheduler) {
  UseCounter counter(scheduler.geometry());
  for (const MemEvent& event : scheduler.mem_events()) counter.count(event);
  for (const QueueEvent& event : scheduler.queue_events()) counter.count(event);
  return counter.busy();
}

// Of equals the later: a port that feeds a plane is as busy as the weight stream behind it.
Resource OperatorUse::busiest() const {
  Resource best = Resource::SramPorts;
  for (std::size_t i = 0; i < resource_count; ++i) {
    if (busy[i] >= busy[static_cast<std::size_t>(best)]) best = static_cast<Resource>(i);
  }
  return best;
}

std::vector<OperatorUse> operator_uses(const Scheduler& scheduler) {
  std::vector<OperatorUse> uses;
  std::int64_t end = scheduler.first_cycle();
  const auto& marks = scheduler.operators();
  for (std::size_t i = 0; i < marks.size(); ++i) {
    const bool is_last = i + 1 == marks.size();
    const std::size_t mem_end = is_last ? scheduler.mem_events().size() : marks[i + 1].mem_events;
    const std::size_t queue_end =
        is_last ? scheduler.queue_events().size() : marks[i + 1].queue_events;
    OperatorUse use;
    use.name = marks[i].name;
    use.first = std::numeric_limits<std::int64_t>::max();
    UseCounter counter(scheduler.geometry());
    const auto take = [&](const auto& event) {
      counter.count(event);
      use.first = std::min(use.first, event.cycle);
      use.last = std::max(use.last, event.cycle);
    };
    for (std::size_t e = marks[i].mem_events; e < mem_end; ++e) take(scheduler.mem_events()[e]);
    for (std::size_t e = marks[i].queue_events; e < queue_end; ++e) {
      take(scheduler.queue_events()[e]);
    }
    use.first = std::min(use.first, use.last);
    use.adds = std::max<std::int64_t>(0, use.last - end);
    end = std::max(end, use.last);
    use.busy = counter.busy();
    uses.push_back(std::move(use));
  }
  return uses;
}

}  // namespace tandem::lpu
