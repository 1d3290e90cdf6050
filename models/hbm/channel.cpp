#include "models/hbm/channel.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

void raise(std::int64_t& limit, std::int64_t to) {
  limit = std::max(limit, to);
}

}  // namespace

DramChannel::DramChannel(const DramTiming& timing)
    : timing_(timing),
      banks_(static_cast<std::size_t>(timing.banks)),
      groups_(static_cast<std::size_t>(timing.bank_groups)) {}

std::int64_t DramChannel::ready_activate(std::int64_t bank) const {
  return std::max({at(bank).activate, group_of(bank).activate, channel_.activate,
                   activations_[oldest_activation_]});
}

std::int64_t DramChannel::ready_column(std::int64_t bank, bool is_write) const {
  const Group& group = group_of(bank);
  return is_write ? std::max({at(bank).write, group.write, channel_.write})
                  : std::max({at(bank).read, group.read, channel_.read});
}

std::int64_t DramChannel::ready_refresh() const {
  std::int64_t ready = refresh_all_;
  for (const Bank& bank : banks_) raise(ready, bank.activate);
  return ready;
}

void DramChannel::require_state(DramCommand command, std::int64_t bank) const {
  const bool needs_open = command == DramCommand::Read || command == DramCommand::Write ||
                          command == DramCommand::Precharge;
  const auto is_open = [](const Bank& one) { return one.row >= 0; };
  const bool wrong = command == DramCommand::RefreshAll
                         ? std::any_of(banks_.begin(), banks_.end(), is_open)
                         : is_open(at(bank)) != needs_open;
  if (wrong) {
    throw ModelError(fmt::format("memory: bank {} is {}", bank, needs_open ? "closed" : "open"));
  }
}

std::int64_t DramChannel::earliest(DramCommand command, std::int64_t bank) const {
  require_state(command, bank);
  switch (command) {
    case DramCommand::Activate:
      return ready_activate(bank);
    case DramCommand::Precharge:
      return ready_precharge(bank);
    case DramCommand::Read:
    case DramCommand::Write:
      return ready_column(bank, command == DramCommand::Write);
    case DramCommand::RefreshBank:
      return std::max(at(bank).activate, channel_.activate);
    case DramCommand::RefreshAll:
      break;
  }
  return ready_refresh();
}

void DramChannel::issue(DramCommand command, std::int64_t bank, std::int64_t row,
                        std::int64_t clock) {
  if (clock < earliest(command, bank)) {
    throw ModelError(fmt::format("memory: command to bank {} at clock {} before it is legal at {}",
                                 bank, clock, earliest(command, bank)));
  }
  Bank& target = banks_[static_cast<std::size_t>(bank)];
  switch (command) {
    case DramCommand::Activate:
      note_activate(bank, row, clock);
      break;
    case DramCommand::Precharge:
      target.row = -1;
      raise(target.activate, clock + timing_.precharge);
      break;
    case DramCommand::Read:
      note_read(bank, clock);
      break;
    case DramCommand::Write:
      note_write(bank, clock);
      break;
    case DramCommand::RefreshBank:
      note_refresh_bank(bank, clock);
      break;
    case DramCommand::RefreshAll:
      refresh_all_ = clock + timing_.refresh;
      raise(channel_.activate, refresh_all_);
      break;
  }
}

void DramChannel::note_activate(std::int64_t bank, std::int64_t row, std::int64_t clock) {
  Bank& target = banks_[static_cast<std::size_t>(bank)];
  target.row = row;
  raise(target.activate, clock + timing_.act_to_act);
  raise(target.precharge, clock + timing_.act_to_pre);
  raise(target.read, clock + timing_.act_to_read);
  raise(target.write, clock + timing_.act_to_write);
  raise(groups_[static_cast<std::size_t>(bank % timing_.bank_groups)].activate,
        clock + timing_.act_gap_long);
  raise(channel_.activate, clock + timing_.act_gap);
  activations_[oldest_activation_] = clock + timing_.four_act_window;
  oldest_activation_ = (oldest_activation_ + 1) % activations_.size();
}

void DramChannel::note_read(std::int64_t bank, std::int64_t clock) {
  Group& group = groups_[static_cast<std::size_t>(bank % timing_.bank_groups)];
  raise(banks_[static_cast<std::size_t>(bank)].precharge, clock + timing_.read_to_pre);
  raise(group.read, clock + timing_.burst_gap_long);
  raise(channel_.read, clock + timing_.burst_gap);
  raise(channel_.write, clock + timing_.read_to_write);
}

void DramChannel::note_write(std::int64_t bank, std::int64_t clock) {
  Group& group = groups_[static_cast<std::size_t>(bank % timing_.bank_groups)];
  raise(banks_[static_cast<std::size_t>(bank)].precharge, clock + timing_.write_to_pre);
  raise(group.write, clock + timing_.burst_gap_long);
  raise(group.read, clock + timing_.write_to_read);
  raise(channel_.write, clock + timing_.burst_gap);
  raise(channel_.read, clock + timing_.write_to_read_other);
}

void DramChannel::note_refresh_bank(std::int64_t bank, std::int64_t clock) {
  raise(banks_[static_cast<std::size_t>(bank)].activate, clock + timing_.refresh_bank);
  raise(channel_.activate, clock + timing_.refresh_bank_gap);
}

}  // namespace tandem
