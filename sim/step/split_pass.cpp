#include "sim/step/split_pass.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "sim/core/integers.hpp"
#include "sim/step/functional_pool.hpp"

namespace tandem {
namespace {

/// All ranks' rows one after the other.
Tensor rows_together(const std::vector<Tensor>& ranks, std::int64_t width, ElementType type) {
  std::int64_t rows = 0;
  for (const Tensor& own : ranks) rows += own.elements() / width;
  Tensor whole(type, {rows, width});
  auto to = whole.bytes().begin();
  for (const Tensor& own : ranks) to = std::copy(own.bytes().begin(), own.bytes().end(), to);
  return whole;
}

/// The bytes of a block of a matrix, row by row.
template <class Visit>
void for_rows_of_block(const Tensor& matrix, std::int64_t row, std::int64_t rows,
                       const ShareRange& columns, const Visit& visit) {
  const std::int64_t element = bytes_of(matrix.type());
  for (std::int64_t i = row; i < row + rows; ++i) {
    visit((i * matrix.dim(1) + columns.begin) * element, columns.size() * element);
  }
}

}  // namespace

SplitPass::SplitPass(LoadedGang& mixers, LoadedFeedForward& blocks, NetworkModel& network,
                     TimelineRecorder* timeline)
    : mixers_(mixers), blocks_(blocks), network_(network), timeline_(timeline) {}

SplitTrace SplitPass::run(std::vector<MicroBatch>& parts, Picoseconds start) {
  start_ = mixers_free_ = start;
  for (MicroBatch& part : parts) begin(part);
  plan_turns(parts);
  advance(parts);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    mixers_.finish_gang(*travellers_[i].pass, parts[i].batch, parts[i].out);
    trace_.floor = std::max(trace_.floor, floor_of(parts[i], travellers_[i]));
  }
  return std::move(trace_);
}

void SplitPass::begin(MicroBatch& part) {
  Traveller traveller;
  const GangCost price = mixers_.price(part.batch);
  traveller.legs = price.legs;
  for (const auto& [name, count] : price.activity) trace_.activity.counts[name] += count;
  traveller.pass = mixers_.begin_gang(part.batch, part.in);
  events_.insert({start_, travellers_.size(), Step::Compute});
  travellers_.push_back(std::move(traveller));
}

/// Programs loop for as long as the largest micro-batch needs.
void SplitPass::plan_turns(const std::vector<MicroBatch>& parts) {
  std::int64_t rows = 0;
  for (const MicroBatch& part : parts) rows = std::max(rows, part.batch.tokens());
  std::vector<FeedForwardVisit> visits;
  for (std::int64_t layer = 0; layer < blocks_.layers(); ++layer) {
    visits.push_back({blocks_.gang_of(layer), {}, blocks_.passes(layer, rows), {}});
  }
  turns_ = turns_of(visits);
}

/// Events and deliveries in the order of their times, so that sends are too.
void SplitPass::advance(std::vector<MicroBatch>& parts) {
  while (!events_.empty() || !pieces_.empty()) {
    const auto delivery = network_.next_delivery();
    if (delivery && (events_.empty() || *delivery <= events_.begin()->time)) {
      deliver();
      continue;
    }
    if (events_.empty()) throw std::logic_error("split pass: a message was never delivered");
    const Event event = *events_.begin();
    events_.erase(events_.begin());
    switch (event.step) {
      case Step::Compute:
        compute(event.part, event.time);
        break;
      case Step::Leave:
        leave(event.part, event.time);
        break;
      case Step::Return:
        send(event.part, false, event.time);
        break;
    }
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (travellers_[i].layer != index_of(blocks_.layers())) {
      throw std::logic_error("split pass: a micro-batch has not visited all layers");
    }
  }
}

void SplitPass::compute(std::size_t part, Picoseconds now) {
  Traveller& traveller = travellers_[part];
  const Picoseconds begin = std::max(now, mixers_free_);
  const Picoseconds leg = traveller.legs.at(traveller.layer);
  mixers_free_ = begin + leg;
  trace_.mixing += leg;
  events_.insert({mixers_free_, part, Step::Leave});
  record(chip_name(mixers_.chips().front()), "token mixers", fmt::format("micro-batch {}", part),
         begin, mixers_free_);
}

void SplitPass::leave(std::size_t part, Picoseconds now) {
  Traveller& traveller = travellers_[part];
  trace_.end = std::max(trace_.end, now);
  const auto rows = traveller.pass->advance();
  if (!rows) return;
  const std::int64_t width = mixers_.stage().network.hidden;
  traveller.rows.clear();
  for (const Tensor& own : *rows) traveller.rows.push_back(own.elements() / width);
  traveller.carried = rows_together(*rows, width, mixers_.stage().precision.activations);
  send(part, true, now);
}

void SplitPass::send(std::size_t part, bool is_there, Picoseconds now) {
  Traveller& traveller = travellers_[part];
  traveller.left = now;
  std::int64_t row = 0;
  for (std::size_t rank = 0; rank < traveller.rows.size(); ++rank) {
    if (traveller.rows[rank] > 0) send_rank(part, is_there, rank, row, now);
    row += traveller.rows[rank];
  }
}

