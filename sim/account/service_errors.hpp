// How wrong figures of whole services may be beyond their kernels: errors of schedulers, queues and
// engines, left over in measured services, and those of their power.
#pragma once

#include <string>
#include <vector>

#include "sim/describe/scenario.hpp"
#include "sim/service/run_result.hpp"

namespace tandem {

/// What a factor on a figure of services is about: times to the first token, times between tokens,
/// power, energy per token.
enum class ServiceFigure { Ttft, Tpot, Power, Energy };

/// Measured over predicted, after the validated errors of kernels and the ranges of inputs: in 90 %
/// of the cases within [bias / spread, bias x spread].
struct ErrorFactor {
  double bias = 1;
  double spread = 1;
};

/// Of an engine (times) or of a chip (power, energy).
struct ServiceError {
  const char* subject;  ///< software layer or chip
  ServiceFigure figure = ServiceFigure::Tpot;
  ErrorFactor factor;
};
/// One line per subject and figure of docs/bands.md, "Errors of services", read when this is built.
[[nodiscard]] const std::vector<ServiceError>& service_errors();

/// The line of `subject`, or of the engine whose version it is; the widest of all without either.
[[nodiscard]] ErrorFactor service_error(const std::string& subject, ServiceFigure figure);

/// Whether GPUs compute prompts, or tokens behind the first, in some pool of a run.
[[nodiscard]] bool gpus_read_prompts(const RunResult& result);
[[nodiscard]] bool gpus_write_tokens(const RunResult& result);

/// Factors on the figures of a run with the cycle clock: of its engine for times of what GPUs do (1
/// otherwise: programs of LPUs have not been compared with services), of the chip that most of its
/// GPUs are.
struct RunErrors {
  ErrorFactor ttft;
  ErrorFactor tpot;
  ErrorFactor power;
  ErrorFactor energy;
};
[[nodiscard]] RunErrors run_errors(const Scenario& scenario, const RunResult& result);

}  // namespace tandem
