#include "sim/numerics/formats/linear_quantised.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/dot.hpp"

namespace tandem::formats {
namespace {

/// 127 * 127 * this is below 2^31.
constexpr std::int64_t longest_int8_dot = 131072;

void check_sizes(const QuantisedTensor& weight, std::span<const float> x, std::span<float> out) {
  if (x.size() != static_cast<std::size_t>(weight.cols()) ||
      out.size() != static_cast<std::size_t>(weight.rows())) {
    throw ModelError("linear_quantised: a " + std::to_string(weight.rows()) + " x " +
                     std::to_string(weight.cols()) + " weight, an input of " +
                     std::to_string(x.size()) + " and an output of " + std::to_string(out.size()));
  }
}

std::span<const std::int8_t> as_int8(std::span<const std::uint8_t> codes) {
  return {reinterpret_cast<const std::int8_t*>(codes.data()), codes.size()};
}

/// Columns [first, first + count) over which both sides have one scale.
struct Run {
  std::int64_t first;
  std::int64_t count;
};

std::vector<Run> runs_of(const QuantisedTensor& weight, const QuantisedTensor& x) {
  std::vector<Run> runs;
  std::int64_t first = 0;
  while (first < weight.cols()) {
    const std::int64_t next =
        std::min({(first / weight.scale_cols() + 1) * weight.scale_cols(),
                  (first / x.scale_cols() + 1) * x.scale_cols(), weight.cols()});
    runs.push_back({first, next - first});
    first = next;
  }
  return runs;
}

/// Exact products of codes of one pair of types.
class CodeDot {
 public:
  CodeDot(const QuantisedTensor& weight, const QuantisedTensor& x) : weight_(weight), x_(x) {
    both_int8_ = weight.format().code == CodeType::Int8 && x.format().code == CodeType::Int8;
    both_e4m3_ = weight.format().code == CodeType::Fp8E4m3 && x.format().code == CodeType::Fp8E4m3;
    if (both_int8_ && weight.cols() > longest_int8_dot) {
      throw ModelError("linear_quantised: int8 rows of " + std::to_string(weight.cols()) +
                       " elements may overflow int32");
    }
    if (!both_int8_ && !both_e4m3_) {
      x_values_.resize(static_cast<std::size_t>(x.cols()));
      x.unscaled(0, 0, x_values_);
      row_values_.resize(x_values_.size());
    }
  }

  [[nodiscard]] float dot(std::int64_t row, const Run& run) {
    const auto first = static_cast<std::size_t>(run.first);
    const auto count = static_cast<std::size_t>(run.count);
    if (both_int8_) {
      return static_cast<float>(dot_int8(as_int8(weight_.row_codes(row).subspan(first, count)),
                                         as_int8(x_.row_codes(0).subspan(first, count))));
    }
    if (both_e4m3_) {
      return dot_fp8_e4m3(weight_.row_codes(row).subspan(first, count),
                          x_.row_codes(0).subspan(first, count));
    }
    const std::span<float> values = std::span(row_values_).subspan(first, count);
    weight_.unscaled(row, run.first, values);
    return dot_wide(values, std::span<const float>(x_values_).subspan(first, count));
  }

 private:
  const QuantisedTensor& weight_;
  const QuantisedTensor& x_;
  bool both_int8_ = false;
  bool both_e4m3_ = false;
  std::vector<float> x_values_;
  std::vector<float> row_values_;
};

}  // namespace

void linear_quantised(const QuantisedTensor& weight, std::span<const float> x,
                      const QuantFormat& activation, std::span<float> out) {
  check_sizes(weight, x, out);
  if (weight.format().has_zero_point() || activation.has_zero_point()) {
    throw ModelError("linear_quantised: formats with zero points have no product of codes");
  }
  const QuantisedTensor token = quantise(x, 1, weight.cols(), activation);
  const std::vector<Run> runs = runs_of(weight, token);
  CodeDot codes(weight, token);
  for (std::int64_t r = 0; r < weight.rows(); ++r) {
    float sum = 0.0F;
    for (const Run& run : runs) {
      sum += (codes.dot(r, run) * token.scale(0, run.first)) * weight.scale(r, run.first);
    }
    out[static_cast<std::size_t>(r)] = sum;
  }
}

void linear_weight_only(const QuantisedTensor& weight, std::span<const float> x,
                        ElementType element, std::span<float> out) {
  check_sizes(weight, x, out);
  std::vector<float> rounded(x.size());
  std::transform(x.begin(), x.end(), rounded.begin(),
                 [element](float value) { return round_to(element, value); });
  std::vector<float> row(x.size());
  for (std::int64_t r = 0; r < weight.rows(); ++r) {
    weight.row(r, row);
    out[static_cast<std::size_t>(r)] = dot_wide(row, rounded);
  }
}

void linear_in_precision(const QuantisedTensor& weight, std::span<const float> x,
                         const Precision& precision, std::span<float> out) {
  if (!precision.weight || !(*precision.weight == weight.format())) {
    throw ModelError("linear_in_precision: the weight is stored as " +
                     std::string(weight.format().name) + ", not as precision " +
                     std::string(precision.name) + " asks");
  }
  if (precision.activation) {
    linear_quantised(weight, x, *precision.activation, out);
  } else {
    linear_weight_only(weight, x, precision.element, out);
  }
}

}  // namespace tandem::formats
