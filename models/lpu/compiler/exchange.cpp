// The hidden state of a gang: every chip holds all of it and makes a part of what is added to it.
// Contributions go to SRAM as their products end; when the last product is placed, the pieces of
// the all-reduce fill the cycles that its weights left.
//
// Between the stages of a pipeline every chip passes on the vectors that it adds up itself: the
// last hop of the last all-reduce is made by the next gang. Chips of one index in all trays of a
// gang pass on, and get, the same.
#include <algorithm>
#include <cstdlib>

#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

// The first stripe's row of a chip's own vector; stripe s is s * chips rows further.
Rows own_row(const Rows& first, int stripe, int chips, int own) {
  Rows rows = first;
  for (Place& place : rows) {
    place.row += stripe * chips;
    place.reg = own;
  }
  return rows;
}

}  // namespace

void StageCompiler::join(const TensorGang& tensor, RankRows& rows) {
  collective_.emplace(scheduler_, *tensor.topology, *tensor.gang, rows);
  const int stripes = (exchanged() + layout_.tray_chips - 1) / layout_.tray_chips;
  stripe_ready_.assign(index_of(stripes), 0);
  std::vector<int> ranks(index_of(layout_.ranks));
  for (int rank = 0; rank < layout_.ranks; ++rank)
    ranks[index_of(rank)] = rank % layout_.tray_chips;
  own_register_ = rows.reg(ranks);
}

const Rows& StageCompiler::row_of(std::vector<Rows> TokenBuffers::*rows, int vector) const {
  const int vectors = layout_.shape.hidden_vectors;
  return (layout_.token(vector / vectors).*rows)[index_of(vector % vectors)];
}

// `part`: this chip's part of vector `vector` of a token's sum, a value of `work`.
void StageCompiler::contribute(Work& work, Value part, int token, int vector) {
  const int index = token * layout_.shape.hidden_vectors + vector;
  for (const VectorBlock& side : layout_.exchange.input) {
    work.store(work.op(AluOp::Pass, part), side.at(index));
  }
  work.place();
  std::int64_t& ready = stripe_ready_[index_of(index / layout_.tray_chips)];
  ready = std::max(ready, work.last_write() + scheduler_.latencies().mem_write_to_read);
}

// The sum of all contributions, by rank: added to the hidden state, or in place of what was there.
// The first hops of all stripes come before the second ones: whoever waits for a sum waits for the
// last stripe's.
void StageCompiler::exchange_to(std::vector<Rows> TokenBuffers::*to) {
  const bool add = to == &TokenBuffers::hidden;
  if (add && last_exchange_) return send_shards();
  scheduler_.begin_operator("all-reduce");
  gather_vectors(reduce_stripes(), to, add);
}

// Returns when the sum of every stripe may be read on its chips.
std::vector<std::int64_t> StageCompiler::reduce_stripes() {
  std::vector<std::int64_t> summed;
  for (int stripe = 0; stripe < static_cast<int>(stripe_ready_.size()); ++stripe) {
    std::int64_t& ready = stripe_ready_[index_of(stripe)];
    summed.push_back(collective_->reduce_stripe(layout_.exchange, stripe, ready));
    ready = 0;
  }
  return summed;
}

// Brings all vectors to all chips.
void StageCompiler::gather_vectors(const std::vector<std::int64_t>& ready,
                                   std::vector<Rows> TokenBuffers::*to, bool add) {
  for (int stripe = 0; stripe < static_cast<int>(ready.size()); ++stripe) {
    const std::int64_t done =
        collective_->gather_stripe(layout_.exchange, stripe, ready[index_of(stripe)]);
    const int first = stripe * layout_.tray_chips;
    const int end = std::min(first + layout_.tray_chips, exchanged());
    for (int n = first; n < end; ++n) {
      Work work(scheduler_);
      const Rows& own = row_of(to, n);
      const Value vector = work.memory(layout_.exchange.output.at(n));
      work.store(add ? work.op(AluOp::Add, vector, work.memory(own)) : work.op(AluOp::Pass, vector),
                 own);
      work.place(done - work.first_read());
    }
  }
}

