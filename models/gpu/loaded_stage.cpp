#include "models/gpu/loaded_stage.hpp"

#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "models/gpu/functional_ops.hpp"
#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/kv_store.hpp"
#include "models/gpu/pass_residency.hpp"
#include "models/gpu/plan_gemm.hpp"
#include "models/gpu/planned_attention.hpp"
#include "models/gpu/stage_weights.hpp"
#include "models/gpu/tracked_rows.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {
namespace {

/// When a kernel runs.
struct Span {
  Picoseconds start, end;
};

/// The tensors of one pass.
struct Pass {
  const Batch& batch;
  TrackedRows hidden, normed, qkv, attended, gate_up, activated, final, logits;
};

class GpuLoadedStage final : public LoadedStage {
 public:
  GpuLoadedStage(const GpuChip& chip, const Stage& stage, const Weights& weights,
                 std::int64_t max_context, CtaOrder order, SumOrder sums)
      : chip_(chip),
        stage_(stage),
        network_(dense_decoder_of(stage.network, "gpu")),
        weights_(cut_weights(stage, weights)),
        rope_(network_, max_context),
        max_context_(max_context),
        order_(order),
        sums_(sums) {}

  StageCost run(const Batch& batch, const StageData& in, StageData& out) override;
  [[nodiscard]] KvBlock export_kv(std::int64_t request) const override {
    return to_block(stage_, kv_of(request));
  }
  void import_kv(std::int64_t request, const KvBlock& block) override {
    kv_.insert_or_assign(request, from_block(stage_, block));
  }
  void release(std::int64_t request) override { kv_.erase(request); }

 private:
  [[nodiscard]] ElementType type() const { return stage_.precision.activations; }
  [[nodiscard]] ElementType math() const {
    return math_type(stage_.precision.weights, stage_.precision.activations);
  }
  void open_requests(const Batch& batch);
  [[nodiscard]] Pass make_pass(const Batch& batch, const StageData& in) const;
  void execute(const Kernel& kernel, const StageData& in, Pass& pass, Span span);
  void embed(const StageData& in, Pass& pass, Span span) const;
  void norm(const TrackedRows& x, const WeightMatrix& weight, TrackedRows& y, Span span) const;
  void gemm(const GemmKernel& kernel, const TrackedRows& a, const WeightMatrix& b, TrackedRows& c,
            Span span) const;
  void rope(std::size_t layer, Pass& pass, Span span);
  void attention(std::size_t layer, Pass& pass, Span span);
  void attend_as_planned(const AttentionKernel& kernel, std::size_t layer, Pass& pass, Span span);
  void attend_row(const RequestKv& kv, std::size_t layer, std::int64_t position, std::int64_t head,
                  std::span<const float> query, std::span<float> out, Span span) const;
  void activate(Pass& pass, Span span) const;
  void pick_sampled(Pass& pass, Span span) const;
  [[nodiscard]] std::vector<std::int64_t> order_of(std::int64_t ctas) const;
  [[nodiscard]] const RequestKv& kv_of(std::int64_t request) const;

