// Mixtures of experts of a pass: routing, rows sorted by expert, one product per expert, the
// weighted sum.
#include <algorithm>

#include "models/gpu/execute/bodies.hpp"
#include "models/gpu/execute/expert_rows.hpp"
#include "models/gpu/execute/product_row.hpp"
#include "models/gpu/execute/routing.hpp"
#include "models/gpu/functional_ops.hpp"
#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/plan_grouped.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {
namespace {

const Experts& experts_of(const KernelCall& call) {
  return *call.kind().ffn.experts;
}

/// Output tiles of one expert's product.
struct ExpertTiles {
  std::int64_t tile_m = 1, tile_n = 1;
};

/// The tiling that the kernel's plan has; a row at a time where no kernel of the pass does it.
ExpertTiles tiles_of_product(const KernelCall& call) {
  const auto* kernel = std::get_if<GroupedGemmKernel>(&call.kernel.shape);
  if (kernel == nullptr) return {1, 1};
  const GroupedTiling tiling = choose_grouped(call.on().chip.params(), *kernel);
  return {tiling.tile_m, tiling.tile_n};
}

/// One expert's rows by its matrix, tile by tile.
class ExpertProduct {
 public:
  ExpertProduct(const KernelCall& call, const TrackedRows& from, TrackedRows& to)
      : call_(call),
        from_(from),
        to_(to),
        tiles_(tiles_of_product(call)),
        weights_(call.own_weights()),
        bias_(call.weights().find(std::string(call.kernel.role) + ".bias")) {}

  void run(std::int64_t expert, ShareRange rows) const {
    const std::int64_t columns = to_.width();
    const std::int64_t tiles_m = ceil_div(rows.size(), tiles_.tile_m);
    const std::int64_t tiles_n = ceil_div(columns, tiles_.tile_n);
    for (const std::int64_t cta : call_.on().order_of(tiles_m * tiles_n)) {
      const std::int64_t first_row = rows.begin + cta % tiles_m * tiles_.tile_m;
      const std::int64_t first_column = cta / tiles_m * tiles_.tile_n;
      const std::int64_t last_row = std::min(rows.end, first_row + tiles_.tile_m);
      for (std::int64_t row = first_row; row < last_row; ++row) {
        fill(expert, row, {first_column, std::min(columns, first_column + tiles_.tile_n)});
      }
    }
  }

 private:
  void fill(std::int64_t expert, std::int64_t row, ShareRange columns) const {
    const ProductRow x(call_.on(), from_.read(row, call_.span.start), weights_);
    const std::span<float> y = to_.write(row, call_.span.end);
    const std::int64_t first = expert * to_.width();
    for (std::int64_t column = columns.begin; column < columns.end; ++column) {
      float sum = x.dot(first + column);
      if (bias_ != nullptr) sum += bias_->values[index_of(first + column)];
      y[index_of(column)] = round_to(call_.on().type(), sum);
    }
  }

  const KernelCall& call_;
  const TrackedRows& from_;
  TrackedRows& to_;
  ExpertTiles tiles_;
  const WeightMatrix& weights_;
  const WeightMatrix* bias_;
};

bool is_down(std::string_view role) {
  return role == "expert_down_projection";
}

void multiply_experts(const KernelCall& call) {
  PassState& pass = call.pass;
  const ExpertRows& experts = pass.experts;
  const TrackedRows& from =
      pass.at(is_down(call.kernel.role) ? Buffer::ExpertActivated : Buffer::Sent);
  const std::int64_t held = static_cast<std::int64_t>(experts.first.size()) - 1;
  TrackedRows& to = pass.fresh(is_down(call.kernel.role) ? Buffer::ExpertOut : Buffer::ExpertInner,
                               from.rows(), call.own_weights().rows / held);
  const ExpertProduct product(call, from, to);
  for (const std::int64_t expert : call.on().order_of(held)) {
    product.run(expert, {experts.first[index_of(expert)], experts.first[index_of(expert) + 1]});
  }
}

}  // namespace

/// Per token its choices as pairs of expert and weight, best first.
void execute_router(const KernelCall& call) {
  const Experts& experts = experts_of(call);
  const WeightMatrix* bias = call.weights().find("router.bias");
  const WeightMatrix* scale = call.weights().find("router.scale");
  const TrackedRows& logits = call.pass.at(Buffer::RouterLogits);
  TrackedRows& routes = call.pass.fresh(Buffer::Routes, logits.rows(), 2 * experts.router.top_k);
  for (const std::int64_t row : call.on().order_of(logits.rows())) {
    const auto own_bias = bias == nullptr ? std::span<const float>() : bias->row(0);
    const auto choices =
        choose_experts(experts.router, logits.read(row, call.span.start), own_bias);
    const std::span<float> out = routes.write(row, call.span.end);
    for (std::size_t i = 0; i < choices.size(); ++i) {
      const float factor = scale == nullptr ? 1.0F : scale->values[index_of(choices[i].expert)];
      out[2 * i] = static_cast<float>(choices[i].expert);
      out[2 * i + 1] = choices[i].weight * factor;
    }
  }
}

