// Gives requests to replicas and passes them on between pools.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/service/kv_transfer.hpp"
#include "sim/service/layerwise_transfer.hpp"
#include "sim/service/replica.hpp"
#include "sim/service/request_groups.hpp"
#include "sim/service/source.hpp"

namespace tandem {

/// Chooses replicas and routes requests: arrival -> prefill -> link -> decode -> answer.
class Router final : public RequestInlet, public RequestSink, public TransferSink {
 public:
  using Replicas = std::vector<std::unique_ptr<Replica>>;
  /// `policy`: "least_loaded" (fewest requests, ties to the lowest index) or "round_robin".
  explicit Router(std::string policy) : policy_(std::move(policy)) {}
  /// Joins the parts; `decode` may be empty, then `transfer` may be null.
  void connect(Replicas* prefill, Replicas* decode, KvTransfer* transfer, AnswerSink* answers);
  /// KV goes layer by layer; `transfer` of connect() is then null.
  void connect_layers(LayerwiseTransfer* layers) { layers_ = layers; }

  /// Requests come in groups, which end as one.
  void connect_groups(RequestGroups* groups) { groups_ = groups; }

  void arrived(Request& request, Picoseconds now) override;
  void token(Request& request, Picoseconds now) override;
  void writes_kv(Request& request, const KvWritten& kv, Picoseconds now) override;
  void prefilled(Request& request, Picoseconds now) override;
  void reserved(Request& request, Replica& replica, Picoseconds now) override;
  void transferred(Request& request, Picoseconds now) override;
  void finished(Request& request, Picoseconds now) override;

  /// The replica that takes the next request, by the policy; `next` counts turns.
  [[nodiscard]] Replica& choose(Replicas& replicas, std::size_t& next) const;
  [[nodiscard]] std::vector<double> take_itl() { return std::move(itl_ms_); }

 private:
  void fork(Request& root, Replica& replica, Picoseconds now);
  void begin_branches(Request& root, Picoseconds now);

  std::string policy_;
  Replicas* prefill_ = nullptr;
  Replicas* decode_ = nullptr;
  KvTransfer* transfer_ = nullptr;
  LayerwiseTransfer* layers_ = nullptr;
  AnswerSink* answers_ = nullptr;
  RequestGroups* groups_ = nullptr;
  std::size_t next_prefill_ = 0;
  std::size_t next_decode_ = 0;
  /// By group: branches that have their first token while the prompt's KV is on its way.
  std::map<std::int64_t, std::vector<Request*>> branches_;
  std::vector<double> itl_ms_;
};

}  // namespace tandem
