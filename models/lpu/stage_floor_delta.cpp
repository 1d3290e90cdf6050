#include "models/lpu/stage_floor_delta.hpp"

#include "models/lpu/idle_ways.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

class DeltaFloor {
 public:
  DeltaFloor(const Geometry& geometry, const LatencyTable& latencies,
             const ops::GatedDeltaShape& shape, const FloorFormats& formats)
      : geometry_(geometry),
        ways_(geometry, latencies),
        formats_(formats),
        lanes_(geometry.lanes()),
        hidden_(ceil_div(formats.hidden, lanes_)),
        key_heads_(shape.key_heads / formats.ranks),
        value_heads_(shape.value_heads / formats.ranks),
        key_dim_(shape.key_dim),
        value_dim_(shape.value_dim),
        taps_(shape.conv_taps),
        keys_(ceil_div(key_heads_, lanes_ / key_dim_)),
        values_(ceil_div(value_heads_, lanes_ / value_dim_)),
        gates_(ceil_div(2 * value_heads_, lanes_)),
        scale_(formats.weight_bytes == 1 ? ways_.simple : 0) {}

  std::vector<OperatorFloor> make() {
    add_projections();
    add_states("delta states asked", asked_way(), 4);
    add_outputs();
    add_states("delta states updated", 0, 3);
    return std::move(floor_);
  }

 private:
  [[nodiscard]] std::int64_t over_alus(std::int64_t operations) const {
    return ceil_div(operations, geometry_.vxm_alus);
  }

  void add_matrix(const char* name, std::int64_t tiles, double weights, std::int64_t latency,
                  std::int64_t operations) {
    const int units = formats_.weight_bytes == 2 ? geometry_.planes / 2 : geometry_.planes;
    OperatorFloor matrix;
    matrix.name = name;
    matrix.latency = latency;
    matrix.tiles = tiles;
    matrix.useful_tiles = weights / (double(lanes_) * double(lanes_));
    matrix.stream = padded_stream_cycles(geometry_, tiles, formats_.weight_bytes);
    matrix.mxm = ceil_div(tiles, units) * formats_.weight_bytes;
    matrix.vxm = over_alus(operations);
    floor_.push_back(matrix);
  }

  // Queries, keys and values pass the convolution, whose newest tap is the last product and sum,
  // and SiLU: negated, exp, one more, reciprocal, product. Output gates pass SiLU and a weight.
  void add_projections() {
    const std::int64_t convolved = 2 * keys_ + values_;
    const std::int64_t outputs = convolved + values_ + gates_;
    const double channels =
        double(2 * key_heads_ * key_dim_) + double(2 * value_heads_) * double(value_dim_ + 1);
    const std::int64_t silu = 3 * ways_.simple + 2 * ways_.special;
    add_matrix("delta projections", outputs * hidden_, double(formats_.hidden) * channels,
               ways_.product() + scale_ + 2 * ways_.simple + silu + ways_.store,
               convolved * (2 * taps_ + 4) + values_ * 6);
  }

  // An element of a key, spread over the lanes of its heads, times a row of the state and summed;
  // the difference to the value times the gate, times the query's part and added to what the old
  // state gives: five operations. Then the norm over each head: a square in a format of the planes,
  // their sum, two operations to the mean, a root, and two products.
  [[nodiscard]] std::int64_t asked_way() const {
    const std::int64_t spread = ways_.to_switch + ways_.cross + ways_.from_switch;
    const std::int64_t summed =
        2 * ways_.simple + ways_.from_plane + ways_.result + ways_.from_plane;
    return spread + 7 * ways_.simple + summed + 2 * ways_.simple + ways_.special +
           2 * ways_.simple + ways_.store;
  }

  // `operations` per row of the states.
  void add_states(const char* name, std::int64_t latency, std::int64_t operations) {
    OperatorFloor states;
    states.name = name;
    states.latency = latency;
    states.vxm = over_alus(values_ * key_dim_ * operations);
    floor_.push_back(states);
  }

  void add_outputs() {
    add_matrix("output projection", hidden_ * values_,
               double(formats_.hidden) * double(value_heads_ * value_dim_),
               ways_.product() + scale_ + ways_.simple + ways_.store, 2 * hidden_);
  }

  const Geometry& geometry_;
  const Ways ways_;
  const FloorFormats formats_;
  const std::int64_t lanes_, hidden_, key_heads_, value_heads_, key_dim_, value_dim_, taps_;
  const std::int64_t keys_, values_, gates_;  ///< vectors
  const std::int64_t scale_;
  std::vector<OperatorFloor> floor_;
};

}  // namespace

std::vector<OperatorFloor> delta_floor(const Geometry& geometry, const LatencyTable& latencies,
                                       const GatedDelta& delta, const FloorFormats& formats) {
  return DeltaFloor(geometry, latencies, delta.shape, formats).make();
}

}  // namespace tandem::lpu