  const GpuChip& chip_;
  Stage stage_;
  DenseDecoder network_;
  StageWeights weights_;
  RopeTable rope_;
  std::int64_t max_context_;
  CtaOrder order_;
  SumOrder sums_;
  std::map<std::int64_t, RequestKv> kv_;
};

std::vector<std::int64_t> GpuLoadedStage::order_of(std::int64_t ctas) const {
  std::vector<std::int64_t> order(static_cast<std::size_t>(ctas));
  std::iota(order.begin(), order.end(), 0);
  if (order_ == CtaOrder::Reversed) return {order.rbegin(), order.rend()};
  return order;
}

const RequestKv& GpuLoadedStage::kv_of(std::int64_t request) const {
  const auto found = kv_.find(request);
  if (found == kv_.end()) {
    throw ModelError(fmt::format("gpu: request {} has no KV on this chip", request));
  }
  return found->second;
}

/// Checks every slice against the KV that is there, and makes room for the new tokens.
void GpuLoadedStage::open_requests(const Batch& batch) {
  const auto layers = static_cast<std::size_t>(stage_.layers);
  const std::int64_t width = network_.kv_width();
  for (const SequenceSlice& slice : batch.slices) {
    RequestKv& kv = kv_[slice.request];
    while (kv.keys.size() < layers) {
      kv.keys.emplace_back("keys", 0, width);
      kv.values.emplace_back("values", 0, width);
    }
    const std::int64_t held = layers == 0 ? slice.context : kv.keys[0].rows();
    if (held != slice.context) {
      throw ModelError(fmt::format("gpu: request {} holds KV of {} tokens, the batch says {}",
                                   slice.request, held, slice.context));
    }
    if (slice.context + slice.new_tokens > max_context_) {
      throw ModelError(fmt::format("gpu: request {} grows to {} tokens, loaded for {}",
                                   slice.request, slice.context + slice.new_tokens, max_context_));
    }
    for (std::size_t layer = 0; layer < layers; ++layer) {
      for (TrackedRows* rows : {&kv.keys[layer], &kv.values[layer]}) {
        rows->settle();
        rows->grow(slice.new_tokens);
      }
    }
  }
}

Pass GpuLoadedStage::make_pass(const Batch& batch, const StageData& in) const {
  const DenseDecoder& net = network_;
  const std::int64_t tokens = batch.tokens();
  Pass pass{batch,
            {"hidden", tokens, net.hidden},
            {"normed", tokens, net.hidden},
            {"qkv", tokens, net.q_width() + 2 * net.kv_width()},
            {"attended", tokens, net.q_width()},
            {"gate_up", tokens, 2 * net.intermediate},
            {"activated", tokens, net.intermediate},
            {"final", batch.sampled(), net.hidden},
            {"logits", batch.sampled(), stage_.head_end - stage_.head_begin}};
  if (stage_.has_embedding) {
    if (static_cast<std::int64_t>(in.tokens.size()) != tokens) {
      throw ModelError(
          fmt::format("gpu: {} token ids for a batch of {}", in.tokens.size(), tokens));
    }
    return pass;
  }
  if (in.hidden.elements() != tokens * net.hidden) {
    throw ModelError(fmt::format("gpu: {} hidden values for a batch of {} tokens of {}",
                                 in.hidden.elements(), tokens, net.hidden));
  }
  for (std::int64_t row = 0; row < tokens; ++row) {
    const std::span<float> to = pass.hidden.write(row, Picoseconds(0));
    for (std::int64_t i = 0; i < net.hidden; ++i) {
      to[static_cast<std::size_t>(i)] = in.hidden.load(row * net.hidden + i);
    }
  }
  return pass;
}

StageCost GpuLoadedStage::run(const Batch& batch, const StageData& in, StageData& out) {
  Pass pass = make_pass(batch, in);
  open_requests(batch);
  Picoseconds now(0);
  PassResidency residency(chip_.params());
  for (const Kernel& kernel : lower(stage_, batch).kernels) {
    const Picoseconds time =
        chip_.simulated(kernel, reused_state(residency.enter(kernel)), chip_.params().clock)
            .timing.time;
    execute(kernel, in, pass, {now, now + time});
    now += time;
  }
  const auto write_out = [&](const TrackedRows& rows, ElementType as) {
    Tensor tensor(as, {rows.rows(), rows.width()});
    for (std::int64_t row = 0; row < rows.rows(); ++row) {
      const std::span<const float> values = rows.read(row, now);
      for (std::int64_t i = 0; i < rows.width(); ++i) {
        tensor.store(row * rows.width() + i, values[static_cast<std::size_t>(i)]);
      }
    }
    return tensor;
  };
  if (stage_.has_head()) {
    out.logits = write_out(pass.logits, ElementType::Float32);
  } else {
    out.hidden = write_out(pass.hidden, type());
  }
  return chip_.simulate(stage_, batch, nullptr);
}

void GpuLoadedStage::execute(const Kernel& kernel, const StageData& in, Pass& pass, Span span) {
  const std::string_view role = kernel.role;
  const auto index = static_cast<std::size_t>(kernel.layer - stage_.first_layer);
  const auto layer = [&]() -> const StageLayer& { return weights_.layers[index]; };
  const auto product = [&](const TrackedRows& a, const WeightMatrix& b, TrackedRows& c) {
    gemm(std::get<GemmKernel>(kernel.shape), a, b, c, span);
  };
  if (role == "embedding") return embed(in, pass, span);
  if (role == "attention_norm") return norm(pass.hidden, layer().attention_norm, pass.normed, span);
  if (role == "qkv_projection") return product(pass.normed, layer().qkv, pass.qkv);
  if (role == "rope") return rope(index, pass, span);
  if (role == "attention" && sums_ == SumOrder::Planned) {
    return attend_as_planned(std::get<AttentionKernel>(kernel.shape), index, pass, span);
  }
  if (role == "attention") return attention(index, pass, span);
  if (role == "output_projection") return product(pass.attended, layer().output, pass.hidden);
  if (role == "ffn_norm") return norm(pass.hidden, layer().ffn_norm, pass.normed, span);
  if (role == "gate_up_projection") return product(pass.normed, layer().gate_up, pass.gate_up);
  if (role == "activation") return activate(pass, span);
  if (role == "down_projection") return product(pass.activated, layer().down, pass.hidden);
  if (role == "final_norm") return pick_sampled(pass, span);
  if (role == "lm_head") return product(pass.final, weights_.head, pass.logits);
  if (role == "sample") return;  // who asked for the logits picks the token
  throw ModelError(fmt::format("gpu: cannot execute a kernel of role '{}'", role));
}

void GpuLoadedStage::embed(const StageData& in, Pass& pass, Span span) const {
  for (std::size_t row = 0; row < in.tokens.size(); ++row) {
    const std::int32_t token = in.tokens[row];
    if (token < 0 || token >= weights_.embedding.rows) {
      throw ModelError(fmt::format("gpu: token {} is outside the vocabulary of {}", token,
                                   weights_.embedding.rows));
    }
    const std::span<const float> from = weights_.embedding.row(token);
    const std::span<float> to = pass.hidden.write(static_cast<std::int64_t>(row), span.end);
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = round_to(type(), from[i]);
  }
}

void GpuLoadedStage::norm(const TrackedRows& x, const WeightMatrix& weight, TrackedRows& y,
                          Span span) const {
  for (const std::int64_t row : order_of(x.rows())) {
    norm_row(x.read(row, span.start), weight.row(0), network_.norm_epsilon, type(),
             y.write(row, span.end));
  }
}

/// Walks the output tiles of the plan; the CTA of the last part of a split K finishes the tile. The
/// parts are one ascending sum unless sums follow the plan.
void GpuLoadedStage::gemm(const GemmKernel& kernel, const TrackedRows& a, const WeightMatrix& b,
                          TrackedRows& c, Span span) const {
  const GemmTiling tiling = choose_tiling(chip_.params(), kernel);
  const GemmGrid grid = grid_of(kernel, tiling);
  const std::int64_t part =
      sums_ == SumOrder::Planned ? grid.slices_per_split * tiling.slice_k : kernel.k;
  std::vector<std::span<float>> rows;
  for (std::int64_t row = 0; row < kernel.m; ++row) {
    if (kernel.adds_residual) (void)c.read(row, span.start);
    rows.push_back(c.write(row, span.end));
  }
  for (const std::int64_t cta : order_of(grid.tiles_m * grid.tiles_n * tiling.split)) {
    const TileCoordinates tile = raster(grid, raster_group, cta);
    if (tile.split != tiling.split - 1) continue;
    const std::int64_t last_row = std::min(kernel.m, (tile.m + 1) * tiling.tile_m);
    const std::int64_t last_column = std::min(kernel.n, (tile.n + 1) * tiling.tile_n);
    for (std::int64_t row = tile.m * tiling.tile_m; row < last_row; ++row) {
      const std::span<const float> x = a.read(row, span.start);
      const std::span<float> y = rows[static_cast<std::size_t>(row)];
      for (std::int64_t column = tile.n * tiling.tile_n; column < last_column; ++column) {
        float& value = y[static_cast<std::size_t>(column)];
        const float sum = matrix_dot_in_parts(math(), x, b.row(column), part);
        value = round_to(type(), kernel.adds_residual ? value + sum : sum);
      }
    }
  }
}

void GpuLoadedStage::rope(std::size_t layer, Pass& pass, Span span) {
  const DenseDecoder& net = network_;
  const auto head_dim = static_cast<std::size_t>(net.head_dim);
  const auto q_width = static_cast<std::size_t>(net.q_width());
  const auto kv_width = static_cast<std::size_t>(net.kv_width());
  std::int64_t row = 0;
  for (const SequenceSlice& slice : pass.batch.slices) {
    RequestKv& kv = kv_.at(slice.request);
    for (std::int64_t i = 0; i < slice.new_tokens; ++i, ++row) {
      (void)pass.qkv.read(row, span.start);
      const std::span<float> qkv = pass.qkv.write(row, span.end);
      const std::int64_t position = slice.context + i;
      for (std::size_t at = 0; at < q_width + kv_width; at += head_dim) {
        rope_.rotate(position, qkv.subspan(at, head_dim));
      }
      for (std::size_t at = 0; at < q_width; ++at) qkv[at] = round_to(type(), qkv[at]);
      const std::span<float> key = kv.keys[layer].write(position, span.end);
      const std::span<float> value = kv.values[layer].write(position, span.end);
      for (std::size_t at = 0; at < kv_width; ++at) {
        key[at] = round_to(stage_.precision.kv_cache, qkv[q_width + at]);
        value[at] = round_to(stage_.precision.kv_cache, qkv[q_width + kv_width + at]);
      }
    }
  }
}

void GpuLoadedStage::attend_row(const RequestKv& kv, std::size_t layer, std::int64_t position,
                                std::int64_t head, std::span<const float> query,
                                std::span<float> out, Span span) const {
  const DenseDecoder& net = network_;
  const auto head_dim = static_cast<std::size_t>(net.head_dim);
  const std::size_t offset = static_cast<std::size_t>(head / (net.heads / net.kv_heads)) * head_dim;
  const ElementType math = math_type(stage_.precision.kv_cache, type());
  const float scale = std::sqrt(static_cast<float>(net.head_dim));
  OnlineSoftmax softmax(net.head_dim);
  std::vector<float> scores;
  for (std::int64_t begin = 0; begin <= position; begin += fold_tokens) {
    const std::int64_t end = std::min(position + 1, begin + fold_tokens);
    scores.clear();
    for (std::int64_t t = begin; t < end; ++t) {
      const auto key = kv.keys[layer].read(t, span.start).subspan(offset, head_dim);
      scores.push_back(matrix_dot(math, query, key) / scale);
    }
    softmax.fold(scores, [&](std::int64_t i) {
      return kv.values[layer].read(begin + i, span.start).subspan(offset, head_dim);
    });
  }
  softmax.finish(type(), out);
}

/// One unit of work per query head and row, in the order of heads within rows.
void GpuLoadedStage::attention(std::size_t layer, Pass& pass, Span span) {
  const DenseDecoder& net = network_;
  const auto head_dim = static_cast<std::size_t>(net.head_dim);
  std::int64_t first = 0;
  for (const SequenceSlice& slice : pass.batch.slices) {
    const RequestKv& kv = kv_.at(slice.request);
    for (const std::int64_t i : order_of(slice.new_tokens)) {
      const std::span<const float> q = pass.qkv.read(first + i, span.start);
      const std::span<float> out = pass.attended.write(first + i, span.end);
      for (const std::int64_t head : order_of(net.heads)) {
        const std::size_t at = static_cast<std::size_t>(head) * head_dim;
        attend_row(kv, layer, slice.context + i, head, q.subspan(at, head_dim),
                   out.subspan(at, head_dim), span);
      }
    }
    first += slice.new_tokens;
  }
}

void GpuLoadedStage::attend_as_planned(const AttentionKernel& kernel, std::size_t layer, Pass& pass,
                                       Span span) {
  std::vector<std::int64_t> first_row{0};
  for (const SequenceSlice& slice : pass.batch.slices) {
    first_row.push_back(first_row.back() + slice.new_tokens);
  }
  const auto kv_of_span = [&](std::size_t at) -> const RequestKv& {
    return kv_.at(pass.batch.slices[at].request);
  };
  std::vector<std::span<float>> out;
  for (std::int64_t row = 0; row < first_row.back(); ++row) {
    out.push_back(pass.attended.write(row, span.end));
  }
  AttentionRows rows;
  rows.query = [&](std::size_t at, std::int64_t i) {
    return pass.qkv.read(first_row[at] + i, span.start);
  };
  rows.key = [&](std::size_t at, std::int64_t token) {
    return kv_of_span(at).keys[layer].read(token, span.start);
  };
  rows.value = [&](std::size_t at, std::int64_t token) {
    return kv_of_span(at).values[layer].read(token, span.start);
  };
  rows.out = [&](std::size_t at, std::int64_t i) {
    return out[static_cast<std::size_t>(first_row[at] + i)];
  };
  planned_attention(chip_.params(), kernel, rows);
}

void GpuLoadedStage::activate(Pass& pass, Span span) const {
  for (const std::int64_t row : order_of(pass.gate_up.rows())) {
    activation_row(pass.gate_up.read(row, span.start), type(), pass.activated.write(row, span.end));
  }
}

/// The final norm over the last row of each slice that is sampled from.
void GpuLoadedStage::pick_sampled(Pass& pass, Span span) const {
  std::int64_t row = 0;
  std::int64_t sampled = 0;
  for (const SequenceSlice& slice : pass.batch.slices) {
    row += slice.new_tokens;
    if (!slice.wants_logits) continue;
    norm_row(pass.hidden.read(row - 1, span.start), weights_.final_norm.row(0),
             network_.norm_epsilon, type(), pass.final.write(sampled++, span.end));
  }
}

}  // namespace

std::unique_ptr<LoadedStage> load_on_gpu(const GpuChip& chip, const Stage& stage,
                                         const Weights& weights, std::int64_t max_context,
                                         CtaOrder order, SumOrder sums) {
  return std::make_unique<GpuLoadedStage>(chip, stage, weights, max_context, order, sums);
}

}  // namespace tandem::gpu
