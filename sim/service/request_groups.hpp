// Arrivals that are several requests: branches of one prompt, or agents that answer in rounds.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "sim/core/random.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/service/request.hpp"
#include "sim/service/source.hpp"

namespace tandem {

/// What the groups of a run did.
struct GroupUse {
  std::int64_t groups = 0;
  std::int64_t requests = 0;   ///< of each group
  std::vector<double> e2e_ms;  ///< arrival of a group to its last token, in the order of arrival
  /// Prompt tokens that passes computed, and those that they compute where every shared block is
  /// computed once and none is lost.
  std::int64_t prompt_tokens = 0;
  std::int64_t prompt_tokens_alone = 0;
  /// Prompt tokens of the same requests without sharing.
  std::int64_t prompt_tokens_unshared = 0;
  /// Prompt tokens computed beyond the closed form because others were still computing them
  /// (sglang: in the same step), and because the blocks that held them were taken for others.
  std::int64_t computed_beside_others = 0;
  std::int64_t computed_after_eviction = 0;
  /// And because the slots of their replica share nothing.
  std::int64_t computed_without_sharing = 0;
  // Requests that a step could have begun, or gone on with, and did not, by what they waited for;
  // and requests that lost their KV.
  std::int64_t waited_for_sequence = 0;
  std::int64_t waited_for_kv = 0;
  std::int64_t waited_for_step = 0;
  std::int64_t waited_for_batch = 0;  ///< their policy began nothing new
  std::int64_t preemptions = 0;
};

/// Turns each arrival of a source into its group, and knows when a group is over. Lengths beyond
/// those of the source come from the stream "group lengths" in the order of arrival, so a group's
/// first request is what it would be by itself.
class RequestGroups final : public RequestInlet {
 public:
  /// `block_tokens`: tokens of a KV block, of which whole ones are shared.
  RequestGroups(const Traffic& traffic, std::int64_t block_tokens, std::uint64_t seed,
                RequestInlet& inlet);
  void arrived(Request& root, Picoseconds now) override;
  /// The branches that go on from this request's prompt, each with its first token; all agents go
  /// by themselves.
  std::vector<Request*> branch(Request& root, Picoseconds now);
  /// A branch was given to a replica, or a request of a group is done that waited or did not.
  void waited(ForkOutcome outcome);
  /// A request was answered; sends the next round when it was the last of one. True: its group is
  /// over.
  bool finished(const Request& request, Picoseconds now);
  /// Requests beside those of the source.
  [[nodiscard]] const std::deque<Request>& requests() const { return requests_; }
  [[nodiscard]] const GroupUse& use() const { return use_; }

 private:
  struct Group {
    Request* root = nullptr;
    std::vector<std::int64_t> prompts;  ///< own tokens, by request
    std::vector<std::int64_t> outputs;
    std::int64_t unanswered = 0;
    std::int64_t round = 0;  ///< under way
  };
  void draw(Group& group);
  void send_round(Group& group, Picoseconds now);
  void prepare(Request& request, const Group& group, std::int64_t index) const;
  Request& further(const Group& group, std::int64_t index, Picoseconds now);
  void count_prompt(Request& request, std::int64_t shared_tokens);
  void count_lost(const Request& request);

  Traffic traffic_;
  std::int64_t block_tokens_;
  RandomStream lengths_;
  RequestInlet& inlet_;
  std::map<std::int64_t, Group> groups_;  ///< under way
  std::deque<Request> requests_;          ///< a deque: pointers to requests stay valid
  GroupUse use_;
};

}  // namespace tandem
