// Norms of hidden states and of query and key heads.
#include <algorithm>
#include <cmath>

#include "models/gpu/execute/bodies.hpp"
#include "models/gpu/functional_ops.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {
namespace {

/// Where a norm of hidden states takes its rows and where it puts them.
struct NormRows {
  Buffer from, to;
};

NormRows rows_of_norm(std::string_view role) {
  if (role == "ffn_branch_norm") return {Buffer::Mixed, Buffer::Branch};
  if (role == "router_norm") return {Buffer::Hidden, Buffer::RouterInput};
  return {Buffer::Hidden, Buffer::Normed};
}

/// Gemma 4's router sees RMSNorm(x) w / sqrt(hidden) (huggingface/transformers modeling_gemma4.py).
void shrink(const KernelCall& call, std::span<float> row) {
  const double root = std::sqrt(static_cast<double>(row.size()));
  for (float& value : row) {
    value = round_to(call.on().type(), value * static_cast<float>(1 / root));
  }
}

/// Heads that a query or key norm takes at once, within a row of q, k, gate and v.
struct NormedHeads {
  std::int64_t first = 0, count = 0, width = 0;
};

NormedHeads normed_heads(const GroupedAttention& a, std::string_view role, std::int64_t row_width) {
  const ops::AttentionShape& s = a.shape;
  if (role == "value_norm") return {row_width - a.kv_width(), s.kv_heads, s.head_dim};
  const bool is_query = role == "query_norm";
  const std::int64_t first = is_query ? 0 : a.q_width();
  const std::int64_t heads = is_query ? s.heads : s.kv_heads;
  if (a.qk_norm == QkNorm::AllHeads) return {first, 1, heads * s.head_dim};
  return {first, heads, s.head_dim};
}

/// Where chips share the heads of one norm: the mean over all of them, from the sums they
/// exchanged.
void norm_shared_heads(const KernelCall& call) {
  const auto& a = std::get<GroupedAttention>(call.kind().mixer);
  const auto& whole =
      std::get<GroupedAttention>(call.on().stage.network.layer(call.kernel.layer).mixer);
  const Norm& norm = call.on().network.norm;
  const bool is_query = call.kernel.role == "query_norm";
  const std::int64_t width = is_query ? whole.q_width() : whole.kv_width();
  const TrackedRows& sums = call.pass.at(Buffer::QkSums);
  TrackedRows& qkv = call.pass.at(Buffer::Qkv);
  const NormedHeads heads = normed_heads(a, call.kernel.role, qkv.width());
  for (const std::int64_t row : call.on().order_of(qkv.rows())) {
    (void)qkv.read(row, call.span.start);
    const auto part =
        qkv.write(row, call.span.end)
            .subspan(static_cast<std::size_t>(heads.first), static_cast<std::size_t>(heads.width));
    const float mean =
        sums.read(row, call.span.start)[is_query ? 0 : 1] / static_cast<float>(width);
    norm_row_of_mean(part, call.own_weights().row(0), norm.one_plus_weight, norm.epsilon, mean,
                     call.on().type(), part);
  }
}

}  // namespace

void normalise(const KernelCall& call, std::span<const float> x, std::span<float> y) {
  const Norm& norm = call.on().network.norm;
  const std::span<const float> weight = call.own_weights().row(0);
  if (norm.kind == NormKind::Layer && call.kernel.role != "router_norm") {
    const auto& bias = call.weights().at(std::string(call.kernel.role) + ".bias");
    return layer_norm_row(x, weight, bias.row(0), norm.epsilon, call.on().type(), y);
  }
  const bool one_plus = norm.one_plus_weight && call.kernel.role != "router_norm";
  norm_row(x, weight, one_plus, norm.epsilon, call.on().type(), y);
}

void execute_hidden_norm(const KernelCall& call) {
  const NormRows rows = rows_of_norm(call.kernel.role);
  const TrackedRows& from = call.pass.at(rows.from);
  TrackedRows& to = call.pass.fresh(rows.to, from.rows(), from.width());
  for (const std::int64_t row : call.on().order_of(from.rows())) {
    const std::span<float> y = to.write(row, call.span.end);
    normalise(call, from.read(row, call.span.start), y);
    if (call.kernel.role == "router_norm") shrink(call, y);
  }
}

