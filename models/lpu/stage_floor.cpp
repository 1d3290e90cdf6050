#include "models/lpu/stage_floor.hpp"

#include <algorithm>
#include <cstdlib>

#include "models/lpu/idle_ways.hpp"
#include "models/lpu/stage_floor_delta.hpp"
#include "models/lpu/stage_floor_layer.hpp"
#include "sim/core/integers.hpp"
#include "sim/describe/neural_network.hpp"

namespace tandem::lpu {
namespace {

class FloorMaker {
 public:
  FloorMaker(const Geometry& geometry, const LatencyTable& latencies, const Stage& stage,
             std::int64_t context, const GangShape& gang, int hops)
      : geometry_(geometry),
        latencies_(latencies),
        network_(stage.network),
        shape_(stage.network.kinds.front(), gang.ranks),
        stage_(stage),
        ways_(geometry, latencies),
        lanes_(geometry.lanes()),
        hidden_(ceil_div(network_.hidden, lanes_)),
        weight_bytes_(static_cast<int>(bytes_of(stage.precision.weights))),
        kv_bytes_(static_cast<int>(bytes_of(stage.precision.kv_cache))),
        scale_(weight_bytes_ == 1 ? ways_.simple : 0),
        blocks_(std::max<std::int64_t>(1, ceil_div(context, lanes_))),
        ranks_(gang.ranks),
        trays_(gang.trays),
        tray_(gang.tray_chips()),
        hops_(hops) {}

  StageFloor make() {
    const bool sends = stage_.head_end != network_.vocabulary;
    if (!stage_.has_embedding) add_receive();
    if (network_.joins_hidden) add_join();
    for (std::int64_t l = 0; l < stage_.layers; ++l) {
      const LayerKind& kind = network_.layer(stage_.first_layer + l);
      take_shape(FloorLayer(kind, ranks_));
      add_layer(kind.has_mixer(), sends && l + 1 == stage_.layers);
    }
    if (sends) add_link("send", link_way());
    if (stage_.has_head()) {
      add_norm();
      const std::int64_t rows = ceil_div(stage_.head_end - stage_.head_begin, ranks_);
      add_matrix("head", ceil_div(rows, lanes_), hidden_, double(rows) * double(network_.hidden),
                 ways_.product() + scale_ + 3 * ways_.simple + ways_.store, 6);
    }
    return total();
  }

 private:
  void take_shape(const FloorLayer& shape) {
    shape_ = shape;
    inner_ = ceil_div(shape.dense, lanes_);
    // As many tokens fill no fewer blocks, wherever in a block they begin.
    seen_blocks_ = shape.window > 0 ? std::min(blocks_, ceil_div(shape.window, lanes_)) : blocks_;
    if (shape.heads == 0) return;
    pack_heads_ = std::min<std::int64_t>(shape.kv_heads, (lanes_ - 1) / shape.head_dim);
    packs_ = ceil_div(shape.kv_heads, std::max<std::int64_t>(1, pack_heads_));
    q_vectors_ = packs_ * (shape.heads / shape.kv_heads);
  }

  [[nodiscard]] std::int64_t units(int bytes) const {
    return bytes == 2 ? geometry_.planes / 2 : geometry_.planes;
  }
  [[nodiscard]] std::int64_t over_alus(std::int64_t operations) const {
    return ceil_div(operations, geometry_.vxm_alus);
  }
  [[nodiscard]] std::int64_t over_runs(std::int64_t lanes) const {
    return Ways::over_lanes(geometry_, latencies_, lanes);
  }
  [[nodiscard]] std::int64_t link_way() const {
    return latencies_.mem_read + std::abs(geometry_.c2c_position(Hemisphere::East)) - 1;
  }

  void add_link(const char* name, std::int64_t latency) {
    const std::int64_t vectors = ceil_div(hidden_, tray_);
    floor_.operators.push_back({name, latency, 0, 0, 0, 4 * vectors * interval(), 0, 0});
  }
  [[nodiscard]] std::int64_t interval() const {
    return geometry_.link_count() > 0 ? geometry_.link_class(0).cycles_per_vector : 0;
  }

  // In a gang every chip gets its own part and passes it on to the others.
  void add_receive() {
    add_link("receive", link_way());
    if (ranks_ == 1) return;
    add_exchange("gather", 1, link_hop() + ways_.load + ways_.simple + ways_.store,
                 ceil_div(hidden_, tray_));
  }

  // From the SRAM of one chip to that of another.
  [[nodiscard]] std::int64_t link_hop() const {
    return link_way() + geometry_.link_class(0).latency + link_way() - latencies_.mem_read +
           latencies_.mem_write_to_read;
  }

