// Quantisation on the vector unit: codes with one factor per token or per tensor, and back.
//
//   factor = max(amax, least) / largest finite value,  code = round(x / factor)
// The division is a product with an inverse (Recip), both rounded to fp32; codes saturate. `least`
// keeps the inverse finite for vectors of zeros.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/lpu/compiler/emitter.hpp"
#include "models/lpu/compiler/lane_reduction.hpp"

namespace tandem::lpu {

/// Smallest magnitude that a factor is made for; its inverse times any largest value is finite.
inline constexpr float least_amax = 0x1p-100F;

/// Largest finite value of Int8, Fp8E4m3 or Fp8E5m2. Throws ModelError for other types.
[[nodiscard]] float largest_value(Type type);

/// Vectors of one token (or tensor) and where their codes go.
struct QuantiseRows {
  std::vector<Rows> values;  ///< fp32
  std::vector<Rows> codes;   ///< one byte each
  Rows factor;               ///< fp32, the same in all lanes
};

/// Keeps the inverse factor while vectors pass.
struct QuantiseAlus {
  int running = 0;  ///< amax so far
  int inverse = 0;
};

/// Quantises with a factor of the token's own, which it stores; lanes beyond the values hold zeros.
void quantise_token(Scheduler& scheduler, const AddMap& add_map, const QuantiseRows& rows,
                    Type type, const QuantiseAlus& alus);
/// Quantises with the factor that lies in `rows.factor`.
void quantise_tensor(Scheduler& scheduler, const QuantiseRows& rows, Type type,
                     const QuantiseAlus& alus);

/// value = (code * by_output) * token: codes of one byte or sums of products (fp32, int32).
struct DequantiseRows {
  std::vector<Rows> codes;
  std::vector<Rows> by_output;  ///< fp32 factors, by vector
  Rows token;                   ///< fp32, the same in all lanes; empty: none
  std::vector<Rows> values;     ///< fp32
};
void dequantise(Scheduler& scheduler, const DequantiseRows& rows, Type from);

/// Quantisation of a token or a tensor by itself, SRAM to SRAM.
struct CompiledQuantise {
  QuantiseRows rows;
  DequantiseRows back;  ///< the codes again as fp32, factors by output in place
  Program program;
  std::int64_t cycles = 0;
};
[[nodiscard]] CompiledQuantise compile_quantise(const Geometry& geometry,
                                                const LatencyTable& latencies,
                                                const std::string& chip, int vectors, Type type,
                                                bool per_token);

}  // namespace tandem::lpu
