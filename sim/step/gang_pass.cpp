#include "sim/step/gang_pass.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "sim/core/integers.hpp"
#include "sim/step/loaded_gang.hpp"
#include "sim/step/rank_exchange.hpp"

namespace tandem {

void GangPass::Rank::receive(std::vector<Tensor> results) {
  started.pass->receive(std::move(results));
  ++next;
  advance();
}

GangPass::GangPass(const Sharding& sharding, const std::vector<ChipAddress>& chips,
                   CollectiveModel& collectives, std::vector<StartedRank> ranks)
    : sharding_(sharding), chips_(chips), collectives_(collectives) {
  for (StartedRank& started : ranks) ranks_.push_back({std::move(started), 0, std::nullopt});
  for (Rank& rank : ranks_) rank.advance();
}

std::optional<std::vector<Tensor>> GangPass::advance() {
  for (bool moves = true; moves;) {
    moves = false;
    for (std::int64_t rank = 0; rank < sharding_.ranks(); ++rank) moves |= let_one_meet(rank);
  }
  const auto is_through = [](const Rank& rank) { return !rank.brought; };
  if (std::all_of(ranks_.begin(), ranks_.end(), is_through)) return std::nullopt;
  std::vector<Tensor> rows;
  for (const Rank& rank : ranks_) {
    if (!is_elsewhere(rank)) throw std::logic_error("gang: ranks wait for each other");
    rows.push_back(rank.brought->front());
  }
  return rows;
}

void GangPass::come_back(std::vector<Tensor> rows) {
  for (std::size_t i = 0; i < ranks_.size(); ++i) ranks_[i].receive({std::move(rows.at(i))});
}

std::vector<StageData> GangPass::finish() {
  std::vector<StageData> outs(ranks_.size());
  for (std::size_t i = 0; i < ranks_.size(); ++i) (void)ranks_[i].started.pass->finish(outs[i]);
  return outs;
}

bool GangPass::is_elsewhere(const Rank& rank) const {
  return rank.brought && rank.exchange().group == RankGroup::Elsewhere;
}

/// Runs the exchange that a rank waits at, if it is the first of its peers and all have come.
bool GangPass::let_one_meet(std::int64_t rank) {
  const Rank& first = ranks_[index_of(rank)];
  if (!first.brought || is_elsewhere(first)) return false;
  const auto peers = peers_of(first.exchange().group, {sharding_, rank});
  if (peers.front() != rank || !are_there(peers)) return false;
  meet(peers);
  return true;
}

bool GangPass::are_there(const std::vector<std::int64_t>& peers) const {
  const Exchange& first = ranks_[index_of(peers.front())].exchange();
  return std::all_of(peers.begin(), peers.end(), [&](std::int64_t peer) {
    const Rank& rank = ranks_[index_of(peer)];
    return rank.brought && rank.exchange().role == first.role &&
           rank.exchange().layer == first.layer;
  });
}

void GangPass::meet(const std::vector<std::int64_t>& peers) {
  std::vector<Exchange> views;
  std::vector<ChipAddress> chips;
  std::vector<RankTensors> brought;
  for (const std::int64_t peer : peers) {
    Rank& rank = ranks_[index_of(peer)];
    views.push_back(rank.exchange());
    chips.push_back(chips_[index_of(peer)]);
    brought.push_back(std::move(*rank.brought));
  }
  ExchangeRecord record;
  record.ranks = peers;
  auto results = run_exchange(views, chips, std::move(brought), collectives_, record);
  records_.push_back(std::move(record));
  for (std::size_t i = 0; i < peers.size(); ++i) {
    ranks_[index_of(peers[i])].receive(std::move(results[i]));
  }
}

}  // namespace tandem
