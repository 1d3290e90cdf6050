#include "models/gpu/attention_schedule.hpp"

#include <algorithm>
#include <numeric>

#include "sim/core/integers.hpp"

namespace tandem::gpu {
namespace {

/// Main-loop turns of one kernel that are all simulated. Of longer ones, heads and requests that
/// repeat each other are skipped, and neighbouring turns of long sequences are merged.
constexpr std::int64_t attention_turn_budget = 40'000;
/// Turns that a CTA keeps when neighbours are merged: enough for its pipeline and the mask.
constexpr std::int64_t turns_kept = 64;

class Scheduler {
 public:
  Scheduler(const GpuParams& params, const AttentionKernel& shape, bool is_packed)
      : params_(params),
        shape_(shape),
        is_packed_(is_packed),
        group_(shape.heads / shape.kv_heads) {
    schedule_.tiling = attention_tiling(params, shape, is_packed);
    schedule_.merged = merged_neighbours();
    schedule_.turn_keys = schedule_.tiling.keys * schedule_.merged;
  }

  AttentionSchedule make(std::int64_t first_tile) {
    number_tiles(first_tile);
    if (is_packed_) plan_splits();
    // Of equal spans a part stands for all, in any order.
    if (!is_packed_ && goes_by_heads(params_, shape_) && !has_equal_spans()) {
      add_by_heads();
    } else {
      add_by_spans();
    }
    schedule_.neighbour_tile = schedule_.tiles++;
    if (has_equal_spans() && total_turns() / schedule_.merged > attention_turn_budget) {
      schedule_.period = static_cast<std::int64_t>(schedule_.ctas.size()) / repetitions();
    }
    return std::move(schedule_);
  }

 private:
  void add_by_spans() {
    std::vector<std::int64_t> order(shape_.spans.size());
    std::iota(order.begin(), order.end(), 0);
    // Long requests first, so that the last CTAs are short ones.
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return span_at(a).q_len * span_at(a).kv_len > span_at(b).q_len * span_at(b).kv_len;
    });
    for (const std::int64_t index : order) {
      if (!is_mine(span_at(index))) continue;
      if (is_packed_) {
        add_packed(index);
      } else {
        add_tiled(index);
      }
    }
  }

