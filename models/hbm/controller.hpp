// Burst-accurate model of one pseudo-channel: an FR-FCFS controller over the device of channel.hpp.
// The yardstick for the row trains of memory.hpp. Moves from command to command, so idle time costs
// nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "models/hbm/channel.hpp"

namespace tandem {

struct ControllerConfig {
  std::int64_t window = 64;  ///< requests the scheduler looks at
  bool refresh = true;       ///< all-bank refresh every tREFI
};

/// One burst: `timing.burst` bytes of a row.
struct BurstRequest {
  std::uint64_t id = 0;
  std::int64_t bank = 0;
  std::int64_t row = 0;
  bool is_write = false;
  std::int64_t arrival = 0;  ///< clock
};

struct BurstDone {
  std::uint64_t id = 0;
  std::int64_t first_data = 0;  ///< clock of the first beat
  std::int64_t last_data = 0;   ///< clock after the last beat
};

struct ControllerCounts {
  std::int64_t activates = 0;
  std::int64_t reads = 0;
  std::int64_t writes = 0;
  std::int64_t refreshes = 0;
};

/// First ready, first come, first served within a window; rows stay open until the window holds
/// nothing for them and another row is asked for. When a refresh is due, the requests already
/// waiting for open rows are served, then all banks are closed and refreshed together; that puts a
/// refresh off by at most one window of bursts (the standards allow several intervals).
class ChannelController {
 public:
  explicit ChannelController(const DramTiming& timing, const ControllerConfig& config = {});
  [[nodiscard]] bool full() const { return waiting_ == config_.window; }
  [[nodiscard]] bool empty() const { return waiting_ == 0; }
  /// Requests come in the order of arrival. Throws ModelError when full().
  void push(const BurstRequest& request);
  /// Runs until the next column command is issued and tells which burst that was; none when empty.
  std::optional<BurstDone> step();
  [[nodiscard]] const ControllerCounts& counts() const { return counts_; }
  [[nodiscard]] const DramTiming& timing() const { return channel_.timing(); }

 private:
  struct Waiting {
    BurstRequest request;
    std::int64_t order = 0;  // of arrival
  };
  struct Bank {
    std::vector<Waiting> queue;  // oldest first
    std::size_t hit = 0;         // oldest request for the open row; queue.size(): none
  };
  struct Choice {
    std::int64_t clock = never;
    std::int64_t order = never;
    std::int64_t bank = -1;
    [[nodiscard]] bool beats(const Choice& other, std::int64_t now) const;
  };
  static constexpr std::int64_t never = INT64_MAX;

  void find_hit(std::int64_t bank);
  [[nodiscard]] bool may_serve(const Waiting& hit) const;
  void choose(Choice& column, Choice& row) const;
  BurstDone issue_column(const Choice& choice);
  void issue_row(const Choice& choice);
  void do_refresh();

  DramChannel channel_;
  ControllerConfig config_;
  std::vector<Bank> banks_;
  std::vector<std::int64_t> busy_;  // banks with requests, in no order
  std::vector<std::size_t> place_;  // of each bank in busy_
  std::int64_t waiting_ = 0;
  std::int64_t next_order_ = 0;
  std::int64_t column_bus_ = 0;  // first free clocks of the command buses
  std::int64_t row_bus_ = 0;
  std::int64_t next_refresh_ = 0;
  std::int64_t drain_before_ = never;  // while a refresh is due: only older requests are served
  ControllerCounts counts_;
};

/// A read stream over one pseudo-channel: `bytes` in trains of `run` contiguous bytes per row, the
/// trains rotating over banks with neighbouring bursts in different bank groups.
struct ReadStream {
  Bytes bytes;
  Bytes run{1024};
  std::int64_t window = 64;
};

/// Which train burst `index` of a stream belongs to: as many trains of `run` bytes side by side as
/// hide tCCD_L, consecutive trains in consecutive banks and so in different bank groups.
[[nodiscard]] std::int64_t train_of(const DramTiming& timing, Bytes run, std::int64_t index);

/// Time from the first command to the last data beat of a stream.
[[nodiscard]] Picoseconds simulate_channel(const DramTiming& timing, const ReadStream& stream,
                                           bool refresh);

}  // namespace tandem
