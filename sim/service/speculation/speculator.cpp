#include "sim/service/speculation/speculator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "sim/core/timeline.hpp"

namespace tandem {
namespace {

// Token ids cross as 32-bit integers, as serving engines hold them (vllm-project/vllm
// vllm/v1/worker/gpu_input_batch.py).
constexpr std::int64_t bytes_per_token_id = 4;

/// The request as one pool sees it: it ends when the large model says so.
Request view_of(const Request& request, const Speculation& speculation) {
  Request view;
  view.id = request.id;
  view.arrival = request.arrival;
  view.prompt = request.prompt;
  view.output = std::numeric_limits<std::int64_t>::max();
  view.round_tokens = speculation.drafts + 1;
  return view;
}

}  // namespace

/// Tells the speculator which pool a token came from.
class Speculator::Side final : public RequestSink {
 public:
  using Handler = void (Speculator::*)(Request&, Picoseconds);
  Side(Speculator& owner, Handler on_token) : owner_(owner), on_token_(on_token) {}
  void token(Request& view, Picoseconds now) override { (owner_.*on_token_)(view, now); }
  void finished(Request& view, Picoseconds now) override { owner_.finished(view, now); }
  void preempted(Request& view, Picoseconds now) override { owner_.preempted(view, now); }
  // Both pools keep their requests from the prompt to the end.
  void prefilled(Request&, Picoseconds) override {}
  void reserved(Request&, Replica&, Picoseconds) override {}