/// A rank's rows, cut in width over the bridge chips.
void SplitPass::send_rank(std::size_t part, bool is_there, std::size_t rank, std::int64_t row,
                          Picoseconds now) {
  Traveller& traveller = travellers_[part];
  const ChipAddress& mixer = mixers_.chips()[rank];
  const auto bridge = blocks_.bridge_chips(static_cast<std::int64_t>(traveller.layer));
  const auto count = static_cast<std::int64_t>(bridge.size());
  for (std::int64_t i = 0; i < count; ++i) {
    const ShareRange columns = share_of(traveller.carried.dim(1), count, i);
    if (columns.size() == 0) continue;
    std::vector<std::byte> values;
    for_rows_of_block(traveller.carried, row, traveller.rows[rank], columns,
                      [&](std::int64_t at, std::int64_t length) {
                        const auto first = traveller.carried.bytes().begin() + at;
                        values.insert(values.end(), first, first + length);
                      });
    const ChipAddress& from = is_there ? mixer : bridge[index_of(i)];
    const ChipAddress& to = is_there ? bridge[index_of(i)] : mixer;
    const Bytes size(static_cast<std::int64_t>(values.size()));
    const auto id = network_.send(
        now, from, to, size, std::make_shared<const std::vector<std::byte>>(std::move(values)));
    pieces_[id] = {part,    is_there,
                   row,     traveller.rows[rank],
                   columns, {chip_name(from), chip_name(to), "hidden", size, now, now}};
    ++traveller.under_way;
  }
}

void SplitPass::deliver() {
  const NetworkModel::Delivery delivery = network_.pop_delivery();
  auto found = pieces_.extract(delivery.id);
  if (found.empty()) return;
  Piece& piece = found.mapped();
  Traveller& traveller = travellers_[piece.part];
  auto from = delivery.payload->begin();
  for_rows_of_block(traveller.carried, piece.row, piece.rows, piece.columns,
                    [&](std::int64_t at, std::int64_t length) {
                      std::copy(from, from + length, traveller.carried.bytes().begin() + at);
                      from += length;
                    });
  piece.record.end = delivery.time;
  trace_.transfers.push_back(std::move(piece.record));
  if (--traveller.under_way > 0) return;
  record("bridge", fmt::format("micro-batch {}", piece.part), piece.is_there ? "there" : "back",
         traveller.left, delivery.time);
  piece.is_there ? run_block(piece.part, delivery.time) : take_back(piece.part, delivery.time);
}

void SplitPass::run_block(std::size_t part, Picoseconds now) {
  Traveller& traveller = travellers_[part];
  const auto layer = static_cast<std::int64_t>(traveller.layer);
  LoadedFeedForward::Answer answer = blocks_.run(layer, traveller.carried);
  traveller.carried = answer.rows.converted(traveller.carried.type());
  const auto visit = turns_[traveller.layer].take(now - start_, answer.cost.segments);
  const Picoseconds slot = start_ + visit.start, done = start_ + visit.end;
  const std::string chip = chip_name(blocks_.bridge_chips(layer).front());
  trace_.cycles[chip] += answer.cost.cycles;
  trace_.activity += answer.cost.activity;
  events_.insert({done, part, Step::Return});
  record(chip, "feed-forward blocks", fmt::format("layer {}, micro-batch {}", layer, part), slot,
         done);
}

void SplitPass::take_back(std::size_t part, Picoseconds now) {
  Traveller& traveller = travellers_[part];
  const Tensor& carried = traveller.carried;
  const std::int64_t row_bytes = carried.dim(1) * bytes_of(carried.type());
  std::vector<Tensor> rows;
  auto from = carried.bytes().begin();
  for (const std::int64_t count : traveller.rows) {
    rows.emplace_back(carried.type(), std::vector<std::int64_t>{count, carried.dim(1)});
    std::copy(from, from + count * row_bytes, rows.back().bytes().begin());
    from += count * row_bytes;
  }
  traveller.pass->come_back(std::move(rows));
  ++traveller.layer;
  events_.insert({now, part, Step::Compute});
}

/// A micro-batch's own way: its mixers, its blocks and hand-overs on an idle network.
Picoseconds SplitPass::floor_of(const MicroBatch& part, const Traveller& traveller) {
  Picoseconds total = mixers_.floor(part.batch);
  const std::int64_t element = bytes_of(mixers_.stage().precision.activations);
  for (std::int64_t layer = 0; layer < blocks_.layers(); ++layer) {
    const auto bridge = blocks_.bridge_chips(layer);
    const auto count = static_cast<std::int64_t>(bridge.size());
    const std::int64_t width = share_of(mixers_.stage().network.hidden, count, 0).size();
    Picoseconds there{0}, back{0};
    for (std::size_t rank = 0; rank < traveller.rows.size(); ++rank) {
      if (traveller.rows[rank] == 0) continue;
      const Bytes size(traveller.rows[rank] * width * element);
      const ChipAddress& mixer = mixers_.chips()[rank];
      there = std::max(there, network_.floor(mixer, bridge.front(), size));
      back = std::max(back, network_.floor(bridge.front(), mixer, size));
    }
    total += there + back + blocks_.floor(layer, part.batch.tokens());
  }
  return total;
}

void SplitPass::record(const std::string& group, const std::string& track, const std::string& label,
                       Picoseconds start, Picoseconds end) {
  if (timeline_ == nullptr) return;
  timeline_->span(timeline_->track(group, track), label, start, end);
}

}  // namespace tandem