  // `vectors` per link.
  void add_exchange(const char* name, std::int64_t terms, std::int64_t latency,
                    std::int64_t vectors) {
    OperatorFloor exchange;
    exchange.name = name;
    exchange.latency = latency;
    exchange.vxm = over_alus(terms * hidden_);
    exchange.link = 4 * vectors * interval();
    floor_.operators.push_back(exchange);
    links_ += exchange.link;
  }

  // Behind the contributions: hops, sums by rank, and the sum added to the hidden state. A stage
  // that sends passes the sums on after the first hop.
  void add_all_reduce(bool sends) {
    if (ranks_ == 1) return;
    const std::int64_t part = ceil_div(hidden_, tray_);
    const std::int64_t sum = ways_.load + (tray_ - 1) * ways_.simple + ways_.store;
    const std::int64_t added = ways_.load + ways_.simple + ways_.store;
    if (trays_ > 1) add_trays(hops_ == 1 && !sends ? hidden_ : part);
    if (hops_ == 1 && !sends) {
      // The sum and the hidden state in one go.
      return add_exchange("all-reduce", tray_, link_hop() + sum + ways_.simple, hidden_);
    }
    const int hops = sends ? 1 : 2;
    add_exchange("all-reduce", 2, hops * link_hop() + sum + added, hops * part);
  }

  // Between the sum of a tray and its use: `vectors` go to the other trays and are added there.
  void add_trays(std::int64_t vectors) {
    OperatorFloor exchange;
    exchange.name = "all-reduce over trays";
    exchange.latency = link_hop() - geometry_.link_class(0).latency + geometry_.tray_links.latency +
                       ways_.load + (trays_ - 1) * ways_.simple + ways_.store;
    exchange.vxm = over_alus(trays_ * vectors);
    exchange.link = 4 * vectors * geometry_.tray_links.cycles_per_vector;
    floor_.operators.push_back(exchange);
  }

  void add_norm() {
    const std::int64_t latency = ways_.load + 2 * ways_.simple + ways_.lanes + 2 * ways_.simple +
                                 ways_.special + 3 * ways_.simple + ways_.store;
    floor_.operators.push_back({"norm", latency, 0, 0, over_alus(5 * hidden_), 0, 0, 0});
  }

  // Norms over a token and a hidden state, and the product that joins them.
  void add_join() {
    const double hidden = static_cast<double>(network_.hidden);
    add_norm();
    floor_.operators.back().vxm *= 2;
    add_matrix("join", hidden_, 2 * hidden_, 2 * hidden * hidden,
               ways_.product() + scale_ + ways_.simple + ways_.store, 2);
  }

  // `operations` per vector of outputs.
  void add_matrix(const char* name, std::int64_t n, std::int64_t k, double weights,
                  std::int64_t latency, std::int64_t operations) {
    OperatorFloor matrix;
    matrix.name = name;
    matrix.latency = latency;
    matrix.tiles = n * k;
    matrix.useful_tiles = weights / (double(lanes_) * double(lanes_));
    matrix.stream = padded_stream_cycles(geometry_, matrix.tiles, weight_bytes_);
    matrix.mxm = ceil_div(matrix.tiles, units(weight_bytes_)) * weight_bytes_;
    matrix.vxm = over_alus(n * operations);
    floor_.operators.push_back(matrix);
  }

  void add_qkv() {
    const std::int64_t cached = shape_.keys_are_values ? 1 : 2;  // products with the hidden state
    const double weights =
        double(network_.hidden) * double(shape_.q_width() + cached * shape_.kv_width());
    // Rotary embedding: the partner lanes pass the switch unit on their way.
    // A norm over heads adds their squares within the head.
    const std::int64_t rotated =
        ways_.cross + 2 * ways_.simple + scale_ +
        (shape_.norms_heads ? over_runs(shape_.head_dim) + ways_.special : 0);
    add_matrix("qkv", q_vectors_ + cached * packs_, hidden_, weights,
               ways_.product() + rotated + 2 * ways_.simple + ways_.store, 8);
  }

  void add_scores() {
    const std::int64_t products = q_vectors_ * pack_heads_;
    const std::int64_t halves = kv_bytes_ == 2 ? 4 : 1;
    OperatorFloor scores;
    scores.name = "scores";
    scores.latency = ways_.to_plane + ways_.install + ways_.result + ways_.from_plane +
                     3 * ways_.simple + ways_.store;
    scores.stream = padded_stream_cycles(geometry_, packs_, kv_bytes_);
    scores.mxm = ceil_div(products * halves, units(kv_bytes_));
    scores.vxm = over_alus(3 * products);
    // A plane's queue issues the scores' way out too.
    const std::int64_t queue = ceil_div(products * (halves + 1), units(kv_bytes_));
    scores.per_block = std::max({scores.stream, queue, scores.vxm});
    floor_.operators.push_back(scores);
    OperatorFloor maximum;
    maximum.name = "maximum over lanes";
    maximum.latency = ways_.load + ways_.lanes + ways_.store;
    maximum.vxm = over_alus(q_vectors_ * pack_heads_ * 13);
    floor_.operators.push_back(maximum);
  }