 private:
  Speculator& owner_;
  Handler on_token_;
};

Speculator::Sequence::Sequence(Request& served, const Speculation& speculation, std::uint64_t seed)
    : request(&served),
      draft(view_of(served, speculation)),
      verify(view_of(served, speculation)),
      acceptance(speculation, seed, served.id),
      drafted_tokens(served.prompt) {}

Speculator::Speculator(const Scenario& scenario, std::uint64_t seed,
                       std::unique_ptr<NetworkModel> network, Agenda& agenda, Router& router,
                       TimelineRecorder* timeline)
    : speculation_(scenario.placement.speculation),
      seed_(seed),
      network_(std::move(network)),
      alarm_(agenda, *this),
      router_(router),
      verifier_policy_(make_replica_policy(scenario.serving, seed, PoolDuty::Prompts)),
      drafter_policy_(make_replica_policy(scenario.serving, seed, PoolDuty::Tokens)),
      timeline_(timeline),
      draft_side_(std::make_unique<Side>(*this, &Speculator::drafted)),
      verify_side_(std::make_unique<Side>(*this, &Speculator::verified)) {
  use_.draft_model = scenario.draft_model.name;
  use_.drafts = speculation_.drafts;
}

Speculator::~Speculator() = default;

RequestSink& Speculator::draft_sink() {
  return *draft_side_;
}

RequestSink& Speculator::verify_sink() {
  return *verify_side_;
}

void Speculator::connect(Router::Replicas* drafters, Router::Replicas* verifiers) {
  drafters_ = drafters;
  verifiers_ = verifiers;
  groups_.resize(verifiers->size());
}

void Speculator::arrived(Request& request, Picoseconds now) {
  auto& sequence = sequences_[request.id];
  sequence = std::make_unique<Sequence>(request, speculation_, seed_);
  sequence->verifier = (*verifiers_)[verifier_policy_->choose(request, *verifiers_)].get();
  request.prefill = request.decode = sequence->verifier;
  sequence->verifier->submit(sequence->verify, now);
  if (request.output == 1) return;  // the prompt's pass gives the only token
  sequence->drafter = (*drafters_)[drafter_policy_->choose(request, *drafters_)].get();
  sequence->drafter->submit(sequence->draft, now);
}

// The draft model's prompt is done, or one more draft.
void Speculator::drafted(Request& view, Picoseconds now) {
  Sequence& sequence = of(view);
  sequence.has_lost_draft = false;
  if (!sequence.has_draft_prompt) {
    // What the draft model makes of the prompt alone is not used: the large model's first token is
    // the next known one, here already or on its way.
    sequence.has_draft_prompt = true;
    view.waits = !sequence.has_first_token;
    if (sequence.has_first_token) {
      account(sequence, use_.draft_prompt, "draft prompt", now);
      join_rounds(sequence);
    }
    return;
  }
  if (view.generated < sequence.request->generated + speculation_.drafts) return;
  view.waits = true;
  account(sequence, use_.drafting, "draft", now);
  send(sequence, true, speculation_.drafts, now);
}

void Speculator::verified(Request& view, Picoseconds now) {
  Sequence& sequence = of(view);
  sequence.has_lost_verify = false;
  if (sequence.request->generated == 0) {
    prompt_verified(sequence, now);
  } else {
    round_verified(sequence, now);
  }
  const Request& request = *sequence.request;
  view.generated = request.generated;
  view.unverified = 0;
  view.waits = true;
  if (request.is_done()) view.output = view.generated;
}

void Speculator::prompt_verified(Sequence& sequence, Picoseconds now) {
  sequence.mark = now;
  give(sequence, 1, now);
  if (!sequence.request->is_done()) send(sequence, false, 1, now);
}

void Speculator::round_verified(Sequence& sequence, Picoseconds now) {
  const Request& request = *sequence.request;
  const std::int64_t accepted = sequence.acceptance.next();
  ++use_.rounds;
  use_.accepted += accepted;
  account(sequence, use_.verifying, "verify", now);
  // Of the last draft the drafter has computed nothing yet.
  sequence.drafted_tokens = request.known_tokens() + std::min(accepted, speculation_.drafts - 1);
  give(sequence, accepted + 1, now);
  if (request.is_done()) {
    group_of(sequence).leave(request.id);
    verify_together(group_of(sequence), now);
    return;
  }
  join_rounds(sequence);
  send(sequence, false, accepted + 1, now);
}

/// Tokens that come together, up to the end of the answer.
void Speculator::give(Sequence& sequence, std::int64_t tokens, Picoseconds now) {
  Request& request = *sequence.request;
  const std::int64_t given = std::min(tokens, request.output - request.generated);
  for (std::int64_t i = 0; i < given; ++i) {
    ++request.generated;
    router_.token(request, now);
  }
}

void Speculator::finished(Request& view, Picoseconds now) {
  Sequence& sequence = of(view);
  Request& request = *sequence.request;
  request.floor_to_first = sequence.verify.floor_to_first;
  request.floor_after_first += sequence.verify.floor_after_first;
  // Its prompt's pass stands beside the large model's and bounds nothing.
  request.floor_after_first += sequence.draft.floor_after_first;
  request.preemptions = sequence.verify.preemptions + sequence.draft.preemptions;
  if (sequence.drafter != nullptr) sequence.drafter->release(sequence.draft, now);
  router_.finished(request, now);
}

void Speculator::start_drafts(Sequence& sequence, Picoseconds now) {
  sequence.draft.generated = sequence.request->generated;
  sequence.draft.waits = false;
  sequence.drafter->resume(sequence.draft, sequence.drafted_tokens, now);
}

/// A request whose KV one pool dropped runs by itself until it is there again.
void Speculator::join_rounds(Sequence& sequence) {
  if (sequence.has_lost_draft || sequence.has_lost_verify) return;
  group_of(sequence).join(sequence.request->id);
}

void Speculator::drafts_arrived(Sequence& sequence, Picoseconds now) {
  RoundGroup& group = group_of(sequence);
  const std::int64_t request = sequence.request->id;
  if (!speculation_.in_step || !group.has(request)) {
    start_verification(sequence, now);
    return;
  }
  group.wait(request);
  verify_together(group, now);
}

void Speculator::verify_together(RoundGroup& group, Picoseconds now) {
  for (const std::int64_t request : group.take_if_complete()) {
    start_verification(*sequences_.at(request), now);
  }
}

// Others hold the memory that it is to be computed in again: they must not wait for it.
void Speculator::preempted(const Request& view, Picoseconds now) {
  Sequence& sequence = of(view);
  (&view == &sequence.draft ? sequence.has_lost_draft : sequence.has_lost_verify) = true;
  RoundGroup& group = group_of(sequence);
  if (group.leave(view.id)) start_verification(sequence, now);
  verify_together(group, now);
}

// The newest token has not been computed by the large model, and behind it come the drafts.
void Speculator::start_verification(Sequence& sequence, Picoseconds now) {
  account(sequence, use_.waiting, "wait", now);
  const std::int64_t computed = sequence.request->known_tokens() - 1;
  sequence.verify.generated = sequence.request->generated;
  sequence.verify.unverified = speculation_.drafts;
  sequence.verify.waits = false;
  sequence.verifier->resume(sequence.verify, computed, now);
}

void Speculator::send(Sequence& sequence, bool to_verifier, std::int64_t tokens, Picoseconds now) {
  const ChipAddress drafter = sequence.drafter->pool().address(sequence.drafter->index(), 0);
  const ChipAddress verifier = sequence.verifier->pool().address(sequence.verifier->index(), 0);
  const ChipAddress& from = to_verifier ? drafter : verifier;
  const ChipAddress& to = to_verifier ? verifier : drafter;
  const Bytes size(tokens * bytes_per_token_id);
  under_way_[network_->send(now, from, to, size, nullptr)] = {&sequence, to_verifier};
  sequence.request->floor_after_first += network_->floor(from, to, size);
  alarm_.set(*network_);
}

void Speculator::delivered(Sequence& sequence, bool to_verifier, Picoseconds now) {
  account(sequence, use_.transfer, "hand-over", now);
  if (to_verifier) {
    drafts_arrived(sequence, now);
    return;
  }
  sequence.has_first_token = true;
  if (!sequence.has_draft_prompt) return;
  join_rounds(sequence);
  start_drafts(sequence, now);
}

/// Books the time since the last call to a part of the round.
void Speculator::account(Sequence& sequence, Picoseconds& part, const char* label,
                         Picoseconds now) {
  part += now - sequence.mark;
  if (timeline_ != nullptr && now > sequence.mark) {
    const auto track = timeline_->track("rounds", fmt::format("request {}", sequence.request->id));
    timeline_->span(track, label, sequence.mark, now);
  }
  sequence.mark = now;
}

void Speculator::act(Picoseconds now, Phase phase) {
  (void)phase;
  alarm_.went_off(now);
  take_deliveries(*network_, now, [&](const NetworkModel::Delivery& delivery) {
    const auto message = under_way_.extract(delivery.id);
    delivered(*message.mapped().sequence, message.mapped().to_verifier, now);
  });
  alarm_.set(*network_);
}

}  // namespace tandem
