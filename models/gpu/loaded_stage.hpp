// A stage with its weights and KV cache on a GPU: kernels run CTA by CTA with real numbers.
#pragma once

#include <memory>

#include "sim/lower/chip_model.hpp"

namespace tandem::gpu {

class GpuChip;

/// Order in which the CTAs of a kernel execute. Results do not depend on it; tests check that.
enum class CtaOrder : std::uint8_t { Canonical, Reversed };

/// Puts a stage on a chip; weights are rounded to the stage's weight type once. `chip` must outlive
/// the result. Throws ModelError when the weights are of another shape than the stage.
[[nodiscard]] std::unique_ptr<LoadedStage> load_on_gpu(const GpuChip& chip, const Stage& stage,
                                                       const Weights& weights,
                                                       std::int64_t max_context,
                                                       CtaOrder order = CtaOrder::Canonical);

}  // namespace tandem::gpu
