// Speculative decoding over two pools: the rounds of every request, and the token ids that cross
// between the pools.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/lower/network_model.hpp"
#include "sim/service/component.hpp"
#include "sim/service/replica.hpp"
#include "sim/service/router.hpp"
#include "sim/service/source.hpp"
#include "sim/service/speculation/acceptance.hpp"

namespace tandem {

/// What the rounds of a run came to. The four times are sums over requests and cover, without gap
/// or overlap, the time from a request's first token to its last; waiting for a pool counts to it.
struct SpeculationUse {
  std::string draft_model;
  std::int64_t drafts = 0;  ///< of a round
  std::int64_t rounds = 0;
  std::int64_t accepted = 0;  ///< drafts, those after a request's last token too
  Picoseconds draft_prompt;   ///< the first token is there, the draft model's KV of the prompt not
  Picoseconds drafting;
  Picoseconds transfer;  ///< token ids on the links, both ways
  Picoseconds verifying;
};

/// Runs the rounds of all requests: both pools compute the prompt; then a round drafts, hands the
/// drafts over, verifies, gives out the accepted drafts and one more token together, and hands them
/// back. Each pool sees a request of its own, whose known tokens are those that this pool has to
/// compute; what was computed of rejected drafts is dropped with Replica::resume().
///
/// Contract:
///  - a round always drafts the full number: where an answer ends is known only when it is there.
///  - pools batch what is ready; requests are not kept in step.
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
    Picoseconds mark;  ///< up to here its time is accounted for
  };

  void drafted(Request& view, Picoseconds now);
  void verified(Request& view, Picoseconds now);
  void finished(Request& view, Picoseconds now);
  void prompt_verified(Sequence& sequence, Picoseconds now);
  void round_verified(Sequence& sequence, Picoseconds now);
  void start_drafts(Sequence& sequence, Picoseconds now);
  void start_verification(Sequence& sequence, Picoseconds now);
  void give(Sequence& sequence, std::int64_t tokens, Picoseconds now);
  void send(Sequence& sequence, bool to_verifier, std::int64_t tokens, Picoseconds now);
  void delivered(Sequence& sequence, bool to_verifier, Picoseconds now);
  void account(Sequence& sequence, Picoseconds& part, const char* label, Picoseconds now);
  void plan_next();
  Sequence& of(const Request& view) { return *sequences_.at(view.id); }

  struct Message {
    Sequence* sequence;
    bool to_verifier;
  };

  const Speculation& speculation_;
  std::uint64_t seed_;
  std::unique_ptr<NetworkModel> network_;
  Agenda& agenda_;
  Router& router_;
  TimelineRecorder* timeline_;
  std::unique_ptr<Side> draft_side_;
  std::unique_ptr<Side> verify_side_;
  Router::Replicas* drafters_ = nullptr;
  Router::Replicas* verifiers_ = nullptr;
  std::size_t next_drafter_ = 0;
  std::size_t next_verifier_ = 0;
  std::map<std::int64_t, std::unique_ptr<Sequence>> sequences_;
  std::map<NetworkModel::MessageId, Message> under_way_;
  std::optional<Picoseconds> planned_;  ///< next wish; more of them would only pile up
  SpeculationUse use_;
};

}  // namespace tandem