  // The growing block of values is turned beside the scores; only what takes longer counts.
  void add_transposition() {
    const OperatorFloor& scores = floor_.operators[floor_.operators.size() - 2];
    const std::int64_t beside = scores.latency + floor_.operators.back().latency;
    const std::int64_t own = ways_.to_plane + ways_.install + ways_.result + ways_.from_plane +
                             ways_.simple + ways_.store + ways_.to_plane + ways_.install;
    OperatorFloor turn;
    turn.name = "values transposed";
    turn.latency = std::max<std::int64_t>(0, own - beside);
    turn.stream = padded_stream_cycles(geometry_, packs_, kv_bytes_);
    turn.mxm = ceil_div(packs_ * pack_heads_ * shape_.head_dim * kv_bytes_, units(kv_bytes_));
    turn.vxm = over_alus(packs_ * pack_heads_ * shape_.head_dim);
    floor_.operators.push_back(turn);
  }

  void add_values() {
    const std::int64_t products = q_vectors_ * pack_heads_;
    // Two-byte weights of the softmax pass twice: rounded, and what rounding took away.
    const std::int64_t rounding = kv_bytes_ == 2 ? 4 * ways_.simple : 2 * ways_.simple;
    OperatorFloor values;
    values.name = "values";
    values.latency = ways_.load + ways_.simple + ways_.special + rounding + ways_.from_plane +
                     ways_.result + ways_.from_plane;
    values.stream = padded_stream_cycles(geometry_, packs_, kv_bytes_);
    values.mxm = ceil_div(products * (kv_bytes_ == 2 ? 4 : 1), units(kv_bytes_));
    values.vxm = std::max(over_alus(4 * products), ceil_div(products, geometry_.vxm_alus / 4));
    values.per_block = std::max({values.stream, values.mxm, values.vxm});
    floor_.operators.push_back(values);
    OperatorFloor combined;
    combined.name = "heads combined";
    combined.latency = ways_.cross + ways_.special + 4 * ways_.simple + ways_.store;
    combined.vxm = over_alus(q_vectors_ * (4 * pack_heads_ + 2));
    floor_.operators.push_back(combined);
  }

  [[nodiscard]] std::int64_t gate_way() const {
    return ways_.product() + scale_ + 5 * ways_.simple + 2 * ways_.special + ways_.store;
  }

  // Two comparisons and two counts for every other expert, one way through the switch unit; then
  // the index of every rank over the lanes, into SRAM and back as a flag.
  void add_routing() {
    const std::int64_t hidden = network_.hidden;
    add_matrix("router", 1, hidden_, double(hidden) * double(shape_.experts),
               ways_.product() + scale_ + 2 * ways_.simple + ways_.store, 4);
    const std::int64_t turned = ways_.to_switch + ways_.cross + ways_.from_switch;
    const auto sweep = [&](std::int64_t rivals) {
      return turned + rivals + 4 * ways_.simple + ways_.store;
    };
    if (shape_.groups > 1) {
      OperatorFloor group;
      const std::int64_t width = shape_.experts / shape_.groups;
      group.name = "groups of experts";
      group.latency =
          sweep(width - 1) + sweep(shape_.groups - 1) + ways_.load + over_runs(width) + ways_.store;
      group.vxm = over_alus(4 * (width + shape_.groups));
      floor_.operators.push_back(group);
    }
    OperatorFloor best;
    best.name = "top-k";
    best.latency = sweep(shape_.experts - 1) + ways_.load + 2 * ways_.simple + ways_.lanes +
                   2 * ways_.simple + ways_.store + ways_.load;
    best.vxm = over_alus(4 * (shape_.experts - 1) + 13 * shape_.chosen);
    floor_.operators.push_back(best);
  }

  // Weights of the experts are found beside their first product.
  void add_experts() {
    const double hidden = static_cast<double>(network_.hidden);
    const std::int64_t vectors =
        ceil_div(shape_.shared, lanes_) + shape_.chosen * ceil_div(shape_.expert, lanes_);
    const double inner = double(shape_.shared) + double(shape_.chosen) * double(shape_.expert);
    const std::int64_t routed = shape_.chosen * ceil_div(shape_.expert, lanes_) * hidden_;
    const auto again = [&](std::int64_t tiles) {
      floor_.operators.back().stream_by_token =
          padded_stream_cycles(geometry_, tiles, weight_bytes_);
    };
    add_matrix("experts: gate and up", 2 * vectors, hidden_, 2 * hidden * inner,
               gate_way() + ways_.simple, 6);
    again(2 * routed);
    add_matrix("experts: down", hidden_, vectors, hidden * inner,
               ways_.product() + scale_ + ways_.simple + ways_.store, 2);
    again(routed);
  }

