// A stage with its weights and KV cache on a GPU: kernels run CTA by CTA with real numbers.
#pragma once

#include <memory>

#include "sim/lower/chip_model.hpp"

namespace tandem::gpu {

class GpuChip;

/// Order in which the CTAs of a kernel execute. Results do not depend on it; tests check that.
enum class CtaOrder : std::uint8_t { Canonical, Reversed };

/// Order of the sums inside a kernel. Fixed: the same for every batch and chip, so that prefill,
/// decode and other chips give the same bits. Planned: that of the timed plan, with its K and KV
/// splits and tiles, as libraries that are not batch-invariant have it; equal within rounding.
enum class SumOrder : std::uint8_t { Fixed, Planned };

/// Puts a stage on a chip; weights are rounded to the stage's weight type once. `chip` must outlive
/// the result. Throws ModelError when the weights are of another shape than the stage.
[[nodiscard]] std::unique_ptr<LoadedStage> load_on_gpu(const GpuChip& chip, const Stage& stage,
                                                       const Weights& weights,
                                                       std::int64_t max_context,
                                                       CtaOrder order = CtaOrder::Canonical,
                                                       SumOrder sums = SumOrder::Fixed);

}  // namespace tandem::gpu
