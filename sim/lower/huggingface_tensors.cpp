#include "sim/lower/huggingface_tensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/formats/code.hpp"

namespace tandem::huggingface {
namespace {

constexpr std::int64_t scale_block = 128;
constexpr std::int64_t mx_group = 32;

[[noreturn]] void fail_tensor(const SafetensorsReader& reader, const std::string& name,
                              const std::string& what) {
  throw ConfigError(SourcePlace{reader.file_of(reader.at(name)), 0, 0},
                    fmt::format("tensor '{}': {}", name, what));
}

std::int64_t product(std::span<const std::int64_t> sizes) {
  std::int64_t total = 1;
  for (const std::int64_t size : sizes) total *= size;
  return total;
}

std::int64_t blocks_of(std::int64_t size) {
  return (size + scale_block - 1) / scale_block;
}

}  // namespace

Tensor read_scaled(const SafetensorsReader& reader, const std::string& name) {
  Tensor tensor = reader.read(name);
  const std::string scale_name = name + "_scale_inv";
  if (!reader.contains(scale_name)) return tensor;
  const Tensor scales = reader.read(scale_name);
  if (tensor.shape().size() != 2) fail_tensor(reader, name, "has block scales but is no matrix");
  const std::int64_t columns = tensor.dim(1);
  const std::vector<std::int64_t> expected{blocks_of(tensor.dim(0)), blocks_of(columns)};
  if (scales.shape() != expected) {
    fail_tensor(
        reader, scale_name,
        fmt::format("is [{}], needs [{}]: a scale per {}x{} block", fmt::join(scales.shape(), ", "),
                    fmt::join(expected, ", "), scale_block, scale_block));
  }
  std::int64_t index = 0;
  for (float& value : tensor.floats()) {
    const std::int64_t block =
        index / columns / scale_block * expected[1] + index % columns / scale_block;
    value *= scales.floats()[static_cast<std::size_t>(block)];
    ++index;
  }
  return tensor;
}

Tensor read_packed_int4(const SafetensorsReader& reader, const std::string& name) {
  const std::string packed_name = name + "_packed";
  const StoredTensor& packed = reader.at(packed_name);
  const Tensor scales = reader.read(name + "_scale");
  const Tensor sizes = reader.read(name + "_shape");
  if (packed.dtype != "I32" || packed.shape.size() != 2 || sizes.elements() != 2 ||
      scales.shape().size() != 2) {
    fail_tensor(reader, packed_name,
                "is no I32 matrix with a matrix of scales and a pair of sizes");
  }
  const std::int64_t rows = packed.shape[0];
  const auto columns = static_cast<std::int64_t>(sizes.load(1));
  const std::int64_t groups = scales.dim(1);
  const bool fits = sizes.load(0) == static_cast<float>(rows) && scales.dim(0) == rows &&
                    packed.shape[1] == (columns + 7) / 8 && groups > 0 && columns % groups == 0;
  if (!fits)
    fail_tensor(reader, packed_name, "its size differs from its scales' or from its shape");
  const std::vector<std::byte> bytes = reader.read_bytes(packed_name);
  Tensor tensor(ElementType::Float32, {rows, columns});
  std::int64_t index = 0;
  for (float& value : tensor.floats()) {
    const std::int64_t row = index / columns;
    const std::int64_t column = index % columns;
    // Words are little-endian: element j of a row is in its byte j / 2.
    const auto pair = static_cast<unsigned>(
        bytes[static_cast<std::size_t>(row * packed.shape[1] * 4 + column / 2)]);
    const int code = static_cast<int>((pair >> (column % 2 * 4)) & 15U) - 8;
    const std::int64_t group = row * groups + column / (columns / groups);
    value = static_cast<float>(code) * scales.load(group);
    ++index;
  }
  return tensor;
}

Tensor read_mxfp4(const SafetensorsReader& reader, const std::string& name) {
  const std::string blocks_name = name + "_blocks";
  const std::string scales_name = name + "_scales";
  const StoredTensor& blocks = reader.at(blocks_name);
  const StoredTensor& scales = reader.at(scales_name);
  std::vector<std::int64_t> expected = scales.shape;
  expected.push_back(mx_group / 2);
  if (scales.shape.empty() || blocks.shape != expected || blocks.dtype != "U8" ||
      scales.bytes != product(scales.shape)) {
    fail_tensor(reader, blocks_name, "is no U8 [..., groups, 16] with byte scales [..., groups]");
  }
  std::vector<std::int64_t> shape = scales.shape;
  shape.back() *= mx_group;
  const std::vector<std::byte> codes = reader.read_bytes(blocks_name);
  const std::vector<std::byte> powers = reader.read_bytes(scales_name);
  Tensor tensor(ElementType::Float32, std::move(shape));
  const std::span<float> out = tensor.floats();
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const auto pair = static_cast<unsigned>(codes[i]);
    const float scale = formats::decode_e8m0(static_cast<std::uint8_t>(powers[i / (mx_group / 2)]));
    out[2 * i] = formats::decode_e2m1(static_cast<std::uint8_t>(pair & 15U)) * scale;
    out[2 * i + 1] = formats::decode_e2m1(static_cast<std::uint8_t>(pair >> 4U)) * scale;
  }
  return tensor;
}

Tensor reshaped(const Tensor& tensor, std::vector<std::int64_t> shape) {
  Tensor result(ElementType::Float32, std::move(shape));
  std::ranges::copy(tensor.floats(), result.floats().begin());
  return result;
}

Tensor transposed_matrices(const Tensor& tensor) {
  const std::int64_t rows = tensor.dim(1);
  const std::int64_t columns = tensor.dim(2);
  Tensor result(ElementType::Float32, {tensor.dim(0), columns, rows});
  for (std::int64_t i = 0; i < tensor.elements(); ++i) {
    const std::int64_t matrix = i / (rows * columns) * rows * columns;
    const std::int64_t row = i / columns % rows;
    result.store(matrix + i % columns * rows + row, tensor.load(i));
  }
  return result;
}

Tensor rows_of(const Tensor& tensor, std::span<const std::int64_t> rows) {
  std::vector<std::int64_t> shape = tensor.shape();
  const std::int64_t width = tensor.dim(0) == 0 ? 0 : tensor.elements() / tensor.dim(0);
  shape.front() = static_cast<std::int64_t>(rows.size());
  Tensor result(ElementType::Float32, std::move(shape));
  auto out = result.floats().begin();
  for (const std::int64_t row : rows) {
    const auto from = tensor.floats().subspan(static_cast<std::size_t>(row * width),
                                              static_cast<std::size_t>(width));
    out = std::ranges::copy(from, out).out;
  }
  return result;
}

Tensor strided_rows(const Tensor& tensor, std::int64_t first, std::int64_t step,
                    std::int64_t count) {
  std::vector<std::int64_t> shape = tensor.shape();
  const std::int64_t rows_each = shape[1];
  std::vector<std::int64_t> rows;
  for (std::int64_t matrix = 0; matrix < shape[0]; ++matrix) {
    for (std::int64_t i = 0; i < count; ++i) rows.push_back(matrix * rows_each + first + i * step);
  }
  std::vector<std::int64_t> flat(shape.begin() + 1, shape.end());
  flat[0] = shape[0] * rows_each;
  shape[1] = count;
  return reshaped(rows_of(reshaped(tensor, std::move(flat)), rows), std::move(shape));
}

}  // namespace tandem::huggingface