  // `added`: what a product takes that is added to the hidden state.
  void add_attention(std::int64_t added) {
    const FloorFormats formats{network_.hidden, ranks_, weight_bytes_, kv_bytes_};
    const auto take = [&](const std::vector<OperatorFloor>& parts) {
      floor_.operators.insert(floor_.operators.end(), parts.begin(), parts.end());
    };
    if (shape_.latent != nullptr) {
      return take(latent_floor(geometry_, latencies_, *shape_.latent, formats));
    }
    if (shape_.delta != nullptr) {
      return take(delta_floor(geometry_, latencies_, *shape_.delta, formats));
    }
    add_qkv();
    add_scores();
    add_transposition();
    add_values();
    add_matrix("output projection", hidden_, q_vectors_,
               double(network_.hidden) * double(shape_.q_width()), added, 2);
  }

  void add_mixer(std::int64_t added) {
    add_norm();
    const std::size_t first = floor_.operators.size();
    add_attention(added);
    for (std::size_t i = first; i < floor_.operators.size(); ++i) {
      floor_.further_blocks += (seen_blocks_ - 1) * floor_.operators[i].per_block;
    }
    add_all_reduce(false);
  }

  void add_layer(bool mixes, bool sends) {
    const double hidden = static_cast<double>(network_.hidden);
    const std::int64_t added = ways_.product() + scale_ + ways_.simple + ways_.store;
    if (mixes) add_mixer(added);
    add_norm();
    if (shape_.experts > 0) {
      add_routing();
      add_experts();
    } else {
      const double inner = static_cast<double>(shape_.dense);
      add_matrix("gate and up", 2 * inner_, hidden_, 2 * hidden * inner, gate_way(), 5);
      add_matrix("down", hidden_, inner_, hidden * inner, added, 2);
    }
    add_all_reduce(sends);
  }

  StageFloor total() {
    struct Unit {
      const char* name;
      std::int64_t OperatorFloor::*cycles;
    };
    double tiles = 0;
    double useful = 0;
    for (const OperatorFloor& part : floor_.operators) {
      floor_.latency += part.latency;
      tiles += static_cast<double>(part.tiles);
      useful += part.useful_tiles;
    }
    for (const Unit& unit : {Unit{"streams", &OperatorFloor::stream},
                             Unit{"MXM", &OperatorFloor::mxm}, Unit{"VXM", &OperatorFloor::vxm}}) {
      std::int64_t sum = 0;
      for (const OperatorFloor& part : floor_.operators) sum += part.*unit.cycles;
      consider(unit.name, sum);
    }
    // Receiving and sending use different links.
    for (const OperatorFloor& part : floor_.operators) consider("links", part.link);
    consider("links", links_);
    floor_.hops = ranks_ > 1 ? hops_ : 0;
    floor_.latency += latencies_.barrier + geometry_.superlanes;
    floor_.padding_loss = tiles > 0 ? 1 - useful / tiles : 0;
    return std::move(floor_);
  }
  void consider(const char* name, std::int64_t cycles) {
    if (cycles <= floor_.throughput) return;
    floor_.throughput = cycles;
    floor_.busiest = name;
  }

  const Geometry& geometry_;
  const LatencyTable& latencies_;
  const NeuralNetwork& network_;
  FloorLayer shape_;
  const Stage& stage_;
  const Ways ways_;
  const std::int64_t lanes_, hidden_;
  std::int64_t inner_ = 0;
  std::int64_t seen_blocks_ = 1;  ///< KV blocks that the layer under way reads at least
  const int weight_bytes_, kv_bytes_;
  const std::int64_t scale_, blocks_;
  const std::int64_t ranks_, trays_, tray_;  ///< chips of the gang, its trays, chips of one
  const int hops_;
  std::int64_t links_ = 0;  ///< that join the gang
  std::int64_t pack_heads_ = 0, packs_ = 0, q_vectors_ = 0;
  StageFloor floor_;
};

}  // namespace

StageFloor floor_of_stage(const Geometry& geometry, const LatencyTable& latencies,
                          const Stage& stage, std::int64_t context, const GangShape& gang) {
  const auto with_hops = [&](int hops) {
    return FloorMaker(geometry, latencies, stage, context, gang, hops).make();
  };
  const StageFloor two = with_hops(2);
  const StageFloor one = gang.ranks == 1 ? two : with_hops(1);
  return one.cycles() < two.cycles() ? one : two;
}

}  // namespace tandem::lpu
