#include "models/gpu/kernel_limits.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"
#include "sim/core/overloaded.hpp"

namespace tandem::gpu {
namespace {

/// Elements of all operands together and of the result, and operations of the products.
struct Size {
  double in = 0, out = 0, operations = 0;
};

double real(std::int64_t value) {
  return static_cast<double>(value);
}

/// New tokens, keys and (query, key) pairs of all sequences; masked pairs count.
struct SpanSums {
  double queries = 0, keys = 0, pairs = 0, count = 0;
};

SpanSums sums_of(const std::vector<QuerySpan>& spans) {
  SpanSums sums;
  sums.count = static_cast<double>(spans.size());
  for (const QuerySpan& span : spans) {
    sums.queries += real(span.q_len);
    sums.keys += real(span.kv_len);
    sums.pairs += real(span.q_len) * real(span.kv_len);
  }
  return sums;
}

Size product(double batch, double m, double n, double k) {
  return {batch * (m * k + n * k), batch * m * n, 2 * batch * m * n * k};
}

Size rows_of(std::int64_t rows, double in, double out) {
  return {real(rows) * in, real(rows) * out, real(rows) * (in + out)};
}

Size size_of(const AttentionKernel& a) {
  const SpanSums sums = sums_of(a.spans);
  const double key = real(a.head_dim), value = real(a.value_width());
  const double heads = real(a.heads);
  return {sums.queries * heads * key + sums.keys * real(a.kv_heads) * std::min(key, value),
          sums.queries * heads * value, 2 * sums.pairs * heads * (key + value)};
}

Size size_of(const LatentAttentionKernel& a) {
  const SpanSums sums = sums_of(a.spans);
  const double width = real(a.kv_rank) + real(a.rope_dim);
  const double heads = real(a.heads);
  return {(sums.queries * heads + sums.keys) * width, sums.queries * heads * real(a.kv_rank),
          4 * sums.pairs * heads * width};
}

Size size_of(const IndexerKernel& a) {
  const SpanSums sums = sums_of(a.spans);
  const double heads = real(a.heads), width = real(a.head_dim);
  return {(sums.queries * heads + sums.keys) * width, sums.queries * real(a.top_k),
          2 * sums.pairs * heads * width};
}

Size size_of(const GroupedGemmKernel& g) {
  double rows = 0;
  for (const std::int64_t of_expert : g.rows) rows += real(of_expert);
  const double n = real(g.n), k = real(g.k);
  return {rows * k + static_cast<double>(g.rows.size()) * n * k, rows * n, 2 * rows * n * k};
}

Size size_of(const GatedDeltaKernel& d) {
  const SpanSums sums = sums_of(d.spans);
  const double keys = real(d.shape.key_heads) * real(d.shape.key_dim);
  const double values = real(d.shape.value_heads) * real(d.shape.value_dim);
  const double state = values * real(d.shape.key_dim);
  return {sums.queries * (2 * keys + values), sums.queries * values + sums.count * state,
          8 * sums.queries * state};
}

Size size_of(const StateSpaceScanKernel& s) {
  const SpanSums sums = sums_of(s.spans);
  const double width = real(s.heads) * real(s.head_dim);
  const double state = width * real(s.state_dim);
  return {sums.queries * (width + 2 * real(s.groups) * real(s.state_dim)),
          sums.queries * width + sums.count * state,
          4 * sums.queries * (state + width * real(s.chunk))};
}

Size size_of(const ShortConvolutionKernel& c) {
  const double elements = sums_of(c.spans).queries * real(c.channels);
  return {elements, elements, 2 * elements * real(c.taps)};
}

Size size_of(const KernelShape& shape) {
  return std::visit(
      Overloaded{
          [](const GemmKernel& g) { return product(1, real(g.m), real(g.n), real(g.k)); },
          [](const BatchedGemmKernel& g) {
            return product(real(g.batch), real(g.m), real(g.n), real(g.k));
          },
          [](const RopeKernel& r) {
            const double width = (real(r.heads) + real(r.kv_heads)) * real(r.head_dim);
            return rows_of(r.tokens, width, width);
          },
          [](const EmbeddingKernel& e) { return rows_of(e.tokens, 1, real(e.hidden)); },
          [](const NormKernel& n) { return rows_of(n.tokens, real(n.hidden), real(n.hidden)); },
          [](const ActivationKernel& a) {
            return rows_of(a.tokens, real(a.intermediate), real(a.intermediate));
          },
          [](const SampleKernel& s) { return rows_of(s.tokens, real(s.vocabulary), 1); },
          [](const CacheReadKernel& c) { return rows_of(c.rows, real(c.width), real(c.width)); },
          [](const QuantiseKernel& q) { return rows_of(q.rows, real(q.width), real(q.width)); },
          [](const ElementwiseKernel& e) {
            return rows_of(e.tokens, real(e.width), real(e.width));
          },
          [](const RouterKernel& r) {
            return rows_of(r.tokens, real(r.router.experts), real(r.router.top_k));
          },
          [](const ExpertSortKernel& s) { return rows_of(s.tokens, real(s.top_k), real(s.top_k)); },
          [](const DispatchKernel& d) { return rows_of(d.rows(), 0, real(d.hidden)); },
          [](const CombineKernel& c) { return rows_of(c.rows(), real(c.hidden), 0); },
          [](const DeltaGateKernel& d) {
            const double width = real(d.key_heads) * real(d.key_dim);
            return rows_of(d.tokens, width + real(d.value_heads), width + real(d.value_heads));
          },
          [](const auto& other) { return size_of(other); },
      },
      shape);
}

[[noreturn]] void refuse(const Kernel& kernel, std::string_view what) {
  throw ModelError(fmt::format("gpu: kernel '{}' ({}) {}", kernel.role, kind_name(kernel), what));
}

void check_memory(const GpuParams& params, const Kernel& kernel, double bytes) {
  const double capacity = real(params.hbm_capacity.count());
  if (bytes <= capacity) return;
  refuse(kernel, fmt::format("needs at least {:.4g} GB at once; the chip's memory holds {:.4g} GB",
                             bytes / 1e9, capacity / 1e9));
}

}  // namespace

void check_kernel(const GpuParams& params, const Kernel& kernel) {
  const Size size = size_of(kernel.shape);
  // No format is narrower than four bits. Below that bound the exact bytes fit 64 bits.
  check_memory(params, kernel, std::max(size.in, size.out) / 2);
  if (size.operations > most_operations) {
    refuse(kernel, fmt::format("does {:.4g} operations; a simulated kernel does at most {:.4g}",
                               size.operations, most_operations));
  }
  const KernelWork work = work_of(kernel);
  check_memory(params, kernel,
               real(std::max(work.weight_bytes + work.read_bytes, work.write_bytes).count()));
}

void check_plan(const Kernel& kernel, const KernelPlan& plan) {
  for (const PlanPhase& phase : plan.phases) {
    const CtaProgram& program = *phase.program;
    if (program.tiles() > most_tiles) {
      refuse(kernel, fmt::format("has {} tiles of operands; a simulated kernel has at most {}",
                                 program.tiles(), most_tiles));
    }
    const std::int64_t ctas = program.ctas();
    const double turns = real(ctas) * (ctas > 0 ? program.steps(0) : 0);
    if (turns <= real(most_turns)) continue;
    refuse(kernel,
           fmt::format("has about {:.4g} main-loop turns; a simulated kernel has at most {}", turns,
                       most_turns));
  }
}

}  // namespace tandem::gpu
