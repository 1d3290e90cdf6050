// The weights that one chip holds of a stage, as matrices under the roles of the kernels that use
// them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sim/lower/batch.hpp"
#include "sim/lower/weights.hpp"

namespace tandem::gpu {

/// [rows, width] of floats: elements, each rounded to their type; what a format leaves of them; or
/// codes, where rows are quantised before they are multiplied.
struct WeightMatrix {
  std::int64_t rows = 0;
  std::int64_t width = 0;
  std::vector<float> values;
  ElementType element = ElementType::Float32;
  bool has_format = false;
  const formats::QuantFormat* input = nullptr;  ///< of the rows that codes are multiplied with
  /// Of codes: the columns at which their scale changes, `width` last, and scales [rows, runs].
  std::vector<std::int64_t> run_ends;
  std::vector<float> scales;
  [[nodiscard]] std::span<const float> row(std::int64_t index) const {
    const auto size = static_cast<std::size_t>(width);
    return {values.data() + static_cast<std::size_t>(index) * size, size};
  }
};

/// Matrices by the role of their kernel: "qkv_projection" holds the rows of q, k, gate and v that
/// the chip has; a bias is "<role>.bias". Of experts the rows of all that the chip holds, one after
/// the other. Vectors are matrices of one row.
class RoleWeights {
 public:
  /// Throws ModelError where there is none.
  [[nodiscard]] const WeightMatrix& at(std::string_view role) const;
  /// Null where there is none.
  [[nodiscard]] const WeightMatrix* find(std::string_view role) const;
  [[nodiscard]] WeightMatrix& make(std::string role) { return matrices_[std::move(role)]; }

 private:
  std::map<std::string, WeightMatrix, std::less<>> matrices_;
};

struct StageWeights {
  RoleWeights outer;             ///< "embedding", "position_embedding", "final_norm", "lm_head"
  std::int64_t first_token = 0;  ///< whose embedding is the first row held
  std::vector<RoleWeights> layers;
};

/// Cuts out of a model what the chip stage.shard holds: heads, columns, experts, rows of the
/// vocabulary. What is added to a sum that chips share is held by one of them: biases of output
/// and down projections are 0 on the others. Throws ModelError when shapes do not match the stage's
/// network.
///
/// A tensor is stored in its format whole and then cut, so that codes and scales are those of one
/// chip.
[[nodiscard]] StageWeights cut_weights(const Stage& stage, const Weights& all);

}  // namespace tandem::gpu
