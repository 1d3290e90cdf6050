// Closed forms of mixtures of experts.
#include <algorithm>
#include <cstdint>

#include "sim/lower/kernel_work.hpp"
#include "sim/lower/product_format.hpp"

namespace tandem::work {
namespace {

/// Experts among which the last choice is made: those of the kept groups, or all where masked
/// groups take part with a score of 0.
std::int64_t candidates(const ops::Router& router) {
  if (router.groups <= 1 || router.group_mask == ops::GroupMask::Zero) return router.experts;
  return router.experts / router.groups * router.top_groups;
}

/// Operations on one token's logits: softmax over n is a maximum, a subtraction and an addition
/// per element, an exponential each, one division and a multiply per weight that is used; sigmoid
/// is an add, an exponential and a division. Group scores look at every score once, two best ones
/// also cost an addition per group; groups are chosen like experts.
KernelWork route_token(const ops::Router& router) {
  const std::int64_t experts = router.experts;
  const std::int64_t k = router.top_k;
  std::int64_t vector = candidates(router);
  std::int64_t special = 0;
  switch (router.rule) {
    case ops::RouterRule::SoftmaxTopk:
      vector += 3 * experts + k;
      special += experts + 1;
      break;
    case ops::RouterRule::TopkSoftmax:
      vector += 3 * k + k;
      special += k + 1;
      break;
    case ops::RouterRule::SigmoidBias:
      vector += experts;
      special += 2 * experts;
      break;
  }
  if (router.bias) vector += experts;
  if (router.groups > 1) {
    const bool pairs = router.group_score == ops::GroupScore::SumOfTop2;
    vector += experts + router.groups + (pairs ? router.groups : 0);
  }
  // Softmax over the chosen ones sums to 1 by itself.
  if (router.renormalise && router.rule != ops::RouterRule::TopkSoftmax) {
    vector += 2 * k;
    special += 1;
  }
  if (router.scale != 1) vector += k;
  KernelWork work;
  work.vector = Flops(vector);
  work.special = Flops(special);
  return work;
}

}  // namespace

/// Rules and sources in sim/numerics/ops/router.cpp. Out come an index and a float weight per
/// choice.
KernelWork of(const RouterKernel& shape, std::int64_t width) {
  const ops::Router& router = shape.router;
  KernelWork work = route_token(router);
  work.vector = (work.vector + Flops(shape.expert_scale ? router.top_k : 0)) * shape.tokens;
  work.special = work.special * shape.tokens;
  const std::int64_t vectors = (router.bias ? 1 : 0) + (shape.expert_scale ? 1 : 0);
  work.weight_bytes = Bytes(vectors * router.experts * width);
  work.read_bytes = Bytes(shape.tokens * router.experts * width);
  work.write_bytes = Bytes(shape.tokens * router.top_k * (index_bytes + float_bytes));
  return work;
}

/// A comparison or an addition per choice.
KernelWork of(const ExpertSortKernel& shape, std::int64_t) {
  KernelWork work;
  const std::int64_t choices = shape.tokens * shape.top_k;
  work.vector = Flops(choices);
  work.read_bytes = Bytes(choices * index_bytes);
  work.write_bytes = Bytes((choices + shape.experts + 1) * index_bytes);
  return work;
}

/// Rows that no expert of the rank takes are not read: of `copies` choices at most as many tokens.
KernelWork of(const DispatchKernel& shape, std::int64_t width) {
  KernelWork work;
  const std::int64_t copies = shape.rows();
  work.read_bytes =
      Bytes(std::min(shape.tokens, copies) * shape.hidden * width + copies * index_bytes);
  work.write_bytes = Bytes(copies * shape.hidden * width);
  return work;
}

/// Only experts that get rows read their weights: in expectation E (1 - (1 - k/E)^T) of them.
KernelWork of(const GroupedGemmKernel& shape, std::int64_t) {
  KernelWork work;
  std::int64_t rows = 0;
  std::int64_t touched = 0;
  for (const std::int64_t of_expert : shape.rows) {
    rows += of_expert;
    touched += of_expert > 0 ? 1 : 0;
  }
  const ProductFormat format = product_format(shape);
  work.matrix = Flops(2 * rows * shape.n * shape.k);
  work.vector = Flops(shape.bias ? rows * shape.n : 0);
  work.weight_bytes = Bytes(
      touched * (format.b_bytes(shape.n, shape.k) + (shape.bias ? format.out_bytes(shape.n) : 0)));
  work.read_bytes = Bytes(format.a_bytes(rows, shape.k));
  work.write_bytes = Bytes(format.out_bytes(rows * shape.n));
  return work;
}

/// Per element and row of an expert a multiply-add; one addition for the shared experts and one for
/// the residual. Reads where each row stands and its weight.
KernelWork of(const CombineKernel& shape, std::int64_t width) {
  KernelWork work;
  const std::int64_t elements = shape.tokens * shape.hidden;
  const std::int64_t copies = shape.rows();
  const std::int64_t choices = shape.tokens * shape.top_k;
  const std::int64_t additions = (shape.shared ? 1 : 0) + (shape.adds_residual ? 1 : 0);
  work.vector = Flops(2 * copies * shape.hidden + additions * elements);
  work.read_bytes = Bytes((copies * shape.hidden + additions * elements) * width +
                          choices * (index_bytes + float_bytes));
  work.write_bytes = Bytes(elements * width);
  return work;
}

}  // namespace tandem::work
