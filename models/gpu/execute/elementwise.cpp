// Tables, activations, gates and sums of a pass.
#include <fmt/format.h>

#include "models/gpu/execute/bodies.hpp"
#include "models/gpu/functional_ops.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {
namespace {

/// Buffers around the activation of a dense block, of shared experts, or of routed ones.
struct ActivationRows {
  Buffer from, to;
};

ActivationRows rows_of_activation(std::string_view role) {
  if (role == "shared_activation") return {Buffer::SharedInner, Buffer::SharedActivated};
  if (role == "expert_activation") return {Buffer::ExpertInner, Buffer::ExpertActivated};
  return {Buffer::Inner, Buffer::Activated};
}

/// Token ids in the order of the chip's rows.
std::vector<std::int32_t> own_tokens(const PassState& pass) {
  std::vector<std::int32_t> tokens;
  for (const SliceOnChip& slice : pass.slices) {
    const auto first = pass.in.tokens.begin() + slice.first_in;
    tokens.insert(tokens.end(), first, first + slice.slice.new_tokens);
  }
  return tokens;
}

}  // namespace

/// Rows of the part of the table that the chip has; 0 for other tokens, which others of its gang
/// have.
void execute_embedding(const KernelCall& call) {
  const StageOnChip& on = call.on();
  const std::int64_t vocabulary = on.stage.network.vocabulary;
  const WeightMatrix& table = on.weights.outer.at("embedding");
  const std::vector<std::int32_t> tokens = own_tokens(call.pass);
  TrackedRows& hidden = call.pass.fresh(Buffer::Hidden, call.pass.tokens, on.network.hidden);
  for (std::size_t row = 0; row < tokens.size(); ++row) {
    if (tokens[row] < 0 || tokens[row] >= vocabulary) {
      throw ModelError(
          fmt::format("gpu: token {} is outside the vocabulary of {}", tokens[row], vocabulary));
    }
    const std::span<float> to = hidden.write(static_cast<std::int64_t>(row), call.span.end);
    const std::int64_t own = tokens[row] - on.weights.first_token;
    if (own < 0 || own >= table.rows) continue;
    const std::span<const float> from = table.row(own);
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = round_to(on.type(), from[i]);
  }
}

void execute_embedding_scale(const KernelCall& call) {
  const auto factor = static_cast<float>(call.on().network.embedding_scale);
  TrackedRows& hidden = call.pass.at(Buffer::Hidden);
  for (const std::int64_t row : call.on().order_of(hidden.rows())) {
    (void)hidden.read(row, call.span.start);
    for (float& value : hidden.write(row, call.span.end)) {
      value = round_to(call.on().type(), value * factor);
    }
  }
}

void execute_position_embedding(const KernelCall& call) {
  const WeightMatrix& table = call.own_weights();
  TrackedRows& hidden = call.pass.at(Buffer::Hidden);
  for (const SliceOnChip& slice : call.pass.slices) {
    for (std::int64_t i = 0; i < slice.slice.new_tokens; ++i) {
      (void)hidden.read(slice.first_row + i, call.span.start);
      const std::span<float> row = hidden.write(slice.first_row + i, call.span.end);
      const std::int64_t position = slice.position(i);
      if (position >= table.rows) {
        throw ModelError(fmt::format("gpu: position {} of a model with {} learned positions",
                                     position, table.rows));
      }
      const std::span<const float> more = table.row(position);
      for (std::size_t at = 0; at < row.size(); ++at) {
        row[at] = round_to(call.on().type(), row[at] + more[at]);
      }
    }
  }
}

void execute_activation(const KernelCall& call) {
  const auto& kernel = std::get<ActivationKernel>(call.kernel.shape);
  const ActivationRows rows = rows_of_activation(call.kernel.role);
  const TrackedRows& from = call.pass.at(rows.from);
  TrackedRows& to = call.pass.fresh(rows.to, from.rows(), kernel.intermediate);
  const ElementType type = call.on().type();
  for (const std::int64_t row : call.on().order_of(from.rows())) {
    const std::span<const float> x = from.read(row, call.span.start);
    const std::span<float> y = to.write(row, call.span.end);
    if (kernel.gated) {
      activation_row(kernel.kind, x, type, y);
    } else {
      ungated_activation_row(kernel.kind, x, type, y);
    }
  }
}

/// Shared experts times sigmoid of their gate's logit.
void execute_token_gate(const KernelCall& call) {
  const TrackedRows& gate = call.pass.at(Buffer::SharedGate);
  TrackedRows& shared = call.pass.at(Buffer::Shared);
  for (const std::int64_t row : call.on().order_of(shared.rows())) {
    const float factor = sigmoid_of(gate.read(row, call.span.start)[0]);
    (void)shared.read(row, call.span.start);
    for (float& value : shared.write(row, call.span.end)) {
      value = round_to(call.on().type(), value * factor);
    }
  }
}

void add_rows(const KernelCall& call, const TrackedRows& from, TrackedRows& to) {
  for (const std::int64_t row : call.on().order_of(from.rows())) {
    const std::span<const float> x = from.read(row, call.span.start);
    (void)to.read(row, call.span.start);
    const std::span<float> y = to.write(row, call.span.end);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] = round_to(call.on().type(), y[i] + x[i]);
  }
}

/// Shared experts join the routed ones; else a half of a layer joins the residual stream.
void execute_sum(const KernelCall& call) {
  if (call.kernel.role == "shared_sum") {
    return add_rows(call, call.pass.at(Buffer::Shared), call.pass.at(Buffer::Mixed));
  }
  add_rows(call, call.pass.at(Buffer::Mixed), call.pass.at(Buffer::Hidden));
}

void execute_logit_cap(const KernelCall& call) {
  TrackedRows& logits = call.pass.at(Buffer::Logits);
  for (const std::int64_t row : call.on().order_of(logits.rows())) {
    (void)logits.read(row, call.span.start);
    for (float& value : logits.write(row, call.span.end)) {
      value = round_to(call.on().type(), capped(value, call.on().network.final_softcap));
    }
  }
}

}  // namespace tandem::gpu
