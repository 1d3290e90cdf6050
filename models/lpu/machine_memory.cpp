#include "models/lpu/machine_memory.hpp"

namespace tandem::lpu {

SramBanks::SramBanks(const Geometry& geometry)
    : banks_(geometry.banks),
      pages_per_bank_(
          static_cast<std::size_t>((geometry.rows_per_bank + page_rows - 1) / page_rows)),
      row_bytes_(static_cast<std::size_t>(geometry.vector_bytes())),
      state_(static_cast<std::size_t>(geometry.mem_slices() * geometry.banks)) {}

const std::uint8_t* SramBanks::row(int slice, int bank, int row) const {
  const Bank& state = state_[index(slice, bank)];
  if (state.pages.empty()) return nullptr;
  const auto& page = state.pages[static_cast<std::size_t>(row / page_rows)];
  if (page == nullptr) return nullptr;
  return page.get() + static_cast<std::size_t>(row % page_rows) * row_bytes_;
}

std::uint8_t* SramBanks::row_to_write(int slice, int bank, int row) {
  Bank& state = state_[index(slice, bank)];
  if (state.pages.empty()) state.pages.resize(pages_per_bank_);
  auto& page = state.pages[static_cast<std::size_t>(row / page_rows)];
  if (page == nullptr) page = std::make_unique<std::uint8_t[]>(page_rows * row_bytes_);
  return page.get() + static_cast<std::size_t>(row % page_rows) * row_bytes_;
}

void SramBanks::note_write(int slice, int bank, int row, std::int64_t readable) {
  Bank& state = state_[index(slice, bank)];
  state.recent[state.next_recent++ % remembered_writes] = {readable, row};
  if (readable > state.latest_readable) state.latest_readable = readable;
}

bool SramBanks::may_read(int slice, int bank, int row, std::int64_t cycle) const {
  const Bank& state = state_[index(slice, bank)];
  if (cycle >= state.latest_readable) return true;
  for (const RecentWrite& write : state.recent) {
    if (write.row == row && cycle < write.readable) return false;
  }
  return true;
}

bool SramBanks::occupy(int slice, int bank, std::int64_t cycle) {
  auto& taken = state_[index(slice, bank)].taken;
  if (taken[0] == cycle || taken[1] == cycle) return false;
  taken[taken[0] < taken[1] ? 0 : 1] = cycle;
  return true;
}

void SramBanks::start_run() {
  for (Bank& state : state_) {
    state.recent.fill({});
    state.latest_readable = INT64_MIN;
    state.taken = {INT64_MIN, INT64_MIN};
  }
}

}  // namespace tandem::lpu
