// One pseudo-channel as its device sees it: which command is legal when. No policy; the controller
// in controller.hpp decides what to issue.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "models/hbm/timing.hpp"

namespace tandem {

enum class DramCommand : std::uint8_t { Activate, Precharge, Read, Write, RefreshAll, RefreshBank };

/// Banks, bank groups and the timing between commands: tRCD, tRP, tRAS, tRC, tRTP, tWR, tCCD_S/L,
/// tRRD_S/L, tFAW, tWTR_S/L, tRTW, tRFCab, tRFCpb, tRREFD. Bank b lies in group b mod bank_groups.
/// Row and column commands have buses of their own with room for one command per clock, which the
/// controller observes (HBM has them; on GDDR and LPDDR a burst leaves room for row commands).
///
/// Contract: commands come in the order of time.
class DramChannel {
 public:
  explicit DramChannel(const DramTiming& timing);

  /// The first clock at which `command` may go to `bank` (ignored by RefreshAll). Throws ModelError
  /// when the state of the bank forbids it at any time: reading a closed bank, activating or
  /// refreshing an open one.
  [[nodiscard]] std::int64_t earliest(DramCommand command, std::int64_t bank) const;
  /// Issues it at clock `at`. Throws ModelError when that is before earliest().
  void issue(DramCommand command, std::int64_t bank, std::int64_t row, std::int64_t at);
  /// Open row, or -1.
  [[nodiscard]] std::int64_t open_row(std::int64_t bank) const { return at(bank).row; }
  [[nodiscard]] const DramTiming& timing() const { return timing_; }

  // Without checks of state, for the inner loop of the controller.
  [[nodiscard]] std::int64_t ready_activate(std::int64_t bank) const;
  [[nodiscard]] std::int64_t ready_precharge(std::int64_t bank) const { return at(bank).precharge; }
  [[nodiscard]] std::int64_t ready_column(std::int64_t bank, bool is_write) const;

 private:
  struct Bank {
    std::int64_t row = -1;
    std::int64_t activate = 0;  // first clocks at which each command is legal
    std::int64_t precharge = 0;
    std::int64_t read = 0;
    std::int64_t write = 0;
  };
  struct Group {
    std::int64_t activate = 0;
    std::int64_t read = 0;
    std::int64_t write = 0;
  };
  [[nodiscard]] const Bank& at(std::int64_t bank) const {
    return banks_[static_cast<std::size_t>(bank)];
  }
  [[nodiscard]] const Group& group_of(std::int64_t bank) const {
    return groups_[static_cast<std::size_t>(bank % timing_.bank_groups)];
  }
  void require_state(DramCommand command, std::int64_t bank) const;
  [[nodiscard]] std::int64_t ready_refresh() const;
  void note_activate(std::int64_t bank, std::int64_t row, std::int64_t at);
  void note_read(std::int64_t bank, std::int64_t at);
  void note_write(std::int64_t bank, std::int64_t at);
  void note_refresh_bank(std::int64_t bank, std::int64_t at);

  DramTiming timing_;
  std::vector<Bank> banks_;
  std::vector<Group> groups_;
  Group channel_;                              // limits that hold for every bank
  std::array<std::int64_t, 4> activations_{};  // first clock after the window of each of the last 4
  std::size_t oldest_activation_ = 0;
  std::int64_t refresh_all_ = 0;
};

}  // namespace tandem
