// The SRAM of all MEM slices: contents by pages that exist once written, and which rows were
// written too recently to be read.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "models/lpu/geometry.hpp"

namespace tandem::lpu {

/// Contents and write history of every bank. Rows never written read as zeros.
class SramBanks {
 public:
  explicit SramBanks(const Geometry& geometry);

  /// The bytes of a row; null where nothing in its page was ever written.
  [[nodiscard]] const std::uint8_t* row(int slice, int bank, int row) const;
  [[nodiscard]] std::uint8_t* row_to_write(int slice, int bank, int row);
  [[nodiscard]] std::size_t row_bytes() const { return row_bytes_; }

  /// Notes that `row` may be read from `readable` on.
  void note_write(int slice, int bank, int row, std::int64_t readable);
  /// Whether every row of the bank is readable from `cycle` on.
  [[nodiscard]] bool settled(int slice, int bank, std::int64_t cycle) const {
    return cycle >= state_[index(slice, bank)].latest_readable;
  }
  /// False where a write to `row` is not readable at `cycle` yet.
  [[nodiscard]] bool may_read(int slice, int bank, int row, std::int64_t cycle) const;
  /// Takes the bank for one cycle; false where it is taken already. Cycles may come out of order by
  /// one (Gather and Scatter take the next cycle).
  [[nodiscard]] bool occupy(int slice, int bank, std::int64_t cycle);
  /// Forgets cycles, not contents: for a new run.
  void start_run();

 private:
  static constexpr int page_rows = 64;
  static constexpr int remembered_writes = 128;
  struct RecentWrite {
    std::int64_t readable = INT64_MIN;
    int row = -1;
  };
  struct Bank {
    std::int64_t latest_readable = INT64_MIN;
    std::array<std::int64_t, 2> taken{INT64_MIN, INT64_MIN};
    std::vector<std::unique_ptr<std::uint8_t[]>> pages;
    std::uint32_t next_recent = 0;
    std::array<RecentWrite, remembered_writes> recent{};
  };
  [[nodiscard]] std::size_t index(int slice, int bank) const {
    return static_cast<std::size_t>(slice * banks_ + bank);
  }

  int banks_;
  std::size_t pages_per_bank_;
  std::size_t row_bytes_;
  std::vector<Bank> state_;
};

}  // namespace tandem::lpu
