#include "models/hbm/controller.hpp"

#include <algorithm>

#include "sim/core/diagnostics.hpp"

namespace tandem {

ChannelController::ChannelController(const DramTiming& timing, const ControllerConfig& config)
    : channel_(timing),
      config_(config),
      banks_(static_cast<std::size_t>(timing.banks)),
      place_(static_cast<std::size_t>(timing.banks)),
      next_refresh_(config.refresh ? timing.refresh_interval : never) {
  if (config.window < 1) throw ModelError("memory: a controller needs a window of one request");
}

void ChannelController::push(const BurstRequest& request) {
  if (full()) throw ModelError("memory: the window of the controller is full");
  const auto index = static_cast<std::size_t>(request.bank);
  Bank& bank = banks_[index];
  if (bank.queue.empty()) {
    place_[index] = busy_.size();
    busy_.push_back(request.bank);
  }
  const bool had_hit = bank.hit < bank.queue.size();
  bank.queue.push_back({request, next_order_++});
  ++waiting_;
  if (!had_hit) find_hit(request.bank);
}

void ChannelController::find_hit(std::int64_t index) {
  Bank& bank = banks_[static_cast<std::size_t>(index)];
  const std::int64_t row = channel_.open_row(index);
  bank.hit = 0;
  while (bank.hit < bank.queue.size() && bank.queue[bank.hit].request.row != row) ++bank.hit;
}

/// At one clock the older request goes first; otherwise the one that can go earlier.
bool ChannelController::Choice::beats(const Choice& other, std::int64_t now) const {
  const std::int64_t mine = std::max(clock, now);
  const std::int64_t its = std::max(other.clock, now);
  return mine != its ? mine < its : order < other.order;
}

bool ChannelController::may_serve(const Waiting& hit) const {
  return hit.order < drain_before_ &&
         (drain_before_ == never || hit.request.arrival <= next_refresh_);
}

void ChannelController::choose(Choice& column, Choice& row) const {
  for (const std::int64_t index : busy_) {
    const Bank& bank = banks_[static_cast<std::size_t>(index)];
    if (bank.hit < bank.queue.size()) {
      const Waiting& hit = bank.queue[bank.hit];
      if (!may_serve(hit)) continue;
      const std::int64_t ready = channel_.ready_column(index, hit.request.is_write);
      const Choice choice{std::max(ready, hit.request.arrival), hit.order, index};
      if (choice.beats(column, column_bus_)) column = choice;
      continue;
    }
    if (drain_before_ != never) continue;
    const Waiting& oldest = bank.queue.front();
    const bool is_open = channel_.open_row(index) >= 0;
    const std::int64_t ready =
        is_open ? channel_.ready_precharge(index) : channel_.ready_activate(index);
    const Choice choice{std::max(ready, oldest.request.arrival), oldest.order, index};
    if (choice.beats(row, row_bus_)) row = choice;
  }
}

std::optional<BurstDone> ChannelController::step() {
  while (waiting_ > 0) {
    Choice column;
    Choice row;
    choose(column, row);
    const std::int64_t column_at = column.bank < 0 ? never : std::max(column.clock, column_bus_);
    const std::int64_t row_at = row.bank < 0 ? never : std::max(row.clock, row_bus_);
    if (drain_before_ != never && column.bank < 0) {
      do_refresh();
    } else if (drain_before_ == never && std::min(column_at, row_at) >= next_refresh_) {
      drain_before_ = next_order_;
    } else if (column_at <= row_at) {
      column.clock = column_at;
      return issue_column(column);
    } else {
      row.clock = row_at;
      issue_row(row);
    }
  }
  return std::nullopt;
}

BurstDone ChannelController::issue_column(const Choice& choice) {
  const auto index = static_cast<std::size_t>(choice.bank);
  Bank& bank = banks_[index];
  const BurstRequest request = bank.queue[bank.hit].request;
  channel_.issue(request.is_write ? DramCommand::Write : DramCommand::Read, choice.bank,
                 request.row, choice.clock);
  column_bus_ = choice.clock + 1;
  ++(request.is_write ? counts_.writes : counts_.reads);
  bank.queue.erase(bank.queue.begin() + static_cast<std::ptrdiff_t>(bank.hit));
  --waiting_;
  if (bank.queue.empty()) {
    busy_[place_[index]] = busy_.back();
    place_[static_cast<std::size_t>(busy_.back())] = place_[index];
    busy_.pop_back();
    bank.hit = 0;
  } else {
    find_hit(choice.bank);
  }
  const DramTiming& timing = channel_.timing();
  const std::int64_t first =
      choice.clock + (request.is_write ? timing.write_latency : timing.read_latency);
  return {request.id, first, first + timing.burst_gap};
}

void ChannelController::issue_row(const Choice& choice) {
  row_bus_ = choice.clock + 1;
  if (channel_.open_row(choice.bank) >= 0) {
    channel_.issue(DramCommand::Precharge, choice.bank, -1, choice.clock);
    return;
  }
  const std::int64_t row = banks_[static_cast<std::size_t>(choice.bank)].queue.front().request.row;
  channel_.issue(DramCommand::Activate, choice.bank, row, choice.clock);
  ++counts_.activates;
  find_hit(choice.bank);
}

/// One precharge command closes all banks together.
void ChannelController::do_refresh() {
  const DramTiming& timing = channel_.timing();
  std::int64_t close = std::max(next_refresh_, row_bus_);
  for (std::int64_t bank = 0; bank < timing.banks; ++bank) {
    if (channel_.open_row(bank) >= 0) close = std::max(close, channel_.ready_precharge(bank));
  }
  for (std::int64_t bank = 0; bank < timing.banks; ++bank) {
    if (channel_.open_row(bank) < 0) continue;
    channel_.issue(DramCommand::Precharge, bank, -1, close);
    banks_[static_cast<std::size_t>(bank)].hit =
        banks_[static_cast<std::size_t>(bank)].queue.size();
  }
  const std::int64_t start = channel_.earliest(DramCommand::RefreshAll, 0);
  channel_.issue(DramCommand::RefreshAll, 0, -1, std::max(start, close));
  row_bus_ = std::max(row_bus_, std::max(start, close) + 1);
  ++counts_.refreshes;
  next_refresh_ += timing.refresh_interval;
  drain_before_ = never;
}

std::int64_t train_of(const DramTiming& timing, Bytes run, std::int64_t index) {
  const std::int64_t ways = std::min(
      timing.bank_groups, (timing.burst_gap_long + timing.burst_gap - 1) / timing.burst_gap);
  const std::int64_t per_train =
      std::max<std::int64_t>(1, std::min(run, timing.page).count() / timing.burst.count());
  return index / (ways * per_train) * ways + index % ways;
}

namespace {

BurstRequest burst_at(const DramTiming& timing, const ReadStream& stream, std::int64_t index) {
  const std::int64_t train = train_of(timing, stream.run, index);
  BurstRequest request;
  request.id = static_cast<std::uint64_t>(index);
  request.bank = train % timing.banks;
  request.row = train / timing.banks;
  return request;
}

}  // namespace

Picoseconds simulate_channel(const DramTiming& timing, const ReadStream& stream, bool refresh) {
  ChannelController controller(timing, {stream.window, refresh});
  const std::int64_t total =
      (stream.bytes.count() + timing.burst.count() - 1) / timing.burst.count();
  std::int64_t last = 0;
  std::int64_t sent = 0;
  while (true) {
    while (sent < total && !controller.full()) controller.push(burst_at(timing, stream, sent++));
    const auto done = controller.step();
    if (!done) return timing.time_of(last);
    last = std::max(last, done->last_data);
  }
}

}  // namespace tandem
