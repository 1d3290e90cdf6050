// Speculative decoding over two pools: the rounds of every request, and the token ids that cross
// between the pools.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/integers.hpp"
#include "sim/lower/network_model.hpp"
#include "sim/service/component.hpp"
#include "sim/service/delivery_alarm.hpp"
#include "sim/service/replica.hpp"
#include "sim/service/router.hpp"
#include "sim/service/source.hpp"
#include "sim/service/speculation/acceptance.hpp"
#include "sim/service/speculation/round_group.hpp"
#include "sim/service/speculation/speculation_use.hpp"

namespace tandem {

/// Runs the rounds of all requests: both pools compute the prompt; then a round drafts, hands the
/// drafts over, verifies, gives out the accepted drafts and one more token together, and hands them
/// back. Each pool sees a request of its own, whose known tokens are those that this pool has to
/// compute; what was computed of rejected drafts is dropped with Replica::resume().
///
/// Contract:
///  - a round always drafts the full number: where an answer ends is known only when it is there.
///  - pools batch what is ready. With rounds in step the drafts of a verifying replica's requests
///    wait for each other; a request that lost memory, in either pool, runs by itself until its
///    next verification is done.
class Speculator final : public RequestInlet, public Component {
 public:
  Speculator(const Scenario& scenario, std::uint64_t seed, std::unique_ptr<NetworkModel> network,
             Agenda& agenda, Router& router, TimelineRecorder* timeline);
  ~Speculator() override;

  /// Where replicas of the two pools report.
  [[nodiscard]] RequestSink& draft_sink();
  [[nodiscard]] RequestSink& verify_sink();
  void connect(Router::Replicas* drafters, Router::Replicas* verifiers);

  void arrived(Request& request, Picoseconds now) override;
  void act(Picoseconds now, Phase phase) override;

  [[nodiscard]] const SpeculationUse& use() const { return use_; }
  [[nodiscard]] std::map<std::string, LinkUse> usage() const { return network_->usage(); }

 private:
  class Side;
  /// A request with what each pool sees of it.
  struct Sequence {
    Sequence(Request& served, const Speculation& speculation, std::uint64_t seed);
    Request* request;
    Request draft;
    Request verify;
    Replica* drafter = nullptr;
    Replica* verifier = nullptr;
    AcceptanceStream acceptance;
    std::int64_t drafted_tokens = 0;  ///< whose KV the drafter holds and may keep
    bool has_draft_prompt = false;
    bool has_first_token = false;
    bool has_lost_draft = false;   ///< the drafter holds none of its KV
    bool has_lost_verify = false;  ///< the verifier neither
    Picoseconds mark;              ///< up to here its time is accounted for
  };

  void drafted(Request& view, Picoseconds now);
  void verified(Request& view, Picoseconds now);
  void finished(Request& view, Picoseconds now);
  void preempted(const Request& view, Picoseconds now);
  void prompt_verified(Sequence& sequence, Picoseconds now);
  void round_verified(Sequence& sequence, Picoseconds now);
  void start_drafts(Sequence& sequence, Picoseconds now);
  void join_rounds(Sequence& sequence);
  void drafts_arrived(Sequence& sequence, Picoseconds now);
  void verify_together(RoundGroup& group, Picoseconds now);
  void start_verification(Sequence& sequence, Picoseconds now);
  void give(Sequence& sequence, std::int64_t tokens, Picoseconds now);
  void send(Sequence& sequence, bool to_verifier, std::int64_t tokens, Picoseconds now);
  void delivered(Sequence& sequence, bool to_verifier, Picoseconds now);
  void account(Sequence& sequence, Picoseconds& part, const char* label, Picoseconds now);
  Sequence& of(const Request& view) { return *sequences_.at(view.id); }
  RoundGroup& group_of(const Sequence& sequence) {
    return groups_[index_of(sequence.verifier->index())];
  }

  struct Message {
    Sequence* sequence;
    bool to_verifier;
  };

  const Speculation& speculation_;
  std::uint64_t seed_;
  std::unique_ptr<NetworkModel> network_;
  DeliveryAlarm alarm_;
  Router& router_;
  std::unique_ptr<ReplicaPolicy> verifier_policy_;
  std::unique_ptr<ReplicaPolicy> drafter_policy_;
  TimelineRecorder* timeline_;
  std::unique_ptr<Side> draft_side_;
  std::unique_ptr<Side> verify_side_;
  Router::Replicas* drafters_ = nullptr;
  Router::Replicas* verifiers_ = nullptr;
  std::map<std::int64_t, std::unique_ptr<Sequence>> sequences_;
  std::vector<RoundGroup> groups_;  ///< by verifying replica
  std::map<NetworkModel::MessageId, Message> under_way_;
  SpeculationUse use_;
};

}  // namespace tandem
