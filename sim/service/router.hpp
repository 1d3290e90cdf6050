// Gives requests to replicas and passes them on between pools.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/service/kv_transfer.hpp"
#include "sim/service/layerwise_transfer.hpp"
#include "sim/service/planner/autoscaler.hpp"
#include "sim/service/replica.hpp"
#include "sim/service/request_groups.hpp"
#include "sim/service/routing/replica_policy.hpp"
#include "sim/service/source.hpp"

namespace tandem {

/// What became of prompts between pools.
struct PromptRoutes {
  std::int64_t remote = 0;       ///< computed on the pool for prompts
  std::int64_t local = 0;        ///< computed where they decode
  std::int64_t tokens_sent = 0;  ///< whose KV crossed
  std::int64_t tokens_kept = 0;  ///< of remote prompts, whose KV the decode replica had
};

/// Chooses replicas and routes requests: arrival -> prefill -> link -> decode -> answer. A prompt
/// with few tokens to compute, or that would wait, may stay on the pool that decodes (the rule of
/// NVIDIA Dynamo's examples/llm/components/disagg_router.py).
class Router final : public RequestInlet, public RequestSink, public TransferSink {
 public:
  using Replicas = ReplicaPolicy::Replicas;
  /// One policy per pool, as `serving.router` says.
  Router(const Serving& serving, std::uint64_t seed);
  /// Joins the parts; `decode` may be empty, then `transfer` may be null.
  void connect(Replicas* prefill, Replicas* decode, KvTransfer* transfer, AnswerSink* answers);
  /// KV goes layer by layer; `transfer` of connect() is then null.
  void connect_layers(LayerwiseTransfer* layers) { layers_ = layers; }

  /// Pools are scaled; null: all replicas take requests.
  void connect_autoscaler(Autoscaler* autoscaler) { autoscaler_ = autoscaler; }

  /// Requests come in groups, which end as one.
  void connect_groups(RequestGroups* groups) { groups_ = groups; }

  void arrived(Request& request, Picoseconds now) override;
  void token(Request& request, Picoseconds now) override;
  void writes_kv(Request& request, const KvWritten& kv, Picoseconds now) override;
  void prefilled(Request& request, Picoseconds now) override;
  void reserved(Request& request, Replica& replica, Picoseconds now) override;
  void transferred(Request& request, Picoseconds now) override;
  void finished(Request& request, Picoseconds now) override;

  [[nodiscard]] const PromptRoutes& routes() const { return routes_; }
  [[nodiscard]] std::vector<double> take_itl() { return std::move(itl_ms_); }
  [[nodiscard]] std::vector<TokenBurst> take_bursts() { return std::move(bursts_); }

 private:
  Replica& place_prefill(Request& request, Picoseconds now);
  Replica& place_decode(Request& request, Picoseconds now);
  /// Replicas that take requests.
  [[nodiscard]] ReplicaPolicy::Candidates prefill_candidates(Picoseconds now) const;
  [[nodiscard]] ReplicaPolicy::Candidates decode_candidates(Picoseconds now) const;
  [[nodiscard]] bool stays_where_it_decodes(const Request& request, std::size_t replica) const;
  void prefill_locally(Request& request, std::size_t replica, Picoseconds now);
  void fork(Request& root, Replica& replica, Picoseconds now);
  void begin_branches(Request& root, Picoseconds now);
  void count_token(bool is_first, Picoseconds now);

  std::int64_t local_prefill_tokens_;
  std::int64_t prefill_queue_;
  PromptRoutes routes_;
  std::unique_ptr<ReplicaPolicy> prefill_policy_;
  std::unique_ptr<ReplicaPolicy> decode_policy_;
  Replicas* prefill_ = nullptr;
  Replicas* decode_ = nullptr;
  KvTransfer* transfer_ = nullptr;
  LayerwiseTransfer* layers_ = nullptr;
  AnswerSink* answers_ = nullptr;
  RequestGroups* groups_ = nullptr;
  Autoscaler* autoscaler_ = nullptr;
  /// By group: branches that have their first token while the prompt's KV is on its way.
  std::map<std::int64_t, std::vector<Request*>> branches_;
  std::vector<double> itl_ms_;
  std::vector<TokenBurst> bursts_;
};

}  // namespace tandem
