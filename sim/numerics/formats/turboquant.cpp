#include "sim/numerics/formats/turboquant.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>
#include <numeric>
#include <string>
#include <utility>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/formats/packing.hpp"

namespace tandem::formats {
namespace {

double norm_of(std::span<const double> x) {
  double sum = 0.0;
  for (const double value : x) {
    sum += value * value;
  }
  return std::sqrt(sum);
}

/// x / |x| (zeros stay zeros) and |x|. Throws ModelError when |x| does not fit fp16.
double split_norm(std::span<const float> x, std::vector<double>& unit) {
  unit.assign(x.begin(), x.end());
  const double norm = norm_of(unit);
  if (!std::isfinite(round_to(ElementType::Float16, static_cast<float>(norm)))) {
    throw ModelError("TurboQuant: a vector of norm " + std::to_string(norm) +
                     "; its norm is stored in fp16");
  }
  for (double& value : unit) {
    value = norm > 0.0 ? value / norm : 0.0;
  }
  return norm;
}

void write_scaled(std::span<const double> unit, double by, std::span<float> out) {
  std::transform(unit.begin(), unit.end(), out.begin(),
                 [by](double value) { return static_cast<float>(value * by); });
}

}  // namespace

TurboQuantMse::TurboQuantMse(Rotation rotation, int bits, bool renormalise)
    : rotation_(std::move(rotation)),
      bits_(bits),
      renormalise_(renormalise),
      quantiser_(lloyd_max_gaussian(bits)) {}

std::size_t TurboQuantMse::index_bytes() const {
  return packed_bytes(static_cast<std::size_t>(dim()), bits_);
}

void TurboQuantMse::encode_direction(std::span<const double> unit,
                                     std::span<std::uint8_t> indices) const {
  std::vector<double> rotated(unit.size());
  rotation_.apply(unit, rotated);
  const double to_unit_variance = std::sqrt(static_cast<double>(dim()));
  for (std::size_t i = 0; bits_ > 0 && i < rotated.size(); ++i) {
    write_bits(indices, i * static_cast<std::size_t>(bits_), bits_,
               static_cast<std::uint32_t>(quantiser_.nearest(rotated[i] * to_unit_variance)));
  }
}

void TurboQuantMse::decode_direction(std::span<const std::uint8_t> indices,
                                     std::span<double> out) const {
  std::vector<double> rotated(static_cast<std::size_t>(dim()));
  double scale = 1.0 / std::sqrt(static_cast<double>(dim()));
  for (std::size_t i = 0; bits_ > 0 && i < rotated.size(); ++i) {
    rotated[i] =
        quantiser_.centroids[read_bits(indices, i * static_cast<std::size_t>(bits_), bits_)];
  }
  if (renormalise_ && bits_ > 0) {
    scale = 1.0 / norm_of(rotated);
  }
  for (double& value : rotated) {
    value *= scale;
  }
  rotation_.apply_transposed(rotated, out);
}

void TurboQuantMse::encode(std::span<const float> x, std::span<std::uint8_t> out) const {
  assert(x.size() == static_cast<std::size_t>(dim()) && out.size() == bytes());
  std::vector<double> unit;
  const double norm = split_norm(x, unit);
  encode_direction(unit, out.first(index_bytes()));
  store_float16(out, index_bytes(), static_cast<float>(norm));
}

void TurboQuantMse::decode(std::span<const std::uint8_t> bytes, std::span<float> out) const {
  assert(out.size() == static_cast<std::size_t>(dim()) && bytes.size() == this->bytes());
  std::vector<double> unit(out.size());
  decode_direction(bytes.first(index_bytes()), unit);
  write_scaled(unit, load_float16(bytes, index_bytes()), out);
}

QjlSketch::QjlSketch(std::int64_t dim, RandomStream& random)
    : dim_(dim), matrix_(static_cast<std::size_t>(dim * dim)) {
  for (double& value : matrix_) {
    value = random.normal();
  }
}

void QjlSketch::encode(std::span<const double> r, std::span<std::uint8_t> signs) const {
  const auto size = static_cast<std::size_t>(dim_);
  for (std::size_t row = 0; row < size; ++row) {
    const double* s = matrix_.data() + row * size;
    write_bits(signs, row, 1, std::inner_product(r.begin(), r.end(), s, 0.0) > 0.0 ? 1U : 0U);
  }
}

void QjlSketch::decode(std::span<const std::uint8_t> signs, double norm,
                       std::span<double> out) const {
  const auto size = static_cast<std::size_t>(dim_);
  const double factor = std::sqrt(std::numbers::pi / 2) / static_cast<double>(dim_) * norm;
  std::fill(out.begin(), out.end(), 0.0);
  for (std::size_t row = 0; row < size; ++row) {
    const double by = read_bits(signs, row, 1) != 0 ? factor : -factor;
    for (std::size_t i = 0; i < size; ++i) {
      out[i] += by * matrix_[row * size + i];
    }
  }
}

TurboQuantProd::TurboQuantProd(Rotation rotation, QjlSketch sketch, int bits)
    : base_(std::move(rotation), bits - 1), sketch_(std::move(sketch)) {
  if (base_.dim() != sketch_.dim()) {
    throw ModelError("TurboQuant: a rotation of " + std::to_string(base_.dim()) +
                     " and a sketch of " + std::to_string(sketch_.dim()) + " coordinates");
  }
}

void TurboQuantProd::encode(std::span<const float> x, std::span<std::uint8_t> out) const {
  assert(x.size() == static_cast<std::size_t>(dim()) && out.size() == bytes());
  std::vector<double> rest;
  const double norm = split_norm(x, rest);
  const std::span<std::uint8_t> indices = out.first(base_.index_bytes());
  base_.encode_direction(rest, indices);
  std::vector<double> base(rest.size());
  base_.decode_direction(indices, base);
  for (std::size_t i = 0; i < rest.size(); ++i) {
    rest[i] -= base[i];
  }
  sketch_.encode(rest, out.subspan(base_.index_bytes(), sketch_.bytes()));
  store_float16(out, out.size() - 4, static_cast<float>(norm));
  store_float16(out, out.size() - 2, static_cast<float>(norm_of(rest)));
}

void TurboQuantProd::decode(std::span<const std::uint8_t> bytes, std::span<float> out) const {
  assert(out.size() == static_cast<std::size_t>(dim()) && bytes.size() == this->bytes());
  std::vector<double> sum(out.size());
  std::vector<double> rest(out.size());
  base_.decode_direction(bytes.first(base_.index_bytes()), sum);
  sketch_.decode(bytes.subspan(base_.index_bytes(), sketch_.bytes()),
                 load_float16(bytes, bytes.size() - 2), rest);
  for (std::size_t i = 0; i < sum.size(); ++i) {
    sum[i] += rest[i];
  }
  write_scaled(sum, load_float16(bytes, bytes.size() - 4), out);
}

TurboQuantSplit::TurboQuantSplit(std::int64_t dim, std::vector<std::int64_t> outliers,
                                 int outlier_bits, int bits, RandomStream& random)
    : channels_(std::move(outliers)),
      outlier_(Rotation::gaussian(static_cast<std::int64_t>(channels_.size()), random),
               outlier_bits),
      other_(Rotation::gaussian(dim - static_cast<std::int64_t>(channels_.size()), random), bits) {
  std::sort(channels_.begin(), channels_.end());
  const std::size_t count = channels_.size();
  const bool distinct = std::adjacent_find(channels_.begin(), channels_.end()) == channels_.end();
  if (!distinct || channels_.front() < 0 || channels_.back() >= dim) {
    throw ModelError("TurboQuant: outlier channels must be distinct and below " +
                     std::to_string(dim));
  }
  for (std::int64_t channel = 0; channel < dim; ++channel) {
    const auto end = channels_.begin() + static_cast<std::ptrdiff_t>(count);
    if (!std::binary_search(channels_.begin(), end, channel)) {
      channels_.push_back(channel);
    }
  }
}

void TurboQuantSplit::encode(std::span<const float> x, std::span<std::uint8_t> out) const {
  assert(x.size() == channels_.size() && out.size() == bytes());
  std::vector<float> gathered(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    gathered[i] = x[static_cast<std::size_t>(channels_[i])];
  }
  const auto head = static_cast<std::size_t>(outlier_.dim());
  outlier_.encode(std::span<const float>(gathered).first(head), out.first(outlier_.bytes()));
  other_.encode(std::span<const float>(gathered).subspan(head), out.subspan(outlier_.bytes()));
}

void TurboQuantSplit::decode(std::span<const std::uint8_t> bytes, std::span<float> out) const {
  assert(out.size() == channels_.size() && bytes.size() == this->bytes());
  std::vector<float> gathered(out.size());
  const auto head = static_cast<std::size_t>(outlier_.dim());
  outlier_.decode(bytes.first(outlier_.bytes()), std::span(gathered).first(head));
  other_.decode(bytes.subspan(outlier_.bytes()), std::span(gathered).subspan(head));
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[static_cast<std::size_t>(channels_[i])] = gathered[i];
  }
}

std::vector<std::int64_t> outlier_channels(std::span<const float> rows, std::int64_t dim,
                                           std::int64_t count) {
  std::vector<double> energy(static_cast<std::size_t>(dim));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    energy[i % energy.size()] += static_cast<double>(rows[i]) * static_cast<double>(rows[i]);
  }
  std::vector<std::int64_t> channels(energy.size());
  std::iota(channels.begin(), channels.end(), 0);
  std::stable_sort(channels.begin(), channels.end(), [&](std::int64_t a, std::int64_t b) {
    return energy[static_cast<std::size_t>(a)] > energy[static_cast<std::size_t>(b)];
  });
  channels.resize(static_cast<std::size_t>(std::min(count, dim)));
  std::sort(channels.begin(), channels.end());
  return channels;
}

}  // namespace tandem::formats
