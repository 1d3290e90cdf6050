#include "sim/numerics/tensor.hpp"

#include <cstring>
#include <string>
#include <utility>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

std::int64_t product_of(const std::vector<std::int64_t>& shape) {
  std::int64_t elements = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0) {
      throw ModelError("tensor: negative extent " + std::to_string(extent));
    }
    if (__builtin_mul_overflow(elements, extent, &elements)) {
      throw ModelError("tensor: shape has more elements than can be counted");
    }
  }
  return elements;
}

}  // namespace

Tensor::Tensor(ElementType type, std::vector<std::int64_t> shape)
    : type_(type), shape_(std::move(shape)) {
  bytes_.resize(static_cast<std::size_t>(product_of(shape_)) *
                static_cast<std::size_t>(bytes_of(type_)));
}

std::int64_t Tensor::elements() const {
  return static_cast<std::int64_t>(bytes_.size()) / bytes_of(type_);
}

float Tensor::load(std::int64_t index) const {
  const auto width = static_cast<std::size_t>(bytes_of(type_));
  std::uint32_t bits = 0;
  std::memcpy(&bits, bytes_.data() + static_cast<std::size_t>(index) * width, width);
  return decode_element(type_, bits);
}

void Tensor::store(std::int64_t index, float value) {
  const auto width = static_cast<std::size_t>(bytes_of(type_));
  const std::uint32_t bits = encode_element(type_, value);
  std::memcpy(bytes_.data() + static_cast<std::size_t>(index) * width, &bits, width);
}

std::span<const float> Tensor::floats() const {
  if (type_ != ElementType::Float32) {
    throw ModelError("tensor: elements are " + std::string(name_of(type_)) + ", not float32");
  }
  return {reinterpret_cast<const float*>(bytes_.data()), bytes_.size() / sizeof(float)};
}

std::span<float> Tensor::floats() {
  const std::span<const float> view = std::as_const(*this).floats();
  return {const_cast<float*>(view.data()), view.size()};
}

Tensor Tensor::converted(ElementType type) const {
  if (type == type_) {
    return *this;
  }
  Tensor result(type, shape_);
  const std::int64_t count = elements();
  for (std::int64_t i = 0; i < count; ++i) {
    result.store(i, load(i));
  }
  return result;
}

}  // namespace tandem
