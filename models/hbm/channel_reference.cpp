#include "models/hbm/channel_reference.hpp"

#include <algorithm>
#include <deque>
#include <vector>

namespace tandem {
namespace {

using Clock = std::int64_t;
constexpr Clock long_ago = -1'000'000;

struct Burst {
  std::int64_t bank = 0;
  std::int64_t row = 0;
};

struct Bank {
  std::int64_t row = -1;  ///< open row, -1: precharged
  Clock activated = long_ago;
  Clock last_read = long_ago;
  Clock precharged = long_ago;
};

class Channel {
 public:
  Channel(const HbmTiming& timing, const ReadStream& stream, bool refresh)
      : timing_(timing),
        stream_(stream),
        refresh_(refresh),
        banks_(static_cast<std::size_t>(timing.banks)),
        total_((stream.bytes.count() + timing.burst.count() - 1) / timing.burst.count()) {}

  Clock run() {
    std::int64_t served = 0;
    while (served < total_) {
      fill_window();
      if (refresh_ && now_ >= next_refresh_) {
        do_refresh();
        continue;
      }
      if (issue_read()) ++served;
      issue_row_command();
      ++now_;
    }
    return last_data_;
  }

 private:
  /// Bank groups alternate burst by burst: a block of `bank_groups` trains fills in turn.
  [[nodiscard]] Burst burst_at(std::int64_t index) const {
    const std::int64_t per_train =
        std::max<std::int64_t>(1, stream_.run.count() / timing_.burst.count());
    const std::int64_t group = index % timing_.bank_groups;
    const std::int64_t train = index / (timing_.bank_groups * per_train);
    const std::int64_t per_group = timing_.banks / timing_.bank_groups;
    return {group * per_group + train % per_group, train / per_group};
  }
  [[nodiscard]] std::int64_t group_of(std::int64_t bank) const {
    return bank / (timing_.banks / timing_.bank_groups);
  }

  void fill_window() {
    while (static_cast<std::int64_t>(window_.size()) < stream_.window && next_ < total_) {
      window_.push_back(burst_at(next_++));
    }
  }

  bool issue_read() {
    for (auto it = window_.begin(); it != window_.end(); ++it) {
      Bank& bank = banks_[static_cast<std::size_t>(it->bank)];
      if (bank.row != it->row || now_ < bank.activated + timing_.act_to_read) continue;
      const bool same_group = group_of(it->bank) == last_group_;
      const Clock gap = same_group ? timing_.burst_gap_long : timing_.burst_gap;
      if (now_ < last_read_ + gap) continue;
      bank.last_read = last_read_ = now_;
      last_group_ = group_of(it->bank);
      last_data_ = now_ + timing_.read_latency + timing_.burst_gap;
      window_.erase(it);
      return true;
    }
    return false;
  }

  [[nodiscard]] bool is_wanted(std::int64_t bank, std::int64_t row) const {
    return std::any_of(window_.begin(), window_.end(),
                       [&](const Burst& burst) { return burst.bank == bank && burst.row == row; });
  }

  void issue_row_command() {
    for (const Burst& burst : window_) {
      Bank& bank = banks_[static_cast<std::size_t>(burst.bank)];
      if (bank.row == burst.row) continue;
      if (bank.row >= 0) {
        if (is_wanted(burst.bank, bank.row)) continue;
        if (now_ < bank.activated + timing_.act_to_pre) continue;
        if (now_ < bank.last_read + timing_.read_to_pre) continue;
        bank.row = -1;
        bank.precharged = now_;
        return;
      }
      if (now_ < bank.precharged + timing_.precharge) continue;
      if (now_ < bank.activated + timing_.act_to_act || !may_activate()) continue;
      bank.row = burst.row;
      bank.activated = now_;
      activations_.push_back(now_);
      if (activations_.size() > 4) activations_.pop_front();
      return;
    }
  }

  [[nodiscard]] bool may_activate() const {
    if (activations_.empty()) return true;
    if (now_ < activations_.back() + timing_.act_gap) return false;
    return activations_.size() < 4 || now_ >= activations_.front() + timing_.four_act_window;
  }

  /// Precharges all banks as soon as they may be, refreshes, and leaves every bank closed.
  void do_refresh() {
    Clock close = now_;
    for (const Bank& bank : banks_) {
      if (bank.row < 0) continue;
      close = std::max(
          {close, bank.activated + timing_.act_to_pre, bank.last_read + timing_.read_to_pre});
    }
    now_ = close + timing_.precharge + timing_.refresh;
    for (Bank& bank : banks_) {
      bank.row = -1;
      bank.precharged = close;
    }
    next_refresh_ += timing_.refresh_interval;
  }

  const HbmTiming& timing_;
  const ReadStream& stream_;
  bool refresh_;
  std::vector<Bank> banks_;
  std::int64_t total_;
  std::int64_t next_ = 0;
  std::deque<Burst> window_;
  std::deque<Clock> activations_;
  Clock now_ = 0;
  Clock next_refresh_ = timing_.refresh_interval;
  Clock last_read_ = long_ago;
  Clock last_data_ = 0;
  std::int64_t last_group_ = -1;
};

}  // namespace

Picoseconds simulate_channel(const HbmTiming& timing, const ReadStream& stream, bool refresh) {
  return timing.time_of(Channel(timing, stream, refresh).run());
}

}  // namespace tandem
