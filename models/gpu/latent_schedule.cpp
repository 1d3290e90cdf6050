// Which CTA works on which keys: the split-KV schedules of latent attention.
#include <algorithm>

#include "models/gpu/plan_latent.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {
namespace {

/// Turns that a request costs beside its keys, for dealing out (deepseek-ai/FlashMLA,
/// fixed_overhead_num_blocks).
constexpr std::int64_t request_overhead_turns = 5;
/// Keys below which a request is not split further (NVIDIA/TensorRT-LLM, fmhaKernels.h: stepKv).
constexpr std::int64_t least_split = 256;
/// Above this many keys per CTA wide tiles of heads pay (fmhaKernels.h,
/// useSwapsMmaAbMlaGenKernel).
constexpr std::int64_t narrow_tile_keys = 1024;

std::int64_t query_count(const LatentAttentionKernel& shape) {
  std::int64_t queries = 0;
  for (const QuerySpan& span : shape.spans) queries += span.q_len;
  return queries;
}

std::int64_t most_keys(const LatentAttentionKernel& shape) {
  std::int64_t keys = 0;
  for (const QuerySpan& span : shape.spans) {
    keys = std::max(keys, latent_keys(shape, span, span.q_len - 1));
  }
  return keys;
}

/// Parts of a request so that all SMs have a CTA.
std::int64_t parts_for(const GpuParams& params, std::int64_t ctas, std::int64_t keys) {
  return std::min(ceil_div(keys, least_split), std::max<std::int64_t>(1, params.sms / ctas));
}

/// Rows of a CTA where products may take keys as rows and heads as columns: heads are then padded
/// to 8 or 16 only, at the price of fetching latents once per 16 heads (fmhaKernels.h,
/// selectMlaGenerationKernel).
std::int64_t tensor_memory_rows(const GpuParams& params, const LatentAttentionKernel& shape) {
  const std::int64_t narrow = shape.heads <= 8 ? 8 : 16;
  if (shape.heads <= 32 || (shape.selected > 0 && shape.heads < 128)) return narrow;
  const std::int64_t ctas = query_count(shape) * ceil_div(shape.heads, 16);
  const std::int64_t keys = most_keys(shape);
  const bool is_short = ceil_div(keys, parts_for(params, ctas, keys)) <= narrow_tile_keys;
  return is_short && ctas <= params.sms ? narrow : 64;
}

std::int64_t query_bytes(const LatentAttentionKernel& shape, std::int64_t rows) {
  return rows * (shape.kv_rank + shape.rope_dim) * bytes_of(shape.query_type());
}
std::int64_t latent_turn_bytes(const LatentAttentionKernel& shape, std::int64_t keys) {
  return keys * (shape.kv_rank + shape.rope_dim) *
         std::max(bytes_of(shape.kv), bytes_of(shape.query_type()));
}

/// Deals keys out to SMs: each part takes whole requests while they fit its share, then the rest of
/// its share from the next one (FlashMLA, get_mla_metadata_kernel). The k-th request of every part
/// comes before the k+1st of any.
class Dealer {
 public:
  Dealer(const LatentAttentionKernel& shape, const LatentTiling& tiling, std::int64_t parts)
      : shape_(shape), tiling_(tiling), parts_(parts) {
    for (std::size_t s = 0; s < shape.spans.size(); ++s) {
      for (std::int64_t q = 0; q < shape.spans[s].q_len; ++q) {
        const std::int64_t keys = latent_keys(shape, shape.spans[s], q);
        requests_.push_back({static_cast<std::int64_t>(s), q, keys, ceil_div(keys, tiling.keys)});
      }
    }
  }

  std::vector<std::vector<LatentSegment>> deal() {
    std::int64_t total = 0;
    for (const Request& request : requests_) total += request.turns + request_overhead_turns;
    const std::int64_t share = ceil_div(total, parts_) + request_overhead_turns;
    std::vector<std::vector<LatentSegment>> dealt(static_cast<std::size_t>(parts_));
    for (auto& part : dealt) fill(share, part);
    return dealt;
  }

 private:
  struct Request {
    std::int64_t span = 0, query = 0, keys = 0, turns = 0;
    std::int64_t parts = 0;
  };

  void fill(std::int64_t share, std::vector<LatentSegment>& part) {
    while (request_ < requests_.size()) {
      Request& request = requests_[request_];
      const std::int64_t left = request.turns - turn_;
      const std::int64_t room = share - request_overhead_turns;
      if (room <= 0) return;
      const std::int64_t turns = std::min(left, room);
      part.push_back({request.span, request.query, 0, 0, turn_ * tiling_.keys,
                      std::min(request.keys, (turn_ + turns) * tiling_.keys), request.parts++, 1});
      share -= turns + request_overhead_turns;
      turn_ += turns;
      if (turns < left) return;
      ++request_;
      turn_ = 0;
    }
  }

