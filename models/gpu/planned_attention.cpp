#include "models/gpu/planned_attention.hpp"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <tuple>
#include <vector>

#include "models/gpu/attention_schedule.hpp"
#include "models/gpu/attention_tiling.hpp"
#include "models/gpu/functional_ops.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {
namespace {

class PlannedAttention {
 public:
  PlannedAttention(const AttentionKernel& shape, const AttentionRows& rows)
      : shape_(shape),
        rows_(rows),
        math_(math_type(shape.kv, shape.activations)),
        group_(shape.heads / shape.kv_heads),
        scale_(std::sqrt(static_cast<float>(shape.head_dim))) {}

  void run(const AttentionSchedule& schedule) {
    for (const AttentionCta& cta : schedule.ctas) {
      for (std::int64_t query = cta.q_begin; query < cta.q_end; ++query) {
        for (std::int64_t head = 0; head < cta.heads; ++head) {
          add_part(cta, query, cta.first_head + head, fold(cta, query, head, schedule.turn_keys));
        }
      }
    }
  }

  void check_all_rows_are_done() const {
    for (std::size_t span = 0; span < shape_.spans.size(); ++span) {
      for (std::int64_t query = 0; query < shape_.spans[span].q_len; ++query) {
        for (std::int64_t head = 0; head < shape_.heads; ++head) require_done(span, query, head);
      }
    }
  }

 private:
  using RowId = std::tuple<std::size_t, std::int64_t, std::int64_t>;  ///< span, query, head
  struct Row {
    OnlineSoftmax sums;
    std::int64_t parts = 0;
  };

  [[nodiscard]] std::span<const float> head_of(std::span<const float> row,
                                               std::int64_t head) const {
    return row.subspan(static_cast<std::size_t>(head * shape_.head_dim),
                       static_cast<std::size_t>(shape_.head_dim));
  }

  [[nodiscard]] OnlineSoftmax fold(const AttentionCta& cta, std::int64_t query, std::int64_t head,
                                   std::int64_t turn) const {
    const auto span = static_cast<std::size_t>(cta.span);
    const auto [first, last] = visible_range(shape_, shape_.spans[span], query, query + 1);
    const std::int64_t kv_head = (cta.first_head + head) / group_;
    const auto q = head_of(rows_.query(span, query), cta.first_head + head);
    OnlineSoftmax sums(shape_.head_dim);
    std::vector<float> scores;
    for (std::int64_t begin = cta.k_begin; begin < cta.k_end; begin += turn) {
      const std::int64_t from = std::max(begin, first);
      const std::int64_t to = std::min({begin + turn, cta.k_end, last});
      if (from >= to) continue;
      scores.clear();
      for (std::int64_t token = from; token < to; ++token) {
        scores.push_back(matrix_dot(math_, q, head_of(rows_.key(span, token), kv_head)) / scale_);
      }
      sums.fold(scores,
                [&](std::int64_t i) { return head_of(rows_.value(span, from + i), kv_head); });
    }
    return sums;
  }

  void add_part(const AttentionCta& cta, std::int64_t query, std::int64_t head,
                const OnlineSoftmax& part) {
    const auto span = static_cast<std::size_t>(cta.span);
    Row& row =
        done_.try_emplace({span, query, head}, Row{OnlineSoftmax(shape_.head_dim)}).first->second;
    if (row.parts++ != cta.part) {
      throw ModelError(fmt::format("gpu: query {} of head {} meets part {} of its keys out of turn",
                                   query, head, cta.part));
    }
    row.sums.join(part);
    if (row.parts < cta.parts) return;
    const std::span<float> out = rows_.out(span, query);
    row.sums.finish(shape_.activations,
                    out.subspan(static_cast<std::size_t>(head * shape_.head_dim),
                                static_cast<std::size_t>(shape_.head_dim)));
  }

  void require_done(std::size_t span, std::int64_t query, std::int64_t head) const {
    if (done_.contains({span, query, head})) return;
    throw ModelError(fmt::format("gpu: no CTA computes query {} of head {}", query, head));
  }

  const AttentionKernel& shape_;
  const AttentionRows& rows_;
  ElementType math_;
  std::int64_t group_;
  float scale_;
  std::map<RowId, Row> done_;
};

}  // namespace

void planned_attention(const GpuParams& params, const AttentionKernel& asked,
                       const AttentionRows& rows) {
  const AttentionKernel shape = of_framework(params, asked);
  if (shape.sinks || shape.softcap || shape.value_width() != shape.head_dim ||
      shape.shared_key_dim > 0) {
    throw ModelError("gpu: planned attention knows no sinks, soft caps or latent keys");
  }
  PlannedAttention attention(shape, rows);
  for (const bool is_packed : {true, false}) {
    attention.run(attention_schedule(params, shape, is_packed, 0));
  }
  attention.check_all_rows_are_done();
}

}  // namespace tandem::gpu
