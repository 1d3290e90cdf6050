#include "models/lpu/stage_floor_latent.hpp"

#include <algorithm>

#include "models/lpu/idle_ways.hpp"

namespace tandem::lpu {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

class LatentFloor {
 public:
  LatentFloor(const Geometry& geometry, const LatencyTable& latencies,
              const ops::LatentShape& shape, const FloorFormats& formats)
      : geometry_(geometry),
        ways_(geometry, latencies),
        formats_(formats),
        lanes_(geometry.lanes()),
        heads_(shape.heads / formats.ranks),
        hidden_(ceil_div(formats.hidden, lanes_)),
        query_rank_(shape.query_rank),
        rank_(shape.kv_rank),
        nope_(shape.nope_dim),
        rope_(shape.rope_dim),
        value_(shape.value_dim),
        latents_(ceil_div(rank_, lanes_)),
        keys_(latents_ + (rank_ % lanes_ != 0 && rank_ % lanes_ + rope_ <= lanes_ ? 0 : 1)),
        values_(ceil_div(rank_ + 1, lanes_)),
        nope_vectors_(ceil_div(heads_, lanes_ / nope_)),
        rope_vectors_(ceil_div(heads_, lanes_ / rope_)),
        outputs_(ceil_div(heads_, lanes_ / value_)),
        scale_(formats.weight_bytes == 1 ? ways_.simple : 0) {}

  std::vector<OperatorFloor> make() {
    add_down();
    add_norms();
    add_queries();
    add_scores();
    add_transposition();
    add_values();
    add_outputs();
    return std::move(floor_);
  }

 private:
  [[nodiscard]] std::int64_t units(int bytes) const {
    return bytes == 2 ? geometry_.planes / 2 : geometry_.planes;
  }
  [[nodiscard]] std::int64_t over_alus(std::int64_t operations) const {
    return ceil_div(operations, geometry_.vxm_alus);
  }

  // `products`: activations of one-byte weights; `operations`: in all.
  void add_matrix(const char* name, std::int64_t tiles, double weights, std::int64_t products,
                  std::int64_t latency, std::int64_t operations) {
    OperatorFloor matrix;
    matrix.name = name;
    matrix.latency = latency;
    matrix.tiles = tiles;
    matrix.useful_tiles = weights / (double(lanes_) * double(lanes_));
    matrix.stream = padded_stream_cycles(geometry_, tiles, formats_.weight_bytes);
    matrix.mxm = ceil_div(products * formats_.weight_bytes, units(formats_.weight_bytes));
    matrix.vxm = over_alus(operations);
    floor_.push_back(matrix);
  }

  void add_down() {
    const std::int64_t outputs = ceil_div(query_rank_, lanes_) + keys_;
    add_matrix("latents down", outputs * hidden_,
               double(formats_.hidden) * double(query_rank_ + rank_ + rope_), outputs * hidden_,
               ways_.product() + scale_ + ways_.store, 2 * outputs);
  }

  // Squares, their sum over vectors and lanes, two operations to the mean, its root, and two
  // products with a conversion for every vector.
  void add_norms() {
    const std::int64_t vectors = ceil_div(query_rank_, lanes_) + latents_;
    OperatorFloor norms;
    norms.name = "norms of latents";
    norms.latency = ways_.load + ways_.simple + ways_.lanes + 2 * ways_.simple + ways_.special +
                    3 * ways_.simple + ways_.store;
    // Without a latent of their own queries are under way meanwhile.
    if (query_rank_ == 0) norms.latency = std::max<std::int64_t>(0, norms.latency - query_way());
    norms.vxm = over_alus(5 * vectors);
    floor_.push_back(norms);
  }

  [[nodiscard]] std::int64_t up_way() const {
    return ways_.product() + scale_ + 2 * ways_.simple + ways_.store;
  }
  // What rotates waits for what is absorbed.
  [[nodiscard]] std::int64_t query_way() const { return 2 * up_way(); }

  void add_queries() {
    const std::int64_t inputs = query_rank_ > 0 ? query_rank_ : formats_.hidden;
    const std::int64_t tiles = (nope_vectors_ + rope_vectors_) * ceil_div(inputs, lanes_);
    add_matrix("q up", tiles, double(inputs) * double(heads_ * (nope_ + rope_)), tiles, up_way(),
               heads_ * 7);
    add_matrix("q by keys", nope_vectors_ * latents_, double(heads_) * double(nope_ * rank_),
               heads_ * latents_, up_way(), heads_ * latents_ * 3);
  }

