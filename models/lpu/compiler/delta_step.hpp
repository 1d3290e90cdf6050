// One token through the recurrence of Gated DeltaNet, as operators on a schedule: rows and
// accumulators in, rows out. The decay alpha, the strength beta, the states S and every sum are
// fp32.
//
// Keys and queries are used as they come from the convolution; the inverse norms r_k and r_q, which
// arrive later, are factors of what the state gives:
//   delta = beta (v - alpha r_k S^T k),  o = alpha r_q S^T q + r_q r_k (k.q) delta,
//   S <- alpha S + k (r_k delta)^T       (r_q holds 1 / sqrt(key_dim) too)
// which is the rule of arXiv 2412.06464 with o taken from the state before it is updated. So one
// pass over the states answers, and the second, which updates them, may run beside what follows.
#pragma once

#include <functional>
#include <vector>

#include "models/lpu/compiler/delta_layout.hpp"
#include "models/lpu/compiler/work.hpp"

namespace tandem::lpu {

/// Brings a vector into a Work: from rows, or from an accumulator with its factor.
using Operand = std::function<Value(Work&)>;
/// Takes the finished output of a pack out of a Work.
using DeltaSink = std::function<void(Work&, Value, int pack)>;

/// Permutations of a plan, as indices into the program's maps.
struct DeltaMaps {
  std::vector<std::vector<int>> spread;  ///< by pattern, by element of the keys
  std::vector<int> decay, strength;      ///< by pack
};
[[nodiscard]] DeltaMaps make_delta_maps(
    const DeltaPlan& plan, const std::function<int(std::vector<std::uint16_t>)>& add_map);

/// The operators of one layer, in this order: channels and gates, mix(), later update().
class DeltaStep {
 public:
  DeltaStep(Scheduler& scheduler, const DeltaPlan& plan, const DeltaMaps& maps,
            const DeltaLayerRows& layer, const DeltaBuffers& buffers, float norm_epsilon);

  // The projections of a token, vector by vector: convolution and silu, gates, silu(z) w.
  void take_query(int vector, const Operand& projected);
  void take_key(int vector, const Operand& projected);
  void take_value(int pack, const Operand& projected);
  void take_gates(int vector, const Operand& projected);
  void take_output_gate(int pack, const Operand& projected);

  /// What the states answer, normed per head and gated.
  void mix(const DeltaSink& sink);
  /// The states of the next token.
  void update();

 private:
  /// Packs whose states go through the vector unit side by side.
  using Bundle = std::vector<int>;
  [[nodiscard]] std::vector<Bundle> bundles() const;
  [[nodiscard]] Value convolve(Work& work, const Operand& projected, const DeltaChannels& channels);
  void spread_gates(int pack);
  void sum_keys(const DeltaView& view, const Rows& x, const Rows& y, int accumulator);
  void scale_keys(int view, int plane, int accumulator);
  void view_sums();
  void ask_states(const Bundle& packs);
  void ask_rows(const Bundle& packs, int i);
  [[nodiscard]] Value add_rows(Work& work, int pack, int i, int sum, const Rows& vector) const;
  void answer(int pack);
  void norm(int pack, const DeltaSink& sink);
  void update_states(const Bundle& packs);
  void update_row(Work& work, int pack, int i) const;
  void activate_sum(Work& work, Value value, const SumTile& sum, int accumulator, int lanes) const;
  [[nodiscard]] int spread(int pack, int i) const;
  [[nodiscard]] const DeltaView& view_of(int pack) const;

  Scheduler& scheduler_;
  const DeltaPlan& plan_;
  const DeltaMaps& maps_;
  const DeltaLayerRows& layer_;
  const DeltaBuffers& buffers_;
  float norm_epsilon_;
  std::int64_t row_from_ = 0;  ///< rows of states follow each other in time
};

/// silu(x) = x / (1 + exp(-x)) and sigmoid, the operations in this order.
[[nodiscard]] Value silu(Work& work, Value x);
[[nodiscard]] Value sigmoid(Work& work, Value x);

}  // namespace tandem::lpu
