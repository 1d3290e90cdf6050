// How many replicas a load takes: the throughput rule of NVIDIA Dynamo's SLA planner
// (docs/design-docs/planner-design.md, components/planner/utils/planner_core.py, v0.9).
#pragma once

#include <cstdint>
#include <optional>

#include "sim/describe/planner.hpp"

namespace tandem {

/// What one replica can do, as measured before the service started.
class ReplicaProfile {
 public:
  virtual ~ReplicaProfile() = default;
  /// Time to the first token of a prompt by itself, in seconds.
  [[nodiscard]] virtual double ttft_s(double prompt_tokens) = 0;
  /// Prompt tokens per second of a replica for prompts.
  [[nodiscard]] virtual double prompt_tokens_per_s(double prompt_tokens) = 0;
  /// Time per token when so many requests decode side by side on a replica, in seconds.
  [[nodiscard]] virtual double itl_s(double requests, double context_tokens) = 0;
  /// Most tokens per second of a replica within a time per token; where none is within it, those of
  /// one request.
  [[nodiscard]] virtual double tokens_per_s_within(double itl_s, double context_tokens) = 0;
};

/// What happened in an interval, means over its requests. Absent: there were none.
struct IntervalLoad {
  std::int64_t requests = 0;
  double prompt_tokens = 0;
  double output_tokens = 0;
  double ttft_s = 0;
  double itl_s = 0;
  double duration_s = 0;  ///< of a request, arrival to last token
};

struct ReplicaCounts {
  std::int64_t prefill = 1;
  std::int64_t decode = 1;
  bool operator==(const ReplicaCounts&) const = default;
};

/// Measured over expected.
struct Corrections {
  double prefill = 1;
  double decode = 1;
};

/// TTFT over that of a prompt by itself; time per token over that at the mean number of requests
/// which a replica decoded side by side: requests x duration / interval / replicas.
[[nodiscard]] Corrections corrections_of(const IntervalLoad& load, const ReplicaCounts& now,
                                         const Planner& planner, ReplicaProfile& profile);

/// Replicas for as many requests in the next interval as in the last one:
///   prefill = ceil(requests x prompt / interval x min(1, correction) / tokens per s of a replica),
///   decode  = ceil(requests x output / interval / tokens per s of a replica within ITL /
///             correction, at a context of prompt + output / 2), each at least `least_replicas`.
[[nodiscard]] ReplicaCounts replicas_for(const IntervalLoad& load, const Corrections& corrections,
                                         const Planner& planner, ReplicaProfile& profile);

}  // namespace tandem
