#include "models/gpu/execute/exchanges.hpp"

#include <fmt/format.h>

#include "models/gpu/execute/sent_rows.hpp"
#include "models/gpu/functional_ops.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/numerics/dot.hpp"

namespace tandem::gpu {
namespace {

Tensor tensor_of(const TrackedRows& rows, ElementType type, Picoseconds now) {
  Tensor tensor(type, {rows.rows(), rows.width()});
  for (std::int64_t row = 0; row < rows.rows(); ++row) store_row(rows.read(row, now), tensor, row);
  return tensor;
}

void check_elements(const Exchange& exchange, const Tensor& tensor, std::int64_t elements) {
  if (tensor.elements() == elements) return;
  throw ModelError(fmt::format("gpu: '{}' gave a chip {} elements instead of {}", exchange.role,
                               tensor.elements(), elements));
}

/// Sums of squares of the query and key heads of each row. KV heads that several chips hold count
/// on the first of them.
Tensor qk_sums(const Exchange& exchange, PassState& pass, Picoseconds now) {
  const LayerKind& own = pass.on.network.layer(exchange.layer);
  const LayerKind& whole = pass.on.stage.network.layer(exchange.layer);
  const auto& a = std::get<GroupedAttention>(own.mixer);
  const std::int64_t kv_heads = std::get<GroupedAttention>(whole.mixer).shape.kv_heads;
  const std::int64_t tensor_ranks = pass.on.stage.shard.of.tensor;
  const std::int64_t holders = std::max<std::int64_t>(1, tensor_ranks / kv_heads);
  const bool counts_keys = pass.on.stage.shard.group_rank() % holders == 0;
  const TrackedRows& qkv = pass.at(Buffer::Qkv);
  Tensor sums(exchange.type, {qkv.rows(), 2});
  for (std::int64_t row = 0; row < qkv.rows(); ++row) {
    const std::span<const float> values = qkv.read(row, now);
    const auto q = values.first(index_of(a.q_width()));
    const auto k = values.subspan(q.size(), index_of(a.kv_width()));
    sums.store(2 * row, dot_float32(q, q));
    sums.store(2 * row + 1, counts_keys ? dot_float32(k, k) : 0.0F);
  }
  return sums;
}

/// Replaces the residual stream, or adds to it what a half of a layer made on all chips.
void take_sum(const Exchange& exchange, PassState& pass, const Tensor& sum, Picoseconds now) {
  const std::int64_t rows = sum.elements() / exchange.width;
  const bool starts = exchange.role == "embedding_reduce";
  const bool joins = exchange.adds_residual;
  TrackedRows& to =
      starts || joins ? pass.at(Buffer::Hidden) : pass.fresh(Buffer::Mixed, rows, exchange.width);
  for (std::int64_t row = 0; row < rows; ++row) {
    if (joins) (void)to.read(row, now);
    const std::span<float> values = to.write(row, now);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float value = sum.load(row * exchange.width + static_cast<std::int64_t>(i));
      values[i] = round_to(pass.on.type(), joins ? values[i] + value : value);
    }
  }
}

/// The rows of the residual stream that the chip owns from here on.
void keep_own_rows(PassState& pass, Picoseconds now) {
  const Shard& shard = pass.on.stage.shard;
  const TrackedRows all = pass.at(Buffer::Hidden);
  const ShareRange own = tandem::share_of(all.rows(), shard.of.group_ranks(), shard.group_rank());
  TrackedRows& hidden = pass.fresh(Buffer::Hidden, own.size(), all.width());
  for (std::int64_t row = 0; row < own.size(); ++row) {
    const std::span<const float> from = all.read(own.begin + row, now);
    std::copy(from.begin(), from.end(), hidden.write(row, now).begin());
  }
}

void take_rows(const Tensor& tensor, TrackedRows& to, Picoseconds now) {
  for (std::int64_t row = 0; row < to.rows(); ++row) load_row(tensor, row, to.write(row, now));
}

/// Parts of all chips one after the other, each of all rows but some of the vocabulary.
void take_logits(const Exchange& exchange, PassState& pass, const Tensor& parts, Picoseconds now) {
  const Shard& shard = pass.on.stage.shard;
  TrackedRows& logits = pass.fresh(Buffer::Logits, exchange.rows, exchange.width);
  std::vector<std::span<float>> rows;
  for (std::int64_t row = 0; row < exchange.rows; ++row) rows.push_back(logits.write(row, now));
  std::int64_t at = 0;
  for (std::int64_t part = 0; part < shard.of.group_ranks(); ++part) {
    const ShareRange columns = tandem::share_of(exchange.width, shard.of.group_ranks(), part);
    for (std::span<float> row : rows) {
      for (std::int64_t i = columns.begin; i < columns.end; ++i)
        row[index_of(i)] = parts.load(at++);
    }
  }
}

bool is_sum(const Exchange& exchange) {
  return exchange.op == CollectiveOp::AllReduce || exchange.op == CollectiveOp::ReduceScatter;
}

[[noreturn]] void refuse(const Exchange& exchange) {
  throw ModelError(fmt::format(
      "gpu: '{}' has no functional form yet: chips that share cached tokens are only timed",
      exchange.role));
}

}  // namespace

