// What the tests of plans share: kernels without a place in a model, and the sums every plan keeps.
#pragma once

#include <gtest/gtest.h>

#include <utility>

#include "models/gpu/plan.hpp"
#include "sim/lower/kernel_work.hpp"

namespace tandem::gpu {

inline Kernel kernel_of(KernelShape shape) {
  return {"test", -1, ElementType::Bfloat16, std::move(shape), {}};
}

/// A plan does the operations of its kernel, no more and no fewer; it may load bytes again.
inline void expect_closed_forms(const GpuParams& params, const Kernel& kernel) {
  const KernelWork work = work_of(kernel);
  const PlanTotals totals = totals_of(plan_kernel(params, kernel));
  EXPECT_EQ(totals.tensor, work.matrix);
  EXPECT_EQ(totals.vector, work.vector);
  EXPECT_EQ(totals.special, work.special);
  EXPECT_EQ(totals.store, work.write_bytes);
  EXPECT_GE(totals.requested, work.weight_bytes + work.read_bytes);
  EXPECT_GE(totals.tensor_padded, totals.tensor);
}

}  // namespace tandem::gpu
