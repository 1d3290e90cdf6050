#include "sim/service/router.hpp"

namespace tandem {

Router::Router(const Serving& serving, std::uint64_t seed)
    : local_prefill_tokens_(serving.local_prefill_tokens),
      prefill_queue_(serving.prefill_queue),
      prefill_policy_(make_replica_policy(serving, seed, PoolDuty::Prompts)),
      decode_policy_(make_replica_policy(serving, seed, PoolDuty::Tokens)) {}

void Router::connect(Replicas* prefill, Replicas* decode, KvTransfer* transfer,
                     AnswerSink* answers) {
  prefill_ = prefill;
  decode_ = decode;
  transfer_ = transfer;
  answers_ = answers;
}

ReplicaPolicy::Candidates Router::prefill_candidates(Picoseconds now) const {
  const ReplicaPolicy::Candidates all(*prefill_);
  if (autoscaler_ == nullptr) return all;
  return all.first(static_cast<std::size_t>(autoscaler_->prefill_ready(now)));
}

ReplicaPolicy::Candidates Router::decode_candidates(Picoseconds now) const {
  const ReplicaPolicy::Candidates all(*decode_);
  if (autoscaler_ == nullptr) return all;
  return all.first(static_cast<std::size_t>(autoscaler_->decode_ready(now)));
}

Replica& Router::place_prefill(Request& request, Picoseconds now) {
  const std::size_t chosen = prefill_policy_->choose(request, prefill_candidates(now));
  prefill_policy_->placed(request, chosen);
  return *(*prefill_)[chosen];
}

Replica& Router::place_decode(Request& request, Picoseconds now) {
  const std::size_t chosen = decode_policy_->choose(request, decode_candidates(now));
  decode_policy_->placed(request, chosen);
  return *(*decode_)[chosen];
}

bool Router::stays_where_it_decodes(const Request& request, std::size_t replica) const {
  const std::int64_t to_compute = request.prompt - (*decode_)[replica]->cached_tokens(request);
  std::int64_t waiting = 0;
  for (const auto& prefill : *prefill_) waiting += prefill->waiting();
  return to_compute <= local_prefill_tokens_ || waiting >= prefill_queue_;
}

void Router::prefill_locally(Request& request, std::size_t replica, Picoseconds now) {
  decode_policy_->placed(request, replica);
  request.stays = true;
  request.prefill = request.decode = (*decode_)[replica].get();
  ++routes_.local;
  request.decode->submit(request, now);
}

void Router::arrived(Request& request, Picoseconds now) {
  if (autoscaler_ != nullptr) autoscaler_->arrived(request, now);
  if (!decode_->empty() && local_prefill_tokens_ > 0) {
    const std::size_t replica = decode_policy_->choose(request, decode_candidates(now));
    if (stays_where_it_decodes(request, replica)) return prefill_locally(request, replica, now);
  }
  if (request.prefill == nullptr) {
    request.prefill = &place_prefill(request, now);
  } else {  // beside others of its group
    prefill_policy_->placed(request, static_cast<std::size_t>(request.prefill->index()));
  }
  request.decode = request.prefill;
  request.prefill->submit(request, now);
}

void Router::count_token(bool is_first, Picoseconds now) {
  if (bursts_.empty() || bursts_.back().at != now) bursts_.push_back({now});
  ++bursts_.back().tokens;
  if (!is_first) ++bursts_.back().gaps;
}

void Router::token(Request& request, Picoseconds now) {
  count_token(request.generated == 1, now);
  if (request.generated == 1) {
    request.first_token = now;
    prefill_policy_->prompt_done(request);
    decode_policy_->prompt_done(request);
    if (groups_ != nullptr) begin_branches(request, now);
  } else {
    itl_ms_.push_back(to_milliseconds(now - request.last_token));
  }
  request.last_token = now;
}

/// The pass that gives the first token gives one to each branch. Branches stay where the prompt's
/// KV is, or follow it.
void Router::begin_branches(Request& root, Picoseconds now) {
  for (Request* branch : groups_->branch(root, now)) {
    branch->decode = root.decode;
    count_token(true, now);
    if (branch->is_done()) {
      finished(*branch, now);
    } else {
      branches_[root.group].push_back(branch);
    }
  }
  if (decode_->empty() || root.stays) fork(root, *root.prefill, now);
}

void Router::fork(Request& root, Replica& replica, Picoseconds now) {
  const auto branches = branches_.extract(root.group);
  if (branches.empty()) return;
  for (Request* branch : branches.mapped()) {
    branch->decode = &replica;
    groups_->waited(replica.fork(root, *branch, now));
  }
}

/// Where KV goes by layers, room is asked for when the prompt's first pass begins. A request of one
/// token goes nowhere.
void Router::writes_kv(Request& request, const KvWritten& kv, Picoseconds now) {
  if (layers_ == nullptr || request.output <= 1) return;
  if (!layers_->is_open(request)) {
    layers_->open(request);
    place_decode(request, now).offer(request, now);
  }
  layers_->written(request, kv, now);
}

void Router::prefilled(Request& request, Picoseconds now) {
  if (layers_ != nullptr) return layers_->prefilled(request, now);
  request.decode = &place_decode(request, now);
  request.decode->offer(request, now);
}

void Router::reserved(Request& request, Replica& replica, Picoseconds now) {
  request.decode = &replica;
  if (layers_ != nullptr) return layers_->reserved(request, now);
  transfer_->start(request, now);
}

void Router::transferred(Request& request, Picoseconds now) {
  ++routes_.remote;
  routes_.tokens_kept += request.kv_at_decode;
  routes_.tokens_sent += request.prompt - request.kv_at_decode;
  request.prefill->release(request, now);
  prefill_policy_->left(request);
  request.decode->arrive(request, now);
  fork(request, *request.decode, now);
}

void Router::finished(Request& request, Picoseconds now) {
  request.finish = now;
  if (autoscaler_ != nullptr) autoscaler_->finished(request, now);
  prefill_policy_->left(request);
  decode_policy_->left(request);
  if (groups_ != nullptr && !groups_->finished(request, now)) return;
  answers_->answered(request, now);
}

}  // namespace tandem