  [[nodiscard]] const QuerySpan& span_at(std::int64_t index) const {
    return shape_.spans[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] bool is_mine(const QuerySpan& span) const {
    return is_packed_span(params_, shape_, span) == is_packed_;
  }
  /// Heads that one CTA of a packed span works for.
  [[nodiscard]] std::int64_t packed_heads() const {
    return schedule_.tiling.per_query_head ? 1 : group_;
  }

  [[nodiscard]] bool has_equal_spans() const {
    const QuerySpan* first = nullptr;
    for (const QuerySpan& span : shape_.spans) {
      if (!is_mine(span)) continue;
      if (first == nullptr) first = &span;
      if (!(span == *first)) return false;
    }
    return first != nullptr;
  }
  /// Parts of the grid that equal each other where spans do: one per request and KV head, or run of
  /// heads.
  [[nodiscard]] std::int64_t repetitions() const {
    std::int64_t spans = 0;
    for (const QuerySpan& span : shape_.spans) spans += is_mine(span) ? 1 : 0;
    return spans * (is_packed_ ? shape_.heads / packed_heads() : shape_.kv_heads);
  }

  /// How many neighbouring turns become one, so that what is left after repetitions have been
  /// skipped stays near the budget.
  [[nodiscard]] std::int64_t merged_neighbours() const {
    std::int64_t longest = 0;
    for (const QuerySpan& span : shape_.spans) {
      if (is_mine(span)) longest = std::max(longest, span.kv_len);
    }
    std::int64_t simulated = total_turns();
    if (has_equal_spans()) {
      constexpr std::int64_t simulated_repetitions = 5;
      simulated = std::min(simulated, simulated / repetitions() * simulated_repetitions);
    }
    const std::int64_t most =
        std::max<std::int64_t>(1, longest / schedule_.tiling.keys / turns_kept);
    return std::clamp<std::int64_t>(simulated / attention_turn_budget, 1, most);
  }

  [[nodiscard]] std::int64_t total_turns() const {
    std::int64_t total = 0;
    for (const QuerySpan& span : shape_.spans) {
      if (!is_mine(span)) continue;
      const std::int64_t runs =
          is_packed_ ? shape_.heads / packed_heads()
                     : shape_.heads / tiled_heads() * ceil_div(span.q_len, tiled_queries());
      total += runs * ceil_div(span.kv_len, schedule_.tiling.keys);
    }
    return total;
  }

  void number_tiles(std::int64_t first_tile) {
    std::int64_t next = first_tile;
    for (const QuerySpan& span : shape_.spans) {
      schedule_.first_kv_tile.push_back(next);
      if (is_mine(span)) next += shape_.kv_heads * ceil_div(span.kv_len, schedule_.turn_keys);
    }
    schedule_.first_sink_tile = next;
    schedule_.tiles = next + (shape_.sinks ? shape_.kv_heads : 0);
  }

  /// Heads and queries that one CTA of a long span works for.
  [[nodiscard]] std::int64_t tiled_heads() const {
    const bool packs = packs_long_spans(params_, shape_) && group_ <= schedule_.tiling.rows;
    return packs ? group_ : 1;
  }
  [[nodiscard]] std::int64_t tiled_queries() const { return schedule_.tiling.rows / tiled_heads(); }

  /// Parts of the longest packed span, whose length the others take over, or what bounds the parts
  /// of each.
  void plan_splits() {
    std::int64_t runs = 0, longest_cache = 1, blocks = 0;
    for (const QuerySpan& span : shape_.spans) {
      if (!is_mine(span)) continue;
      runs += shape_.heads / packed_heads();
      const auto [first, last] = visible_range(shape_, span, 0, span.q_len);
      longest_ = std::max(longest_, last - first);
      longest_cache = std::max(longest_cache, span.kv_len);
      blocks += blocks_of(span.kv_len);
    }
    if (runs == 0) return;
    if (splits_by_share(params_, shape_)) {
      share_ = share_of_sm(params_, shape_.heads / packed_heads(), blocks);
      parts_ = most_splits(params_, shape_.heads / packed_heads(), blocks_of(longest_));
      return;
    }
    const bool counts_all = splits_whole_cache(params_, shape_);
    parts_ =
        split_parts(params_, shape_, schedule_.tiling, runs, counts_all ? longest_cache : longest_);
  }

  [[nodiscard]] std::int64_t blocks_of(std::int64_t keys) const {
    return ceil_div(keys, schedule_.tiling.keys);
  }

  /// Keys of a part of a span that sees `keys` of `cached` ones.
  [[nodiscard]] std::int64_t part_length(std::int64_t keys, std::int64_t cached) const {
    const std::int64_t turn = schedule_.turn_keys;
    if (share_ == 0) return ceil_div(ceil_div(longest_, parts_), turn) * turn;
    const std::int64_t parts =
        std::clamp<std::int64_t>(ceil_div(blocks_of(cached), share_), 1, parts_);
    return ceil_div(ceil_div(keys, parts), turn) * turn;
  }

  void add_packed(std::int64_t index) {
    const QuerySpan& span = span_at(index);
    const std::int64_t turn = schedule_.turn_keys;
    const auto [first, last] = visible_range(shape_, span, 0, span.q_len);
    const std::int64_t begin = first / turn * turn;
    const std::int64_t length = part_length(last - begin, span.kv_len);
    const std::int64_t parts =
        splits_whole_cache(params_, shape_) ? parts_ : ceil_div(last - begin, length);
    const std::int64_t heads = packed_heads();
    for (std::int64_t head = 0; head < shape_.heads; head += heads) {
      AttentionCta cta{index, head / group_,     heads,          0, span.q_len, 0, 0, 0,
                       parts, schedule_.tiles++, schedule_.tiles};
      cta.workspace_tile = schedule_.tiles;
      cta.first_head = head;
      if (parts > 1) schedule_.tiles += parts;
      for (cta.part = 0; cta.part < parts; ++cta.part) {
        cta.k_begin = std::min(last, std::max(first, begin + cta.part * length));
        cta.k_end = std::min(last, begin + (cta.part + 1) * length);
        schedule_.ctas.push_back(cta);
      }
    }
  }

  /// The query tiles of one KV head run together and share its keys in L2; with a causal mask the
  /// last tiles are the longest and go first.
  void add_tiled(std::int64_t index) {
    const QuerySpan& span = span_at(index);
    const std::int64_t heads = tiled_heads(), queries = tiled_queries();
    for (std::int64_t kv_head = 0; kv_head < shape_.kv_heads; ++kv_head) {
      for (std::int64_t end = span.q_len; end > 0; end = (end - 1) / queries * queries) {
        const std::int64_t begin = (end - 1) / queries * queries;
        const auto [first, last] = visible_range(shape_, span, begin, end);
        for (std::int64_t head = 0; head < group_; head += heads) {
          schedule_.ctas.push_back({index, kv_head, heads, begin, end, first, last, 0, 1,
                                    schedule_.tiles++, -1, kv_head * group_ + head});
        }
      }
    }
  }

  [[nodiscard]] std::int64_t tiles_of(const QuerySpan& span) const {
    return ceil_div(span.q_len, schedule_.tiling.rows);
  }

  /// Keys of a KV head come again for each of its query heads when those of all other spans have
  /// been through L2. Tiles without rows go to SMs like others.
  void add_by_heads() {
    std::int64_t most = 0, without_rows = 0;
    for (const QuerySpan& span : shape_.spans) {
      if (is_mine(span)) most = std::max(most, tiles_of(span));
    }
    for (const QuerySpan& span : shape_.spans) {
      if (is_mine(span)) without_rows += shape_.heads * (most - tiles_of(span));
    }
    // Several that follow each other on an SM set up once: they leave before they set anything up.
    const std::int64_t together = std::max<std::int64_t>(1, without_rows / (2 * params_.sms));
    for (std::int64_t head = 0; head < shape_.heads; ++head) {
      for (std::int64_t index = 0; index < std::ssize(shape_.spans); ++index) {
        if (!is_mine(span_at(index))) continue;
        add_query_tiles(index, head);
        add_without_rows(index, head, most - tiles_of(span_at(index)), together);
      }
    }
  }

  void add_query_tiles(std::int64_t index, std::int64_t head) {
    const QuerySpan& span = span_at(index);
    const std::int64_t rows = schedule_.tiling.rows;
    for (std::int64_t begin = 0; begin < span.q_len; begin += rows) {
      const std::int64_t end = std::min(begin + rows, span.q_len);
      const auto [first, last] = visible_range(shape_, span, begin, end);
      schedule_.ctas.push_back(
          {index, head / group_, 1, begin, end, first, last, 0, 1, schedule_.tiles++, -1, head});
    }
  }

  void add_without_rows(std::int64_t index, std::int64_t head, std::int64_t count,
                        std::int64_t together) {
    for (; count > 0; count -= together) {
      AttentionCta cta{index, head / group_};
      cta.first_head = head;
      cta.q_tile = schedule_.tiles;
      cta.without_rows = std::min(count, together);
      schedule_.ctas.push_back(cta);
    }
  }

  const GpuParams& params_;
  const AttentionKernel& shape_;
  bool is_packed_;
  std::int64_t group_ = 1;
  std::int64_t parts_ = 1;
  std::int64_t longest_ = 1;
  std::int64_t share_ = 0;  ///< blocks of keys per part; 0: all spans take parts of one length
  AttentionSchedule schedule_;
};

}  // namespace

std::pair<std::int64_t, std::int64_t> visible_range(const AttentionKernel& shape,
                                                    const QuerySpan& span, std::int64_t q_begin,
                                                    std::int64_t q_end) {
  if (!shape.causal) {
    return {0, shape.window > 0 ? std::min(shape.window, span.kv_len) : span.kv_len};
  }
  const std::int64_t offset = span.kv_len - span.q_len;
  const std::int64_t last = offset + q_end;
  const std::int64_t first =
      shape.window > 0 ? std::max<std::int64_t>(0, offset + q_begin + 1 - shape.window) : 0;
  return {first, last};
}

AttentionSchedule attention_schedule(const GpuParams& params, const AttentionKernel& shape,
                                     bool is_packed, std::int64_t first_tile) {
  return Scheduler(params, shape, is_packed).make(first_tile);
}

}  // namespace tandem::gpu