std::vector<Tensor> bring_to(const Exchange& exchange, PassState& pass, Picoseconds now) {
  const std::string_view role = exchange.role;
  if (exchange.op == CollectiveOp::MoeDispatch) return rows_for_experts(exchange, pass, now);
  if (exchange.op == CollectiveOp::MoeCombine) return rows_of_experts(exchange, pass, now);
  // Where the attention group has no tokens, no kernel has made any rows.
  if (exchange.rows == 0) return {Tensor(exchange.type, {0, exchange.width})};
  if (role == "qk_norm_reduce") return {qk_sums(exchange, pass, now)};
  if (role == "token_mixer" && !pass.buffers.contains(Buffer::Hidden)) return {Tensor()};
  const bool goes_elsewhere = exchange.group == RankGroup::Elsewhere;
  if (goes_elsewhere || role == "embedding_reduce" || role == "hidden_gather") {
    return {tensor_of(pass.at(Buffer::Hidden), exchange.type, now)};
  }
  if (role == "logits_gather") return {tensor_of(pass.at(Buffer::Logits), exchange.type, now)};
  if (is_sum(exchange)) return {tensor_of(pass.at(Buffer::Mixed), exchange.type, now)};
  refuse(exchange);
}

void take_from(const Exchange& exchange, PassState& pass, const std::vector<Tensor>& results,
               Picoseconds now) {
  if (exchange.op == CollectiveOp::MoeDispatch) return take_sent_rows(exchange, pass, results, now);
  if (exchange.op == CollectiveOp::MoeCombine)
    return take_expert_rows(exchange, pass, results, now);
  if (results.size() != 1) throw ModelError("gpu: an exchange gave a chip several tensors");
  if (exchange.rows == 0) return;
  const Tensor& result = results.front();
  if (exchange.op == CollectiveOp::ReduceScatter) {
    keep_own_rows(pass, now);
    check_elements(exchange, result, pass.at(Buffer::Hidden).rows() * exchange.width);
    return take_sum(exchange, pass, result, now);
  }
  check_elements(exchange, result, exchange.rows * exchange.width);
  if (exchange.role == "qk_norm_reduce") {
    return take_rows(result, pass.fresh(Buffer::QkSums, exchange.rows, 2), now);
  }
  if (exchange.role == "hidden_gather" || exchange.group == RankGroup::Elsewhere) {
    return take_rows(result, pass.fresh(Buffer::Hidden, exchange.rows, exchange.width), now);
  }
  if (exchange.role == "logits_gather") return take_logits(exchange, pass, result, now);
  take_sum(exchange, pass, result, now);
}

}  // namespace tandem::gpu