  const LatentAttentionKernel& shape_;
  const LatentTiling& tiling_;
  std::int64_t parts_;
  std::vector<Request> requests_;
  std::size_t request_ = 0;
  std::int64_t turn_ = 0;
};

/// Says how many parts each request was cut into.
void count_parts(std::vector<LatentSegment>& segments) {
  // Parts of one (span, query) are numbered from 0; the last number says how many there are.
  std::vector<std::pair<std::pair<std::int64_t, std::int64_t>, std::int64_t>> last;
  for (const LatentSegment& s : segments) last.push_back({{s.span, s.query}, s.part + 1});
  std::sort(last.begin(), last.end());
  for (LatentSegment& s : segments) {
    const std::pair<std::int64_t, std::int64_t> id{s.span, s.query};
    const auto end = std::upper_bound(last.begin(), last.end(), id,
                                      [](const auto& a, const auto& b) { return a < b.first; });
    s.parts = std::prev(end)->second;
  }
}

bool is_longer(const LatentSegment& a, const LatentSegment& b) {
  return a.key_end - a.key_begin > b.key_end - b.key_begin;
}

std::vector<LatentSegment> dealt_segments(const GpuParams& params,
                                          const LatentAttentionKernel& shape,
                                          const LatentTiling& tiling) {
  const std::int64_t head_tiles = ceil_div(shape.heads, tiling.rows);
  const std::int64_t parts = std::max<std::int64_t>(1, params.sms / head_tiles);
  const auto dealt = Dealer(shape, tiling, parts).deal();
  std::size_t rounds = 0;
  for (const auto& part : dealt) rounds = std::max(rounds, part.size());
  std::vector<LatentSegment> segments;
  for (std::size_t round = 0; round < rounds; ++round) {
    std::vector<LatentSegment> row;
    for (const auto& part : dealt) {
      if (round < part.size()) row.push_back(part[round]);
    }
    // The part whose first run is the shortest has the longest second one.
    if (round > 0) std::stable_sort(row.begin(), row.end(), is_longer);
    for (LatentSegment segment : row) {
      for (std::int64_t head = 0; head < shape.heads; head += tiling.rows) {
        segment.head_begin = head;
        segment.head_end = std::min(shape.heads, head + tiling.rows);
        segments.push_back(segment);
      }
    }
  }
  count_parts(segments);
  return segments;
}

/// Each query is cut into equal parts of whole turns.
std::vector<LatentSegment> equal_segments(const GpuParams& params,
                                          const LatentAttentionKernel& shape,
                                          const LatentTiling& tiling) {
  const std::int64_t head_tiles = ceil_div(shape.heads, tiling.rows);
  const std::int64_t ctas = query_count(shape) * head_tiles;
  std::vector<LatentSegment> segments;
  for (std::size_t s = 0; s < shape.spans.size(); ++s) {
    for (std::int64_t query = 0; query < shape.spans[s].q_len; ++query) {
      const std::int64_t keys = latent_keys(shape, shape.spans[s], query);
      const std::int64_t turns = ceil_div(keys, tiling.keys);
      const std::int64_t each = ceil_div(turns, std::min(turns, parts_for(params, ctas, keys)));
      const std::int64_t parts = ceil_div(turns, each);
      for (std::int64_t part = 0; part < parts; ++part) {
        for (std::int64_t head = 0; head < shape.heads; head += tiling.rows) {
          segments.push_back({static_cast<std::int64_t>(s), query, head,
                              std::min(shape.heads, head + tiling.rows), part * each * tiling.keys,
                              std::min(keys, (part + 1) * each * tiling.keys), part, parts});
        }
      }
    }
  }
  return segments;
}

}  // namespace

std::int64_t latent_keys(const LatentAttentionKernel& shape, const QuerySpan& span,
                         std::int64_t query) {
  const std::int64_t visible = span.earlier() + query + 1;
  return shape.selected > 0 ? std::min(visible, shape.selected) : visible;
}

LatentTiling latent_tiling(const GpuParams& params, const LatentAttentionKernel& shape) {
  LatentTiling tiling;
  if (params.matrix_issue == MatrixIssue::TensorMemory) {
    tiling.rows = tensor_memory_rows(params, shape);
    tiling.sharers = tiling.rows == 64 && shape.heads >= 128 ? 2 : 1;
  } else {
    tiling.dealt = true;
  }
  const auto room = [&] { return params.shared_memory.count() - query_bytes(shape, tiling.rows); };
  while (room() < 2 * latent_turn_bytes(shape, tiling.keys)) {
    (tiling.keys > 16 ? tiling.keys : tiling.rows) /= 2;
    if (tiling.rows < 8) throw ModelError("gpu: latents do not fit the shared memory of an SM");
  }
  tiling.stages =
      tiling.dealt ? 2 : std::min<std::int64_t>(8, room() / latent_turn_bytes(shape, tiling.keys));
  return tiling;
}

std::vector<LatentSegment> latent_segments(const GpuParams& params,
                                           const LatentAttentionKernel& shape,
                                           const LatentTiling& tiling) {
  return tiling.dealt ? dealt_segments(params, shape, tiling)
                      : equal_segments(params, shape, tiling);
}

}  // namespace tandem::gpu
