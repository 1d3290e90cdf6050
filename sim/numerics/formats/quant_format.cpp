#include "sim/numerics/formats/quant_format.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "sim/core/diagnostics.hpp"

namespace tandem::formats {
namespace {

using Code = CodeType;
using Scale = ScaleType;
using Rule = ScaleRule;

// Granularities and scale types: DeepSeek-V3 weights 128x128 and activations 1x128 with fp32 scales
// (deepseek-ai/DeepSeek-V3 inference/kernel.py); int4 groups of 32 with bf16 scales (Kimi K2.5) and
// of 128 (usual); 2-bit groups of 32 (KIVI); MX blocks of 32 and NVFP4 blocks of 16.
constexpr QuantFormat fp8{"fp8", Code::Fp8E4m3, Scale::Float32, per_tensor};
constexpr QuantFormat fp8_channel{"fp8_channel", Code::Fp8E4m3, Scale::Float32, per_channel};
constexpr QuantFormat fp8_group{"fp8_group", Code::Fp8E4m3, Scale::Float32, per_group(128)};
constexpr QuantFormat fp8_block{"fp8_block", Code::Fp8E4m3, Scale::Float32, per_block(128, 128)};
constexpr QuantFormat int8{"int8", Code::Int8, Scale::Float32, per_channel};
constexpr QuantFormat int4_g128{"int4_g128", Code::Int4, Scale::Bfloat16, per_group(128)};
constexpr QuantFormat mxfp8{"mxfp8", Code::Fp8E4m3, Scale::E8m0, per_group(32), Rule::MxFloor};
constexpr QuantFormat mxfp4{"mxfp4", Code::E2m1, Scale::E8m0, per_group(32), Rule::MxFloor};
constexpr QuantFormat nvfp4{"nvfp4", Code::E2m1, Scale::Fp8E4m3, per_group(16), Rule::TwoLevel};

constexpr std::array formats{
    fp8,
    fp8_channel,
    fp8_group,
    fp8_block,
    QuantFormat{"fp8_kv", Code::Fp8E4m3, Scale::Float32, per_tensor},
    QuantFormat{"fp8_e5m2", Code::Fp8E5m2, Scale::Float32, per_tensor},
    int8,
    QuantFormat{"int8_g128", Code::Int8, Scale::Bfloat16, per_group(128)},
    QuantFormat{"int4_g32", Code::Int4, Scale::Bfloat16, per_group(32)},
    int4_g128,
    QuantFormat{"q4_0", Code::Int4, Scale::Float16, per_group(32), Rule::SignedMax, true},
    QuantFormat{"int2_g32", Code::Int2, Scale::Float16, per_group(32), Rule::MinMax},
    QuantFormat{"int2_g128", Code::Int2, Scale::Float16, per_group(128), Rule::MinMax},
    QuantFormat{"int1_g32", Code::Int1, Scale::Float16, per_group(32), Rule::MeanAbs},
    QuantFormat{"int1_g128", Code::Int1, Scale::Float16, per_group(128), Rule::MeanAbs},
    mxfp8,
    mxfp4,
    nvfp4,
};

constexpr ElementType bf16 = ElementType::Bfloat16;
constexpr std::array named_precisions{
    Precision{"float32", ElementType::Float32, {}, {}},
    Precision{"bfloat16", bf16, {}, {}},
    Precision{"float16", ElementType::Float16, {}, {}},
    Precision{"fp8", bf16, fp8, fp8_channel},
    Precision{"fp8_block", bf16, fp8_block, fp8_group},
    Precision{"int8", bf16, int8, int8},
    Precision{"int8_wo", bf16, int8, {}},
    Precision{"int4_wo", bf16, int4_g128, {}},
    Precision{"nvfp4", bf16, nvfp4, nvfp4},
    Precision{"mxfp4", bf16, mxfp4, mxfp4},
    Precision{"w4a16_mxfp4", bf16, mxfp4, {}},
    Precision{"w4a8_mxfp4_mxfp8", bf16, mxfp4, mxfp8},
};

std::int64_t tiles(std::int64_t extent, std::int64_t tile) {
  if (extent == 0) {
    return 0;
  }
  return tile == 0 ? 1 : extent / tile + (extent % tile != 0 ? 1 : 0);
}

template <class Table>
const auto& find_named(const Table& table, std::string_view name, const char* what) {
  std::vector<std::string> names;
  for (const auto& entry : table) {
    if (entry.name == name) {
      return entry;
    }
    names.emplace_back(entry.name);
  }
  const std::string nearest = closest_match(name, names);
  throw ConfigError("unknown " + std::string(what) + " '" + std::string(name) + "'" +
                    (nearest.empty() ? "" : "; did you mean '" + nearest + "'?"));
}

/// Precisions of all pairs of formats, by weights and then inputs, of which the first is "kept".
struct PairTable {
  std::vector<std::string> names;
  std::vector<Precision> precisions;
};

PairTable make_pairs() {
  PairTable table;
  for (const QuantFormat& weight : formats) {
    table.names.emplace_back(weight.name);
    for (const QuantFormat& input : formats) {
      table.names.push_back(std::string(weight.name) + " x " + std::string(input.name));
    }
  }
  const std::size_t choices = formats.size() + 1;
  for (std::size_t i = 0; i < table.names.size(); ++i) {
    Precision precision{table.names[i], bf16, formats[i / choices], {}};
    if (i % choices > 0) precision.activation = formats[i % choices - 1];
    table.precisions.push_back(precision);
  }
  return table;
}

const PairTable& pairs() {
  static const PairTable table = make_pairs();
  return table;
}

std::size_t index_of_format(const QuantFormat& format) {
  const auto found = std::find(formats.begin(), formats.end(), format);
  if (found == formats.end()) {
    throw ModelError("format " + std::string(format.name) + " is not among the named formats");
  }
  return static_cast<std::size_t>(found - formats.begin());
}

}  // namespace

double QuantFormat::bits_per_element() const {
  const double tile = static_cast<double>(granularity.rows) * static_cast<double>(granularity.cols);
  const double code_bits = bits_of(code);
  const int per_tile = bytes_of(scale) * (has_zero_point() ? 2 : 1);
  return tile == 0 ? code_bits : code_bits + 8.0 * per_tile / tile;
}

std::int64_t storage_bytes(const QuantFormat& format, std::int64_t rows, std::int64_t cols) {
  if (rows < 0 || cols < 0) {
    throw ModelError("format " + std::string(format.name) + ": negative extent");
  }
  const std::int64_t row_bytes = (cols * bits_of(format.code) + 7) / 8;
  const std::int64_t groups =
      tiles(rows, format.granularity.rows) * tiles(cols, format.granularity.cols);
  const int per_group_bytes = bytes_of(format.scale) * (format.has_zero_point() ? 2 : 1);
  return rows * row_bytes + groups * per_group_bytes + (format.has_tensor_scale() ? 4 : 0);
}

std::span<const QuantFormat> quant_formats() {
  return formats;
}

const QuantFormat& find_quant_format(std::string_view name) {
  return find_named(formats, name, "storage format");
}

std::span<const Precision> precisions() {
  return named_precisions;
}

const Precision& find_precision(std::string_view name) {
  return find_named(named_precisions, name, "precision");
}

const Precision& precision_of(const QuantFormat& weight, const QuantFormat* activation) {
  for (const Precision& precision : named_precisions) {
    if (!precision.weight || !(*precision.weight == weight)) continue;
    const bool is_same = activation == nullptr
                             ? !precision.activation
                             : precision.activation && *precision.activation == *activation;
    if (is_same) return precision;
  }
  const std::size_t input_index = activation == nullptr ? 0 : index_of_format(*activation) + 1;
  return pairs().precisions[index_of_format(weight) * (formats.size() + 1) + input_index];
}

std::int64_t weight_bytes(const Precision& precision, std::int64_t rows, std::int64_t cols) {
  return precision.weight ? storage_bytes(*precision.weight, rows, cols)
                          : rows * cols * tandem::bytes_of(precision.element);
}

}  // namespace tandem::formats
