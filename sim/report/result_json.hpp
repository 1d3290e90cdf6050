// Results as JSON and CSV: the stable keys that everything outside relies on. Equal results give
// equal bytes; what differs between equal runs (wall time, store hits, host) is in `run` alone.
#pragma once

#include <string>

#include "sim/account/accounting.hpp"
#include "sim/account/sensitivity.hpp"
#include "sim/service/service.hpp"

namespace tandem {

/// Everything a report of one run is made of.
struct ReportInput {
  const Scenario& scenario;
  const RunResult& result;
  const Accounting& accounting;
  const Sensitivity& sensitivity;
};

/// One object: scenario, version, config_hash, seed, fidelity, simulated_s, summary, bands,
/// intervals, warm_up, backlog, warnings, economics, bounds, steps, speculation, groups, sessions,
/// kv_tiers, prompts, routing, deployments, pools, links, timelines, provenance, run. Keys that do
/// not apply are null.
[[nodiscard]] std::string result_json(const ReportInput& input);

/// The object without `run`: what comparisons look at.
[[nodiscard]] std::string comparable_json(const ReportInput& input);

/// Wall time, store hits and misses, host: the `run` object by itself.
[[nodiscard]] std::string run_object_json(const RunResult& result);

/// One row per request: id, arrival_s, prompt, output, ttft_ms, tpot_ms, e2e_ms, cached_tokens,
/// preemptions; of a mix also deployment, the model whose answer it is.
[[nodiscard]] std::string requests_csv(const RunResult& result);

}  // namespace tandem
