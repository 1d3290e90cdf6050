#include "models/gpu/execute/sent_rows.hpp"

#include <algorithm>

#include "models/gpu/execute/bodies.hpp"
#include "models/gpu/execute/expert_rows.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {
namespace {

std::int64_t peers(const PassState& pass) {
  return pass.on.stage.shard.of.ranks();
}

const Experts& whole_experts(const PassState& pass, std::int64_t layer) {
  return *pass.on.stage.network.layer(layer).ffn.experts;
}

ShareRange experts_on(const PassState& pass, std::int64_t layer, std::int64_t peer) {
  return held_experts(whole_experts(pass, layer), {pass.on.stage.shard.of, peer});
}

bool holds(ShareRange range, float expert) {
  const auto index = static_cast<std::int64_t>(expert);
  return index >= range.begin && index < range.end;
}

/// The chip's own rows and their choices; none where its attention group has no tokens.
struct OwnRows {
  const TrackedRows* routes = nullptr;
  std::int64_t count = 0;
};

OwnRows own_rows(const Exchange& exchange, PassState& pass) {
  if (exchange.rows == 0) return {};
  return {&pass.at(Buffer::Routes), exchange.rows};
}

/// Rows with a choice among the experts of a chip.
std::vector<std::int64_t> rows_for(ShareRange experts, const OwnRows& own, Picoseconds now) {
  std::vector<std::int64_t> rows;
  for (std::int64_t row = 0; row < own.count; ++row) {
    const std::span<const float> choices = own.routes->read(row, now);
    for (std::size_t i = 0; i < choices.size(); i += 2) {
      if (!holds(experts, choices[i])) continue;
      rows.push_back(row);
      break;
    }
  }
  return rows;
}

Tensor choices_of(const std::vector<std::int64_t>& rows, ShareRange experts, const OwnRows& own,
                  std::int64_t top_k, Picoseconds now) {
  Tensor tensor(ElementType::Int32, {static_cast<std::int64_t>(rows.size()), top_k});
  std::int64_t at = 0;
  for (const std::int64_t row : rows) {
    const std::span<const float> choices = own.routes->read(row, now);
    for (std::int64_t i = 0; i < top_k; ++i) {
      const float expert = choices[index_of(2 * i)];
      const float here = expert - static_cast<float>(experts.begin);
      tensor.store(at++, holds(experts, expert) ? here : -1.0F);
    }
  }
  return tensor;
}

void check_count(const std::vector<Tensor>& results, std::int64_t count) {
  if (static_cast<std::int64_t>(results.size()) == count) return;
  throw ModelError("gpu: rows of experts come from another number of chips than the gang has");
}

}  // namespace

void store_row(std::span<const float> values, Tensor& tensor, std::int64_t row) {
  const auto width = static_cast<std::int64_t>(values.size());
  for (std::int64_t i = 0; i < width; ++i) tensor.store(row * width + i, values[index_of(i)]);
}

void load_row(const Tensor& tensor, std::int64_t row, std::span<float> values) {
  const auto width = static_cast<std::int64_t>(values.size());
  for (std::int64_t i = 0; i < width; ++i) values[index_of(i)] = tensor.load(row * width + i);
}

std::vector<Tensor> rows_for_experts(const Exchange& exchange, PassState& pass, Picoseconds now) {
  const OwnRows own = own_rows(exchange, pass);
  std::vector<Tensor> brought;
  std::vector<Tensor> choices;
  for (std::int64_t peer = 0; peer < peers(pass); ++peer) {
    const ShareRange experts = experts_on(pass, exchange.layer, peer);
    const std::vector<std::int64_t> rows = rows_for(experts, own, now);
    Tensor tensor(exchange.type, {static_cast<std::int64_t>(rows.size()), exchange.width});
    for (std::size_t i = 0; i < rows.size(); ++i) {
      store_row(pass.at(Buffer::Normed).read(rows[i], now), tensor, static_cast<std::int64_t>(i));
    }
    brought.push_back(std::move(tensor));
    choices.push_back(choices_of(rows, experts, own, exchange.top_k, now));
  }
  std::move(choices.begin(), choices.end(), std::back_inserter(brought));
  return brought;
}

void take_sent_rows(const Exchange& exchange, PassState& pass, const std::vector<Tensor>& results,
                    Picoseconds now) {
  check_count(results, 2 * peers(pass));
  const std::int64_t held = experts_on(pass, exchange.layer, pass.on.stage.shard.rank).size();
  ExpertSorter sorter(held);
  for (std::int64_t peer = 0; peer < peers(pass); ++peer) {
    const Tensor& choices = results[index_of(peers(pass) + peer)];
    for (std::int64_t i = 0; i < choices.elements(); ++i) {
      const auto expert = static_cast<std::int64_t>(choices.load(i));
      if (expert >= 0) sorter.add(expert, {peer, i / exchange.top_k, i % exchange.top_k});
    }
  }
  pass.experts = sorter.take();
  const auto& places = pass.experts.places;
  TrackedRows& sent =
      pass.fresh(Buffer::Sent, static_cast<std::int64_t>(places.size()), exchange.width);
  for (std::size_t i = 0; i < places.size(); ++i) {
    load_row(results[index_of(places[i].peer)], places[i].row,
             sent.write(static_cast<std::int64_t>(i), now));
  }
}

std::vector<Tensor> rows_of_experts(const Exchange& exchange, PassState& pass, Picoseconds now) {
  finish_experts(pass, exchange.layer, now);
  const TrackedRows& out = pass.at(Buffer::ExpertOut);
  using Key = std::pair<std::int64_t, std::int64_t>;  ///< row, choice
  std::vector<std::map<Key, std::int64_t>> by_peer(index_of(peers(pass)));
  for (std::size_t i = 0; i < pass.experts.places.size(); ++i) {
    const ExpertRows::Place& place = pass.experts.places[i];
    by_peer[index_of(place.peer)][{place.row, place.choice}] = static_cast<std::int64_t>(i);
  }
  std::vector<Tensor> brought;
  for (const auto& places : by_peer) {
    Tensor tensor(exchange.type, {static_cast<std::int64_t>(places.size()), exchange.width});
    std::int64_t row = 0;
    for (const auto& [key, place] : places) store_row(out.read(place, now), tensor, row++);
    brought.push_back(std::move(tensor));
  }
  return brought;
}

/// The weighted sum of each own row over its choices in their order, rounded.
void take_expert_rows(const Exchange& exchange, PassState& pass, const std::vector<Tensor>& results,
                      Picoseconds now) {
  check_count(results, peers(pass));
  const OwnRows own = own_rows(exchange, pass);
  TrackedRows& mixed = pass.fresh(Buffer::Mixed, own.count, exchange.width);
  std::vector<std::int64_t> next(index_of(peers(pass)));
  std::vector<float> row_of_expert(index_of(exchange.width));
  const std::int64_t experts_per_peer =
      whole_experts(pass, exchange.layer).router.experts / pass.on.stage.shard.of.expert;
  for (std::int64_t row = 0; row < own.count; ++row) {
    const std::span<const float> choices = own.routes->read(row, now);
    ExpertSum sum(exchange.width);
    for (std::size_t i = 0; i < choices.size(); i += 2) {
      const auto peer = static_cast<std::int64_t>(choices[i]) / experts_per_peer;
      load_row(results[index_of(peer)], next[index_of(peer)]++, row_of_expert);
      sum.add(choices[i + 1], row_of_expert);
    }
    sum.round(pass.on.type());
    std::ranges::copy(sum.values(), mixed.write(row, now).begin());
  }
}

}  // namespace tandem::gpu