// Puts the hidden state where rows can be chosen by rank, for the last sum to be added to it.
void StageCompiler::keep_shards() {
  for (int n = 0; n < exchanged(); ++n) {
    Work copy(scheduler_);
    copy.store(copy.op(AluOp::Pass, copy.memory(hidden_row(n))), layout_.shards.at(n));
    copy.place();
    shards_ready_ =
        std::max(shards_ready_, copy.last_write() + scheduler_.latencies().mem_write_to_read);
  }
}

// Every chip adds its vectors of the last sum to the hidden state and passes them on.
void StageCompiler::send_shards() {
  scheduler_.begin_operator("send");
  const std::vector<std::int64_t> summed = reduce_stripes();
  send_stripes([this, &summed](int stripe, const Rows& out) {
    const Rows sum =
        own_row(layout_.exchange.output.first, stripe, layout_.tray_chips, own_register_);
    Work work(scheduler_);
    work.store(work.op(AluOp::Add, work.memory(sum), work.memory(out)), out);
    work.place(std::max(summed[index_of(stripe)], shards_ready_) - work.first_read());
    return work.last_write() + scheduler_.latencies().mem_write_to_read;
  });
}

// Under a norm every chip has the whole sum, so it only passes on its own vectors.
void StageCompiler::send_normed_shards() {
  scheduler_.begin_operator("send");
  keep_shards();
  send_stripes([this](int, const Rows&) { return shards_ready_; });
}

// A chip's vectors of all stripes, one behind the other. `ready_of` says when one may be read.
void StageCompiler::send_stripes(
    const std::function<std::int64_t(int stripe, const Rows& out)>& ready_of) {
  const int interval = geometry_.link_class(links_.send_link).cycles_per_vector;
  const int position =
      std::abs(geometry_.c2c_position(geometry_.link_hemisphere(links_.send_link)));
  Work send(scheduler_);
  std::int64_t ready = 0;
  std::int64_t offset = 0;
  for (int stripe = 0; stripe < static_cast<int>(stripe_ready_.size()); ++stripe) {
    const Rows out = own_row(layout_.shards.first, stripe, layout_.tray_chips, own_register_);
    ready = std::max(ready, ready_of(stripe, out) - offset);
    for (const Place& place : out) {
      send.send_row(place, links_.send_link, offset);
      sends_.push_back(offset + position);
      offset += interval;
    }
  }
  const std::int64_t start = send.place(ready - send.first_read());
  for (std::int64_t& cycle : sends_) cycle += start;
}

void StageCompiler::receive_shards() {
  scheduler_.begin_operator("receive");
  const int interval = geometry_.link_class(links_.receive_link).cycles_per_vector;
  Work work(scheduler_);
  std::int64_t offset = 0;
  const int stripes = static_cast<int>(stripe_ready_.size());
  for (int stripe = 0; stripe < stripes; ++stripe) {
    for (const Place& place :
         own_row(layout_.exchange.output.first, stripe, layout_.tray_chips, own_register_)) {
      work.receive_row(place, links_.receive_link, offset);
      receives_.push_back(offset);
      offset += interval;
    }
  }
  const std::int64_t start = work.place();
  for (std::int64_t& cycle : receives_) cycle += start;
  std::vector<std::int64_t> ready;
  const std::int64_t landed = work.last_write() + scheduler_.latencies().mem_write_to_read;
  for (int stripe = 0; stripe < stripes; ++stripe) {
    ready.push_back(landed - std::int64_t{stripes - 1 - stripe} * 4 * interval);
  }
  gather_vectors(ready, &TokenBuffers::hidden, false);
}

}  // namespace tandem::lpu
