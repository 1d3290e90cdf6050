#include "sim/service/routing/kv_overlap.hpp"

#include <algorithm>
#include <cmath>

namespace tandem {

/// Sums visit(key, blocks) over the shared parts of the prompt. Returns its other blocks; only full
/// ones count.
template <class Visit>
std::int64_t ActiveBlocks::visit_parts(const Request& request, const Visit& visit) const {
  const std::int64_t all = request.prompt / block_tokens_;
  std::int64_t begin = 0;
  for (const SharedPart& part : request.shared) {
    const std::int64_t end = std::min(all, part.end / block_tokens_);
    if (end > begin) visit(part.key, end - begin);
    begin = std::max(begin, end);
  }
  return all - begin;
}

std::int64_t ActiveBlocks::with(const Request& request) const {
  std::int64_t further = 0;
  const std::int64_t own = visit_parts(request, [&](std::int64_t key, std::int64_t blocks) {
    const auto part = parts_.find(key);
    const std::int64_t here = part == parts_.end() ? 0 : part->second.rbegin()->first;
    further += std::max<std::int64_t>(0, blocks - here);
  });
  return count_ + further + own;
}

void ActiveBlocks::add(const Request& request) {
  count_ = with(request);
  static_cast<void>(
      visit_parts(request, [&](std::int64_t key, std::int64_t blocks) { ++parts_[key][blocks]; }));
}

void ActiveBlocks::remove(const Request& request) {
  std::int64_t gone = 0;
  const std::int64_t own = visit_parts(request, [&](std::int64_t key, std::int64_t blocks) {
    const auto part = parts_.find(key);
    const std::int64_t before = part->second.rbegin()->first;
    const auto holders = part->second.find(blocks);
    if (--holders->second == 0) part->second.erase(holders);
    const std::int64_t after = part->second.empty() ? 0 : part->second.rbegin()->first;
    if (part->second.empty()) parts_.erase(part);
    gone += before - after;
  });
  count_ -= gone + own;
}

KvOverlap::KvOverlap(const Serving& serving, std::uint64_t seed, PoolDuty duty)
    : block_tokens_(serving.kv_block_tokens),
      overlap_weight_(duty == PoolDuty::Prompts || serving.local_prefill_tokens > 0
                          ? serving.overlap_weight
                          : 0),
      temperature_(serving.router_temperature),
      random_(seed, duty == PoolDuty::Prompts ? "router, prompts" : "router, tokens") {}

KvOverlap::Worker& KvOverlap::worker(std::size_t replica) {
  while (workers_.size() <= replica) workers_.push_back({0, ActiveBlocks(block_tokens_)});
  return workers_[replica];
}

double KvOverlap::cost(const Request& request, double cached, const Worker& worker) const {
  const double to_compute = worker.tokens_to_compute + static_cast<double>(request.prompt) - cached;
  return overlap_weight_ * to_compute / static_cast<double>(block_tokens_) +
         static_cast<double>(worker.blocks.with(request));
}

std::size_t KvOverlap::choose(const Request& request, Candidates replicas) {
  std::vector<double> costs;
  cached_.clear();
  for (std::size_t i = 0; i < replicas.size(); ++i) {
    cached_.push_back(overlap_weight_ > 0 ? replicas[i]->overlap_tokens(request) : 0);
    costs.push_back(cost(request, cached_.back(), worker(i)));
  }
  return draw(costs);
}

std::size_t KvOverlap::draw(const std::vector<double>& costs) {
  const auto [least, most] = std::minmax_element(costs.begin(), costs.end());
  std::vector<double> weights;
  for (const double cost : costs) {
    const double above = *most > *least ? (cost - *least) / (*most - *least) : 0;
    weights.push_back(temperature_ > 0 ? std::exp(-above / temperature_) : (above == 0 ? 1 : 0));
  }
  if (std::count(weights.begin(), weights.end(), 0.0) + 1 == std::ssize(weights)) {
    return static_cast<std::size_t>(least - costs.begin());
  }
  double sum = 0;
  for (const double weight : weights) sum += weight;
  double left = random_.uniform() * sum;
  std::size_t chosen = static_cast<std::size_t>(least - costs.begin());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    chosen = i;
    left -= weights[i];
    if (left < 0) break;
  }
  return chosen;
}

void KvOverlap::placed(const Request& request, std::size_t replica) {
  Worker& own = worker(replica);
  const double cached = replica < cached_.size() ? cached_[replica] : 0;
  cached_.clear();
  const double tokens = request.generated > 0 ? 0 : static_cast<double>(request.prompt) - cached;
  own.tokens_to_compute += tokens;
  own.blocks.add(request);
  placed_[request.id] = {replica, tokens, request};
}

void KvOverlap::prompt_done(const Request& request) {
  const auto found = placed_.find(request.id);
  if (found == placed_.end()) return;
  worker(found->second.replica).tokens_to_compute -= found->second.tokens_to_compute;
  found->second.tokens_to_compute = 0;
}

void KvOverlap::left(const Request& request) {
  prompt_done(request);
  const auto found = placed_.extract(request.id);
  if (!found.empty()) worker(found.mapped().replica).blocks.remove(found.mapped().as_it_came);
}

}  // namespace tandem
