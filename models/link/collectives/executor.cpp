#include "models/link/collectives/executor.hpp"

#include <algorithm>
#include <limits>
#include <memory>

#include "sim/core/calendar_queue.hpp"
#include "sim/core/integers.hpp"

namespace tandem::link {
namespace {

/// Trains of one message: few, since a schedule's messages are many; one where they are very many.
constexpr std::int64_t collective_trains = 4;
constexpr std::size_t very_many_messages = 20'000;

NetworkOptions collective_network(const Schedule& schedule) {
  NetworkOptions options;
  options.trains_per_message =
      schedule.transfers.size() > very_many_messages ? 1 : collective_trains;
  options.counts_queues = false;
  return options;
}

class Executor {
 public:
  Executor(const Fabric& fabric, const Schedule& schedule, const Protocol& protocol, Bytes width)
      : fabric_(fabric),
        schedule_(schedule),
        protocol_(protocol),
        width_(width),
        network_(protocol.uses_switch_rate ? fabric.switch_topology : fabric.topology,
                 collective_network(schedule)),
        waits_for_(schedule.transfers.size(), 0),
        wakes_(schedule.transfers.size()),
        blocks_end_(schedule.transfers.size()),
        free_(fabric.places.size() + 1, protocol.start),
        busy_(fabric.places.size() + 1),
        moved_(fabric.places.size() + 1, 0) {}

  Execution run() {
    for (std::size_t i = 0; i < schedule_.transfers.size(); ++i) {
      const Transfer& transfer = schedule_.transfers[i];
      waits_for_[i] = transfer.after.size();
      for (const std::int32_t earlier : transfer.after) wakes_[index_of(earlier)].push_back(i);
      if (transfer.after.empty()) events_.push(protocol_.start, Phase::Issue, {Kind::Ready, i});
    }
    end_ = protocol_.start;
    while (step()) {
    }
    return result();
  }

 private:
  /// Ready: all that it needs has arrived; Send: the blocks begin with it; Done: it has arrived.
  enum class Kind : std::uint8_t { Ready, Send, Done };
  struct Event {
    Kind kind = Kind::Ready;
    std::size_t transfer = 0;
  };

  bool step() {
    const Picoseconds limit = events_.empty()
                                  ? Picoseconds(std::numeric_limits<std::int64_t>::max())
                                  : events_.next_time();
    if (const auto delivery = network_.advance(limit)) {
      arrive(message_of_[index_of(delivery->id)], delivery->time);
      return true;
    }
    if (events_.empty()) return false;
    const auto entry = events_.pop();
    const std::size_t i = entry.event.transfer;
    switch (entry.event.kind) {
      case Kind::Ready:
        begin(i, entry.time);
        break;
      case Kind::Send:
        send(i, entry.time);
        break;
      case Kind::Done:
        finish(i, entry.time);
        break;
    }
    return true;
  }

  [[nodiscard]] Bytes bytes_of_elements(std::int64_t elements) const { return width_ * elements; }

  /// The sender's blocks take it up: at once where each peer has its own, else in turn.
  void begin(std::size_t i, Picoseconds now) {
    const Transfer& transfer = schedule_.transfers[i];
    const bool has_own_blocks = protocol_.peer_rate.count() > 0 && transfer.from != transfer.to;
    const BytesPerSecond rate = has_own_blocks ? protocol_.peer_rate : protocol_.copy_rate;
    const Bytes handled = bytes_of_elements(transfer.handled);
    const Picoseconds copies = handled.count() > 0 ? handled / rate : Picoseconds(0);
    Picoseconds start = now;
    if (!has_own_blocks && transfer.handled > 0) {
      Picoseconds& free = free_[index_of(transfer.from)];
      start = std::max(now, free);
      free = start + copies;
    }
    busy_[index_of(transfer.from)] += copies;
    blocks_end_[i] = start + copies;
    if (transfer.from == transfer.to) {
      events_.push(blocks_end_[i], Phase::Complete, {Kind::Done, i});
    } else if (start > now) {
      events_.push(start, Phase::Issue, {Kind::Send, i});
    } else {
      send(i, now);
    }
  }

  void send(std::size_t i, Picoseconds now) {
    const Transfer& transfer = schedule_.transfers[i];
    const std::int64_t payload = bytes_of_elements(transfer.elements).count();
    const Bytes wire(ceil_div(payload * protocol_.wire_numerator, protocol_.wire_denominator));
    const MessageId id = network_.send(now, place(transfer.from), place(transfer.to), wire);
    message_of_.resize(index_of(id) + 1);
    message_of_[index_of(id)] = i;
    for (const LinkId link : network_.route(place(transfer.from), place(transfer.to)).links) {
      link_bytes_[network_.topology().link(link).link_class] += payload;
    }
    moved_[index_of(transfer.from)] += payload;
    moved_[index_of(transfer.to)] += payload;
  }

  /// The last byte is there; the flag behind it, and the last copy, may be later.
  void arrive(std::size_t i, Picoseconds time) {
    const Transfer& transfer = schedule_.transfers[i];
    const Picoseconds latency = way_latency(transfer);
    Picoseconds done = std::max(time, blocks_end_[i] + latency);
    if (transfer.is_awaited) {
      done += Picoseconds(latency.count() *
                          (protocol_.handover_numerator - protocol_.handover_denominator) /
                          protocol_.handover_denominator);
    }
    events_.push(done, Phase::Complete, {Kind::Done, i});
  }

  void finish(std::size_t i, Picoseconds time) {
    end_ = std::max(end_, time);
    for (const std::size_t later : wakes_[i]) {
      if (--waits_for_[later] == 0) events_.push(time, Phase::Issue, {Kind::Ready, later});
    }
  }

  [[nodiscard]] Picoseconds way_latency(const Transfer& transfer) const {
    Picoseconds total{0};
    for (const LinkId link : network_.route(place(transfer.from), place(transfer.to)).links) {
      total += network_.topology().link(link).latency;
    }
    return total;
  }

  [[nodiscard]] NodeId place(std::int32_t position) const {
    return fabric_.places.at(index_of(position));
  }

  [[nodiscard]] Execution result() const {
    const auto ranks = static_cast<std::ptrdiff_t>(schedule_.ranks);
    return {end_, *std::max_element(busy_.begin(), busy_.begin() + ranks), link_bytes_,
            Bytes(*std::max_element(moved_.begin(), moved_.begin() + ranks))};
  }

  const Fabric& fabric_;
  const Schedule& schedule_;
  const Protocol& protocol_;
  Bytes width_;
  Network network_;
  CalendarQueue<Event> events_;
  std::vector<std::size_t> waits_for_;
  std::vector<std::vector<std::size_t>> wakes_;
  std::vector<Picoseconds> blocks_end_;  // by transfer
  std::vector<Picoseconds> free_;        // of a rank's blocks
  std::vector<Picoseconds> busy_;
  std::vector<std::int64_t> moved_;      // bytes read and written by place
  std::vector<std::size_t> message_of_;  // transfer of a message
  std::map<std::string, std::int64_t> link_bytes_;
  Picoseconds end_;
};

}  // namespace

Execution execute(const Fabric& fabric, const Schedule& schedule, const Protocol& protocol,
                  Bytes width) {
  return Executor(fabric, schedule, protocol, width).run();
}

}  // namespace tandem::link