/// Copies each row once per choice that the chip holds, sorted by expert.
void execute_dispatch(const KernelCall& call) {
  const TrackedRows& normed = call.pass.at(Buffer::Normed);
  const TrackedRows& routes = call.pass.at(Buffer::Routes);
  const ShareRange held = held_experts(
      *call.on().stage.network.layer(call.kernel.layer).ffn.experts, call.on().stage.shard);
  ExpertSorter sorter(held.size());
  for (std::int64_t row = 0; row < routes.rows(); ++row) {
    const std::span<const float> choices = routes.read(row, call.span.start);
    for (std::size_t i = 0; 2 * i < choices.size(); ++i) {
      const auto expert = static_cast<std::int64_t>(choices[2 * i]) - held.begin;
      if (expert < 0 || expert >= held.size()) continue;
      sorter.add(expert, {0, row, static_cast<std::int64_t>(i)});
    }
  }
  call.pass.experts = sorter.take();
  const auto& places = call.pass.experts.places;
  TrackedRows& sent =
      call.pass.fresh(Buffer::Sent, static_cast<std::int64_t>(places.size()), normed.width());
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto from = normed.read(places[i].row, call.span.start);
    std::ranges::copy(from, sent.write(static_cast<std::int64_t>(i), call.span.end).begin());
  }
}

void execute_expert_product(const KernelCall& call) {
  if (call.kernel.role == "expert_activation") {
    execute_activation(call);
  } else {
    multiply_experts(call);
  }
  ++call.pass.experts.products_done;
}

void finish_experts(PassState& pass, std::int64_t layer, Picoseconds at) {
  const FeedForward& ffn = pass.on.network.layer(layer).ffn;
  const TrackedRows& sent = pass.at(Buffer::Sent);
  Kernel kernel;
  kernel.layer = layer;
  const KernelCall call{kernel, {at, at}, pass};
  if (pass.experts.products_done == 0) {
    kernel.role = ffn.gated ? "expert_gate_up_projection" : "expert_up_projection";
    execute_expert_product(call);
  }
  if (pass.experts.products_done == 1) {
    kernel.role = "expert_activation";
    kernel.shape =
        ActivationKernel{sent.rows(), ffn.experts->intermediate, ffn.activation, ffn.gated};
    execute_expert_product(call);
    kernel.shape = EmbeddingKernel{};
  }
  if (pass.experts.products_done == 2) {
    kernel.role = "expert_down_projection";
    execute_expert_product(call);
  }
}

/// Sum over a token's choices in their order, rounded; shared experts and the residual stream join
/// it one after the other, each sum rounded, as the kernels of a gang do it.
void execute_combine(const KernelCall& call) {
  const auto& kernel = std::get<CombineKernel>(call.kernel.shape);
  PassState& pass = call.pass;
  finish_experts(pass, call.kernel.layer, call.span.start);
  const TrackedRows& routes = pass.at(Buffer::Routes);
  const TrackedRows& out = pass.at(Buffer::ExpertOut);
  TrackedRows& to = kernel.adds_residual ? pass.at(Buffer::Hidden)
                                         : pass.fresh(Buffer::Mixed, kernel.tokens, kernel.hidden);
  const auto places = pass.experts.by_choice(kernel.tokens, kernel.top_k);
  for (const std::int64_t row : call.on().order_of(kernel.tokens)) {
    const std::span<const float> choices = routes.read(row, call.span.start);
    ExpertSum sum(kernel.hidden);
    for (std::size_t choice = 0; 2 * choice < choices.size(); ++choice) {
      const std::int64_t place = places[index_of(row)][choice];
      if (place < 0) continue;  // another chip's
      sum.add(choices[2 * choice + 1], out.read(place, call.span.start));
    }
    sum.round(call.on().type());
    if (kernel.shared)
      sum.join(pass.at(Buffer::Shared).read(row, call.span.start), call.on().type());
    if (kernel.adds_residual) sum.join(to.read(row, call.span.start), call.on().type());
    std::ranges::copy(sum.values(), to.write(row, call.span.end).begin());
  }
}

}  // namespace tandem::gpu
