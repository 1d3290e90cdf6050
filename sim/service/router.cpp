#include "sim/service/router.hpp"

#include <algorithm>

namespace tandem {

void Router::connect(Replicas* prefill, Replicas* decode, KvTransfer* transfer,
                     AnswerSink* answers) {
  prefill_ = prefill;
  decode_ = decode;
  transfer_ = transfer;
  answers_ = answers;
}

Replica& Router::choose(Replicas& replicas, std::size_t& next) const {
  if (policy_ == "round_robin") return *replicas[next++ % replicas.size()];
  return **std::min_element(replicas.begin(), replicas.end(),
                            [](const auto& a, const auto& b) { return a->load() < b->load(); });
}

void Router::arrived(Request& request, Picoseconds now) {
  if (request.prefill == nullptr) request.prefill = &choose(*prefill_, next_prefill_);
  request.decode = request.prefill;
  request.prefill->submit(request, now);
}

void Router::token(Request& request, Picoseconds now) {
  if (request.generated == 1) {
    request.first_token = now;
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
    if (branch->is_done()) {
      finished(*branch, now);
    } else {
      branches_[root.group].push_back(branch);
    }
  }
  if (decode_->empty()) fork(root, *root.prefill, now);
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
    choose(*decode_, next_decode_).offer(request, now);
  }
  layers_->written(request, kv, now);
}

void Router::prefilled(Request& request, Picoseconds now) {
  if (layers_ != nullptr) return layers_->prefilled(request, now);
  request.decode = &choose(*decode_, next_decode_);
  request.decode->offer(request, now);
}

void Router::reserved(Request& request, Replica& replica, Picoseconds now) {
  request.decode = &replica;
  if (layers_ != nullptr) return layers_->reserved(request, now);
  transfer_->start(request, now);
}

void Router::transferred(Request& request, Picoseconds now) {
  request.prefill->release(request, now);
  request.decode->arrive(request, now);
  fork(request, *request.decode, now);
}

void Router::finished(Request& request, Picoseconds now) {
  request.finish = now;
  if (groups_ != nullptr && !groups_->finished(request, now)) return;
  answers_->answered(request, now);
}

}  // namespace tandem