  // Two-byte queries pass twice, half a vector at a time: rounded, and what rounding took away. One
  // result per head leaves the planes at least.
  void add_scores() {
    const std::int64_t joined = keys_ > 1 ? 1 : 0;
    const std::int64_t products = heads_ * keys_ * (formats_.kv_bytes == 2 ? 4 : 1);
    OperatorFloor scores;
    scores.name = "scores";
    scores.latency = ways_.to_plane + ways_.install + ways_.result + ways_.from_plane +
                     (3 + joined) * ways_.simple + ways_.store;
    scores.stream = padded_stream_cycles(geometry_, keys_, formats_.kv_bytes);
    scores.mxm = ceil_div(products, units(formats_.kv_bytes));
    scores.vxm = over_alus((3 + joined) * heads_);
    const std::int64_t queue = ceil_div(products + heads_, units(formats_.kv_bytes));
    scores.per_block = std::max({scores.stream, queue, scores.vxm});
    floor_.push_back(scores);
    OperatorFloor maximum;
    maximum.name = "maximum over lanes";
    maximum.latency = ways_.load + ways_.lanes + ways_.store;
    maximum.vxm = over_alus(13 * heads_);
    floor_.push_back(maximum);
  }

  // The growing block is turned beside the scores; only what takes longer counts.
  void add_transposition() {
    const std::int64_t beside = floor_[floor_.size() - 2].latency + floor_.back().latency;
    const std::int64_t own = ways_.to_plane + ways_.install + ways_.result + ways_.from_plane +
                             ways_.simple + ways_.store + ways_.to_plane + ways_.install;
    OperatorFloor turn;
    turn.name = "values transposed";
    turn.latency = std::max<std::int64_t>(0, own - beside);
    turn.stream = padded_stream_cycles(geometry_, latents_, formats_.kv_bytes);
    turn.mxm = ceil_div(rank_ * formats_.kv_bytes, units(formats_.kv_bytes));
    turn.vxm = over_alus(rank_);
    floor_.push_back(turn);
  }

  void add_values() {
    const bool is_wide = formats_.kv_bytes == 2;
    OperatorFloor values;
    values.name = "values";
    values.latency = ways_.load + ways_.simple + ways_.special + (is_wide ? 4 : 2) * ways_.simple +
                     ways_.from_plane + ways_.result + ways_.from_plane;
    values.stream = padded_stream_cycles(geometry_, values_, formats_.kv_bytes);
    values.mxm = ceil_div(heads_ * values_ * (is_wide ? 4 : 1), units(formats_.kv_bytes));
    values.vxm = std::max(over_alus(4 * heads_), ceil_div(heads_, geometry_.vxm_alus / 4));
    values.per_block = std::max({values.stream, values.mxm, values.vxm});
    floor_.push_back(values);
    OperatorFloor means;
    means.name = "means of latents";
    means.latency = ways_.cross + ways_.special + 2 * ways_.simple + ways_.store;
    means.vxm = over_alus(heads_ * (1 + 2 * latents_));
    floor_.push_back(means);
  }

  void add_outputs() {
    add_matrix("values up", outputs_ * latents_, double(heads_) * double(value_ * rank_),
               heads_ * latents_, ways_.product() + scale_ + ways_.simple + ways_.store,
               2 * outputs_);
    add_matrix("output projection", hidden_ * outputs_,
               double(formats_.hidden) * double(heads_ * value_), hidden_ * outputs_,
               ways_.product() + scale_ + ways_.simple + ways_.store, 2 * hidden_);
  }

  const Geometry& geometry_;
  const Ways ways_;
  const FloorFormats formats_;
  const std::int64_t lanes_, heads_, hidden_, query_rank_, rank_, nope_, rope_, value_;
  const std::int64_t latents_, keys_, values_, nope_vectors_, rope_vectors_, outputs_;
  const std::int64_t scale_;
  std::vector<OperatorFloor> floor_;
};

}  // namespace

std::vector<OperatorFloor> latent_floor(const Geometry& geometry, const LatencyTable& latencies,
                                        const LatentAttention& attention,
                                        const FloorFormats& formats) {
  return LatentFloor(geometry, latencies, attention.shape, formats).make();
}

}  // namespace tandem::lpu