/// Norm of what a half adds; the residual stream, or the other branch, joins it.
void execute_post_norm(const KernelCall& call) {
  const bool joins_branch = call.kernel.role == "experts_post_norm";
  TrackedRows& mixed = call.pass.at(Buffer::Mixed);
  TrackedRows& sum = call.pass.at(joins_branch ? Buffer::Branch : Buffer::Hidden);
  for (const std::int64_t row : call.on().order_of(mixed.rows())) {
    const std::span<const float> x = mixed.read(row, call.span.start);
    normalise(call, x, mixed.write(row, call.span.end));
    (void)sum.read(row, call.span.start);
    const std::span<float> y = sum.write(row, call.span.end);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] = round_to(call.on().type(), y[i] + x[i]);
    if (joins_branch) std::copy(y.begin(), y.end(), mixed.write(row, call.span.end).begin());
  }
}

void execute_qk_norm(const KernelCall& call) {
  const auto& a = std::get<GroupedAttention>(call.kind().mixer);
  const bool is_shared = call.on().stage.shard.of.group_ranks() > 1;
  if (a.qk_norm == QkNorm::AllHeads && is_shared && call.kernel.role != "value_norm") {
    return norm_shared_heads(call);
  }
  const Norm& norm = call.on().network.norm;
  TrackedRows& qkv = call.pass.at(Buffer::Qkv);
  const NormedHeads heads = normed_heads(a, call.kernel.role, qkv.width());
  const WeightMatrix* weight = call.weights().find(call.kernel.role);
  const auto factors = weight == nullptr ? std::span<const float>() : weight->row(0);
  for (const std::int64_t row : call.on().order_of(qkv.rows())) {
    (void)qkv.read(row, call.span.start);
    const auto values =
        qkv.write(row, call.span.end).subspan(static_cast<std::size_t>(heads.first));
    for (std::int64_t head = 0; head < heads.count; ++head) {
      const auto part = part_of(values, head, heads.width);
      norm_row(part, factors, norm.one_plus_weight, norm.epsilon, call.on().type(), part);
    }
  }
}

/// The two halves of what a module of multi-token prediction joins.
void execute_joined_norm(const KernelCall& call) {
  const bool is_first = call.kernel.role == "mtp_embedding_norm";
  const TrackedRows& from = call.pass.at(is_first ? Buffer::Hidden : Buffer::Given);
  const std::int64_t width = from.width();
  TrackedRows& joined = is_first ? call.pass.fresh(Buffer::Joined, from.rows(), 2 * width)
                                 : call.pass.at(Buffer::Joined);
  for (const std::int64_t row : call.on().order_of(from.rows())) {
    const auto half = part_of(joined.write(row, call.span.end), is_first ? 0 : 1, width);
    normalise(call, from.read(row, call.span.start), half);
  }
}

/// The rows of all tokens, for modules of multi-token prediction.
void norm_handed_on(const KernelCall& call) {
  const TrackedRows& hidden = call.pass.at(Buffer::Hidden);
  TrackedRows& all = call.pass.fresh(Buffer::HandedOn, hidden.rows(), hidden.width());
  for (const std::int64_t row : call.on().order_of(hidden.rows())) {
    normalise(call, hidden.read(row, call.span.start), all.write(row, call.span.end));
  }
}

/// The final norm over the last rows of each slice, those that are sampled from, and over all where
/// they are handed on.
void execute_final_norm(const KernelCall& call) {
  if (call.on().stage.hands_on_hidden) norm_handed_on(call);
  const TrackedRows& hidden = call.pass.at(Buffer::Hidden);
  TrackedRows& final = call.pass.fresh(Buffer::Final, call.pass.sampled, hidden.width());
  std::int64_t sampled = 0;
  for (const SliceOnChip& slice : call.pass.slices) {
    const std::int64_t end = slice.first_row + slice.slice.new_tokens;
    for (std::int64_t row = end - slice.slice.sampled(); row < end; ++row) {
      normalise(call, hidden.read(row, call.span.start), final.write(sampled++, call.span.end));
    }
  }
}

}  // namespace tandem::gpu
