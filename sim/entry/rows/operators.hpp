// The operators that rows can ask for: which columns they need, and the kernels that a framework
// runs for one of them. Each maker reads its row and says, given the software, which kernels follow
// each other; a framework's habits (separate quantisation, fused rotation) are keys of the
// software.
#pragma once

#include <string>
#include <vector>

#include "sim/entry/rows/row_reader.hpp"

namespace tandem::entry {

/// An operator of `tandem kernels` and of the manifest.
struct RowOperator {
  std::string name;
  std::vector<std::string> columns;  ///< that a row must have
  /// The kernels of one row in launch order, as `software` runs them.
  std::vector<Kernel> (*make)(RowReader& row, const Software& software);
  /// A framework prepares several launches for it: the software's operator_overhead applies.
  bool is_composed = false;
  /// A layer's part that works on what the kernel before it has just written, in L2 if it fits
  /// there, unless its row says otherwise.
  bool follows_producer = false;
  /// Its benchmark replays a graph of this operator alone: the software's replay_overhead applies.
  bool is_replayed_alone = false;
};

/// gemm, bmm.
[[nodiscard]] std::vector<RowOperator> product_operators();
/// attention_prefill, attention_decode, attention_mixed.
[[nodiscard]] std::vector<RowOperator> attention_operators();
/// mla_prefill, mla_decode, mla_module_decode, dsa_module_decode.
[[nodiscard]] std::vector<RowOperator> latent_operators();
/// grouped_gemm, moe.
[[nodiscard]] std::vector<RowOperator> expert_operators();
/// gdn, mamba2.
[[nodiscard]] std::vector<RowOperator> recurrent_operators();
/// rmsnorm, silu_mul, rope, mlp_layer.
[[nodiscard]] std::vector<RowOperator> layer_operators();

/// All of them, by name.
[[nodiscard]] const std::vector<RowOperator>& row_operators();

/// Layers that the benchmark of a framework replays in turn, each with its own weights, when the
/// run is one product; 1 otherwise.
[[nodiscard]] std::int64_t replayed_weight_copies(const std::vector<Kernel>& kernels,
                                                  const Software& software);

/// Fixed time of the framework where the run ends in a product of a quantised format.
[[nodiscard]] Picoseconds product_overhead(const std::vector<Kernel>& kernels,
                                           const Software& software);

/// A number that the software layer may state; `fallback` where it does not.
[[nodiscard]] double software_value(const Software& software, const char* key, double fallback);

}  // namespace tandem::entry
