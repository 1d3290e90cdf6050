#include "sim/account/service_errors.hpp"

#include <algorithm>

#include "sim/service/service.hpp"

namespace tandem {
namespace {

/// The chip of the pool with the most GPUs.
std::string main_chip(const RunResult& result) {
  const PoolUse* largest = nullptr;
  for (const PoolUse& pool : result.pools) {
    if (pool.model != "gpu") continue;
    if (largest == nullptr || pool.kept_chips() > largest->kept_chips()) largest = &pool;
  }
  return largest == nullptr ? std::string{} : largest->chip;
}

const ErrorFactor* line_of(const std::string& subject, ServiceFigure figure) {
  for (const ServiceError& error : service_errors()) {
    if (error.figure == figure && error.subject == subject) return &error.factor;
  }
  return nullptr;
}

}  // namespace

const std::vector<ServiceError>& service_errors() {
  static const std::vector<ServiceError> errors = {
#include "sim/account/service_errors.inc"
  };
  return errors;
}

ErrorFactor service_error(const std::string& subject, ServiceFigure figure) {
  // Versions of an engine are named after it: tensorrt_llm_1_0 after tensorrt_llm.
  for (std::string name = subject; !name.empty();) {
    if (const ErrorFactor* own = line_of(name, figure)) return *own;
    const std::size_t cut = name.rfind('_');
    name.resize(cut == std::string::npos ? 0 : cut);
  }
  ErrorFactor widest;
  for (const ServiceError& error : service_errors()) {
    if (error.figure == figure && error.factor.spread > widest.spread) widest = error.factor;
  }
  return widest;
}

RunErrors run_errors(const Scenario& scenario, const RunResult& result) {
  const std::string chip = main_chip(result);
  if (result.fidelity != Fidelity::Cycle || chip.empty()) return {};
  const std::string& engine = scenario.software.name;
  RunErrors errors{{},
                   {},
                   service_error(chip, ServiceFigure::Power),
                   service_error(chip, ServiceFigure::Energy)};
  if (gpus_read_prompts(result)) errors.ttft = service_error(engine, ServiceFigure::Ttft);
  if (gpus_write_tokens(result)) errors.tpot = service_error(engine, ServiceFigure::Tpot);
  return errors;
}

bool gpus_read_prompts(const RunResult& result) {
  return std::ranges::any_of(result.pools, [](const PoolUse& pool) {
    const std::string phase = phase_of_pool(pool.name);
    return pool.model == "gpu" && phase != "decode" && phase != "ffn" && phase != "verify";
  });
}

bool gpus_write_tokens(const RunResult& result) {
  return std::ranges::any_of(result.pools, [](const PoolUse& pool) {
    return pool.model == "gpu" && phase_of_pool(pool.name) != "prefill";
  });
}

}  // namespace tandem
