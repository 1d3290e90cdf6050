#include "sim/account/model_errors.hpp"

#include <algorithm>
#include <map>

#include "sim/account/accounting.hpp"
#include "sim/account/service_errors.hpp"
#include "sim/service/service.hpp"
#include "sim/step/time_parts.hpp"

namespace tandem {
namespace {

constexpr double percent = 0.01;
constexpr double milliseconds = 1e3;
/// Element-wise kernels: silu_mul of the layer tables, the widest that is not of an idle profiler.
constexpr FamilyError elementwise{"elementwise", "", -23.6 * percent, 50.9 * percent};

bool has(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

std::string product_family(const std::string& formats) {
  if (has(formats, "block") || has(formats, "fp4") || has(formats, "mx")) {
    return "GEMM fp8_block / nvfp4";
  }
  return has(formats, "fp8") || has(formats, "int8") ? "GEMM fp8 / int8" : "GEMM bf16";
}

/// The chip's own line, or the widest of the family.
FamilyError error_of(const std::string& family, const std::string& chip) {
  if (family == elementwise.family) return elementwise;
  FamilyError widest{"", "", 0, 0};
  for (const FamilyError& error : family_errors()) {
    if (error.family != family) continue;
    if (error.chip == chip) return error;
    if (error.p90 > widest.p90) widest = {error.family, "", error.bias, error.p90};
  }
  return widest;
}

/// Shares of passes' time by family, one pool; what waits counts for nobody.
std::map<std::string, double> shares_of(const PoolUse& pool) {
  std::map<std::string, double> shares;
  double total = 0;
  for (const auto& [part, seconds] : pool.totals.part_seconds) {
    const std::string family = family_of(part, pool.formats);
    if (kind_of_part(part) == waiting) continue;
    total += seconds;
    if (!family.empty()) shares[family] += seconds;
  }
  for (auto& [family, share] : shares) share /= total;
  return shares;
}

struct MeanTimes {
  double ttft_ms = 0;
  double tpot_ms = 0;
  double prompt_tokens = 0;
  double sequences = 0;  ///< of a pass that decodes
};

MeanTimes mean_times(const RunResult& result) {
  MeanTimes means;
  double answered = 0;
  for (const RequestRecord& request : result.requests) {
    means.ttft_ms += request.ttft_ms;
    means.prompt_tokens += static_cast<double>(request.prompt);
    if (request.output < 2) continue;
    means.tpot_ms += request.tpot_ms;
    ++answered;
  }
  const auto count = static_cast<double>(std::max<std::size_t>(1, result.requests.size()));
  means.ttft_ms /= count;
  means.prompt_tokens /= count;
  means.tpot_ms /= std::max(1.0, answered);
  means.sequences = static_cast<double>(result.output_tokens) /
                    static_cast<double>(std::max<std::int64_t>(1, result.steps));
  return means;
}

/// What one unit of a constant of the software adds to a time to the first token and to a gap, ms.
struct Weight {
  double ttft_ms = 0;
  double tpot_ms = 0;
};
Weight weight_of(const std::string& constant, const MeanTimes& means) {
  if (constant == "step_overhead") return {milliseconds, milliseconds};
  if (constant == "sequence_overhead") {
    return {milliseconds * means.sequences, milliseconds * means.sequences};
  }
  if (constant == "request_overhead") return {milliseconds, 0};
  if (constant == "prompt_token_overhead") return {milliseconds * means.prompt_tokens, 0};
  return {};
}

double share(double part, double whole) {
  return whole > 0 ? std::clamp(part / whole, 0.0, 1.0) : 0;
}

/// Shares of the mean times that the software's constants are.
struct HostShares {
  double ttft = 0;
  double tpot = 0;
};
HostShares host_shares(const Scenario& scenario, const MeanTimes& means) {
  Weight host;
  for (const auto& [name, parameter] : scenario.software.parameters.all()) {
    const Weight weight = weight_of(name, means);
    host.ttft_ms += weight.ttft_ms * parameter.value;
    host.tpot_ms += weight.tpot_ms * parameter.value;
  }
  return {share(host.ttft_ms, means.ttft_ms), share(host.tpot_ms, means.tpot_ms)};
}

void add_families(const RunResult& result, const HostShares& host, std::vector<TimeError>& errors) {
  std::map<std::string, TimeError> by_family;
  for (const PoolUse& pool : result.pools) {
    if (pool.model != "gpu") continue;  // programs of LPUs take exactly their time
    const std::string phase = phase_of_pool(pool.name);
    for (const auto& [family, part] : shares_of(pool)) {
      const FamilyError error = error_of(family, pool.chip);
      TimeError& sum = by_family[family];
      sum.cause = family;
      // Too fast by the bias means that the truth is longer; what is left of it is spread.
      const double spread = std::max(0.0, error.p90 - std::abs(error.bias));
      if (phase != "decode" && phase != "ffn" && phase != "verify") {
        const double weight = part * (1 - host.ttft);
        sum.shift_prefill -= weight * error.bias;
        sum.prefill = {sum.prefill.low - weight * spread, sum.prefill.high + weight * spread};
      }
      if (phase != "prefill") {
        const double weight = part * (1 - host.tpot);
        sum.shift_decode -= weight * error.bias;
        sum.decode = {sum.decode.low - weight * spread, sum.decode.high + weight * spread};
      }
    }
  }
  for (auto& [family, error] : by_family) errors.push_back(std::move(error));
}

/// Programs of LPUs wait for no engine's host: constants count where GPUs do the work.
void add_constants(const Scenario& scenario, const RunResult& result, const MeanTimes& means,
                   std::vector<TimeError>& errors) {
  for (const auto& [name, parameter] : scenario.software.parameters.all()) {
    if (!parameter.low || !parameter.high) continue;
    Weight weight = weight_of(name, means);
    if (!gpus_read_prompts(result)) weight.ttft_ms = 0;
    if (!gpus_write_tokens(result)) weight.tpot_ms = 0;
    if (weight.ttft_ms <= 0 && weight.tpot_ms <= 0) continue;
    const auto at = [&](double end, double unit, double mean) {
      return mean > 0 ? unit * (end - parameter.value) / mean : 0;
    };
    TimeError error;
    error.cause = "software." + name;
    error.prefill = {at(*parameter.low, weight.ttft_ms, means.ttft_ms),
                     at(*parameter.high, weight.ttft_ms, means.ttft_ms)};
    error.decode = {at(*parameter.low, weight.tpot_ms, means.tpot_ms),
                    at(*parameter.high, weight.tpot_ms, means.tpot_ms)};
    errors.push_back(std::move(error));
  }
}

}  // namespace

const std::vector<FamilyError>& family_errors() {
  static const std::vector<FamilyError> errors = {
#include "sim/account/family_errors.inc"
  };
  return errors;
}

std::string family_of(const std::string& part, const std::string& formats) {
  const std::string kind = kind_of_part(part);
  if (kind == "exchange") {
    const bool is_expert = has(part, "dispatch") || has(part, "combine");
    return is_expert ? "low-latency expert exchange" : "all-reduce in a graph";
  }
  if (kind != "kernels") return "";
  if (part.starts_with("expert_") || part == "experts") return "MoE";
  if (part == "latent_attention" || has(part, "absorption")) return "MLA decode";
  if (part == "attention" || has(part, "indexer")) return "attention decode";
  if (part.starts_with("gated_delta")) return "Gated DeltaNet";
  const bool is_product = has(part, "projection") || part == "lm_head" || part == "router";
  return is_product ? product_family(formats) : elementwise.family;
}

std::vector<TimeError> time_errors(const Scenario& scenario, const RunResult& result) {
  std::vector<TimeError> errors;
  // Only the cycle clock of GPUs has been compared with measurements; LPU programs are exact.
  if (result.fidelity != Fidelity::Cycle) return errors;
  const MeanTimes means = mean_times(result);
  add_families(result, host_shares(scenario, means), errors);
  add_constants(scenario, result, means, errors);
  return errors;
}

}  // namespace tandem
