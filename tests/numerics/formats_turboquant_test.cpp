// Do TurboQuant and QJL have the distortion and the inner-product bias that theory gives them?
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/formats/turboquant.hpp"

namespace tandem::formats {
namespace {

constexpr std::int64_t dim = 64;
constexpr std::size_t size = 64;
constexpr double ratio = 0.6;  ///< cosine between x and the vector it is compared with

/// Mean of independent samples and its standard error.
struct Samples {
  double sum = 0;
  double squares = 0;
  int count = 0;
  void add(double value) {
    sum += value;
    squares += value * value;
    ++count;
  }
  [[nodiscard]] double mean() const { return sum / count; }
  [[nodiscard]] double error() const {
    return std::sqrt((squares / count - mean() * mean()) / (count - 1));
  }
};

double inner(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  }
  return sum;
}

std::vector<float> scaled_to_unit(std::vector<float> x) {
  const double norm = std::sqrt(inner(x, x));
  for (float& value : x) value = static_cast<float>(static_cast<double>(value) / norm);
  return x;
}

std::vector<float> unit_vector(RandomStream& random) {
  std::vector<float> x(size);
  for (float& value : x) value = static_cast<float>(random.normal());
  return scaled_to_unit(x);
}

/// A unit vector at right angles to x.
std::vector<float> orthogonal_to(const std::vector<float>& x, RandomStream& random) {
  std::vector<float> z = unit_vector(random);
  const double along = inner(x, z);
  for (std::size_t i = 0; i < size; ++i) z[i] -= static_cast<float>(along) * x[i];
  return scaled_to_unit(z);
}

/// ratio * x + sqrt(1 - ratio^2) * z
std::vector<float> mixed(const std::vector<float>& x, const std::vector<float>& z) {
  std::vector<float> y(size);
  for (std::size_t i = 0; i < size; ++i) {
    y[i] = static_cast<float>(ratio * static_cast<double>(x[i]) +
                              std::sqrt(1 - ratio * ratio) * static_cast<double>(z[i]));
  }
  return y;
}

/// Exact expectations of Algorithm 1 for a random rotation: a coordinate t of a random unit vector
/// has density (1 - t^2)^((d-3)/2). kept = E <x^, x> = d E[t c(t)], mse = E |x - x^|^2.
struct Expected {
  double kept = 0;
  double mse = 0;
};

Expected on_the_sphere(int bits) {
  const ScalarQuantiser q = lloyd_max_gaussian(bits);
  constexpr int steps = 20000;
  double mass = 0;
  double product = 0;
  double square = 0;
  for (int i = 0; i < steps; ++i) {
    const double t = -1 + 2 * (i + 0.5) / steps;
    const double p = std::pow(1 - t * t, (dim - 3) / 2.0);
    double best = q.centroids[0];
    for (const double c : q.centroids) {
      best = std::abs(c - t * 8) < std::abs(best - t * 8) ? c : best;  // 8 = sqrt(64)
    }
    mass += p;
    product += p * t * best / 8;
    square += p * best * best / 64;
  }
  return {dim * product / mass, 1 - 2 * dim * product / mass + dim * square / mass};
}

template <class Codec>
std::vector<float> through(const Codec& codec, const std::vector<float>& x) {
  std::vector<std::uint8_t> bytes(codec.bytes());
  codec.encode(x, bytes);
  std::vector<float> back(x.size());
  codec.decode(bytes, back);
  return back;
}

double squared_distance(const std::vector<float>& a, const std::vector<float>& b) {
  return inner(a, a) - 2 * inner(a, b) + inner(b, b);
}

/// Mean distortion and relative bias of <x^, y> against theory, within 4.5 standard errors.
void expect_algorithm_1(const Rotation& rotation, int bits, int count) {
  const TurboQuantMse codec(rotation, bits);
  RandomStream random(static_cast<std::uint64_t>(bits), "algorithm 1 samples");
  const Expected expected = on_the_sphere(bits);
  Samples mse;
  Samples bias;
  for (int i = 0; i < count; ++i) {
    const std::vector<float> x = unit_vector(random);
    const std::vector<float> y = mixed(x, orthogonal_to(x, random));
    const std::vector<float> back = through(codec, x);
    mse.add(squared_distance(x, back));
    bias.add((inner(back, y) - ratio) / ratio);
  }
  // fp16 norm: |x| = 1 is exact, so only float rounding adds to the sampling error.
  EXPECT_NEAR(mse.mean(), expected.mse, 4.5 * mse.error()) << bits;
  EXPECT_NEAR(bias.mean(), expected.kept - 1, 4.5 * bias.error()) << bits;
  EXPECT_LT(mse.error(), 0.02 * expected.mse) << "the test must be able to tell";
}

TEST(TurboQuantMse, distortion_and_bias_as_published) {
  // arXiv 2504.19874: D_mse .36, .117, .03, .009; the bias of Algorithm 1 is -D_mse for Gaussian
  // coordinates: -36, -12, -3, -.9 % (a Monte Carlo of 150 samples gave -.6 % for the last).
  const std::vector<double> published{0.3634, 0.1175, 0.0345, 0.0095};
  RandomStream random(1, "rotation");
  const Rotation rotation = Rotation::gaussian(dim, random);
  for (int bits = 1; bits <= 4; ++bits) {
    const Expected expected = on_the_sphere(bits);
    EXPECT_NEAR(1 - expected.kept, published[static_cast<std::size_t>(bits - 1)], 0.01) << bits;
    EXPECT_NEAR(expected.mse, published[static_cast<std::size_t>(bits - 1)], 0.01) << bits;
    expect_algorithm_1(rotation, bits, 2000);
  }
}

TEST(TurboQuantMse, hadamard_rotation_gives_the_same_for_random_vectors) {
  RandomStream random(2, "rotation");
  const Rotation rotation = Rotation::hadamard(dim, random);
  expect_algorithm_1(rotation, 2, 2000);
  expect_algorithm_1(rotation, 4, 2000);
}

TEST(TurboQuantMse, one_hot_vector_under_hadamard) {
  // All rotated coordinates are +-1/8, that is +-1 in units of 1/sqrt(d). At 2 bits 1 lies above
  // the edge (.4528 + 1.5104) / 2 = .9816: x^ = 1.5104 x, and 1 x with norm correction.
  RandomStream random(3, "rotation");
  const Rotation rotation = Rotation::hadamard(dim, random);
  std::vector<float> x(size, 0.0F);
  x[5] = 2.0F;
  const std::vector<float> plain = through(TurboQuantMse(rotation, 2), x);
  const std::vector<float> corrected = through(TurboQuantMse(rotation, 2, true), x);
  EXPECT_NEAR(plain[5], 2 * 1.510418, 1e-5);
  EXPECT_NEAR(corrected[5], 2.0, 1e-6);
  EXPECT_NEAR(plain[4], 0.0, 1e-6);
}

TEST(QjlSketch, one_row_by_hand) {
  // d = 1: the sketch is one normal s. The estimate of r is sqrt(pi/2) |r| |s| with the sign of r:
  // its mean over s is sqrt(pi/2) sqrt(2/pi) r = r. The sign bit of s * 0 is 0 (negative).
  RandomStream drawn(11, "sketch");
  const double s = drawn.normal();
  RandomStream same(11, "sketch");
  const QjlSketch sketch(1, same);
  for (const double r : {2.5, -2.5}) {
    std::vector<std::uint8_t> signs(sketch.bytes());
    std::vector<double> back(1);
    sketch.encode(std::vector<double>{r}, signs);
    EXPECT_EQ(signs[0], s * r > 0 ? 1 : 0);
    sketch.decode(signs, std::abs(r), back);
    EXPECT_NEAR(back[0], std::sqrt(std::numbers::pi / 2) * std::abs(s) * r, 1e-12);
  }
  std::vector<std::uint8_t> signs{1};
  sketch.encode(std::vector<double>{0.0}, signs);
  EXPECT_EQ(signs[0], 0);
}

TEST(TurboQuantProd, unbiased_with_the_published_distortion) {
  // E over sketches is exact: E <x~, y> = <x, y>. With y independent of x, the squared error is
  // (pi/2 |r|^2 - <r, y>^2) / d, so D_prod d = D_mse(b-1) (pi/2 - 1/d): near the published pi/2
  // D_mse(b-1) = 1.571, .571, .185, .054. Eight samples share a sketch; their mean is one sample.
  const std::vector<double> published{1.571, 0.571, 0.185, 0.054};
  RandomStream random(4, "algorithm 2");
  const Rotation rotation = Rotation::gaussian(dim, random);
  for (int bits = 1; bits <= 4; ++bits) {
    Samples bias;
    Samples own;  // of <x~, x>, the sharpest: its variance is (pi/2 - 1) |r|^2 / d
    Samples distortion;
    for (int sketch = 0; sketch < 100; ++sketch) {
      const TurboQuantProd codec(rotation, QjlSketch(dim, random), bits);
      double bias_sum = 0;
      double own_sum = 0;
      double distortion_sum = 0;
      for (int i = 0; i < 8; ++i) {
        const std::vector<float> x = unit_vector(random);
        const std::vector<float> y = mixed(x, orthogonal_to(x, random));
        const std::vector<float> other = unit_vector(random);
        const std::vector<float> back = through(codec, x);
        bias_sum += (inner(back, y) - ratio) / ratio / 8;
        own_sum += inner(back, x) / 8;
        distortion_sum += std::pow(inner(back, other) - inner(x, other), 2) * dim / 8;
      }
      bias.add(bias_sum);
      own.add(own_sum);
      distortion.add(distortion_sum);
    }
    const double exact = on_the_sphere(bits - 1).mse * (std::numbers::pi / 2 - 1.0 / dim);
    EXPECT_NEAR(bias.mean(), 0.0, 4.5 * bias.error()) << bits;
    EXPECT_NEAR(distortion.mean(), exact, 4.5 * distortion.error()) << bits;
    EXPECT_NEAR(exact, published[static_cast<std::size_t>(bits - 1)], 0.05 * exact) << bits;
    EXPECT_NEAR(own.mean(), 1.0, 4.5 * own.error()) << bits;
    EXPECT_LT(bias.error(), 0.02) << bits;
    EXPECT_LT(own.error(), 0.005) << bits;
  }
}

TEST(TurboQuant, from_three_bits_on_algorithm_1_has_the_smaller_inner_product_error) {
  // Against y with <x, y> = .6: E e^2 = var + bias^2. Algorithm 1 at b = 3: about (1 - .36) D / d +
  // (.6 D)^2 = .0008; Algorithm 2: pi/2 D(2) / d = .0029. At b = 1: .05 against .02.
  RandomStream random(5, "compare");
  const Rotation rotation = Rotation::gaussian(dim, random);
  const QjlSketch sketch(dim, random);
  for (const int bits : {1, 3}) {
    const TurboQuantMse least_error(rotation, bits);
    const TurboQuantProd unbiased(rotation, sketch, bits);
    double first = 0;
    double second = 0;
    for (int i = 0; i < 300; ++i) {
      const std::vector<float> x = unit_vector(random);
      const std::vector<float> y = mixed(x, orthogonal_to(x, random));
      first += std::pow(inner(through(least_error, x), y) - ratio, 2);
      second += std::pow(inner(through(unbiased, x), y) - ratio, 2);
    }
    EXPECT_EQ(first < second, bits == 3) << bits;
  }
}

TEST(TurboQuant, sizes_in_bytes) {
  RandomStream random(6, "sizes");
  const Rotation rotation = Rotation::hadamard(128, random);
  EXPECT_EQ(TurboQuantMse(rotation, 3).bytes(), 48U + 2);
  EXPECT_EQ(TurboQuantProd(rotation, QjlSketch(128, random), 3).bytes(), 32U + 16 + 4);
  // 32 channels at 3 bits and 96 at 2: 12 + 24 bytes of indices = 2.25 bits a channel; with two
  // fp16 norms 40 bytes = 2.5 bits.
  std::vector<std::int64_t> outliers;
  for (std::int64_t c = 0; c < 32; ++c) outliers.push_back(4 * c);
  EXPECT_EQ(TurboQuantSplit(128, outliers, 3, 2, random).bytes(), 40U);
}

TEST(TurboQuantSplit, outlier_channels_get_their_own_norm_and_more_bits) {
  // Channels 3 and 40 are 100 times larger. One instance for all would drown the others in their
  // error; with the split each side has its own relative error.
  RandomStream random(7, "split");
  std::vector<float> x(size);
  for (float& value : x) value = static_cast<float>(random.normal());
  x[3] *= 100;
  x[40] *= 100;
  const std::vector<std::int64_t> outliers = outlier_channels(x, dim, 2);
  EXPECT_EQ(outliers, (std::vector<std::int64_t>{3, 40}));
  const std::vector<float> back = through(TurboQuantSplit(dim, outliers, 5, 4, random), x);
  double error = 0;
  double energy = 0;
  for (std::size_t i = 0; i < size; ++i) {
    if (i != 3 && i != 40) {
      error += std::pow(back[i] - x[i], 2);
      energy += std::pow(x[i], 2);
    }
  }
  EXPECT_LT(error / energy, 0.02);  // D_mse at 4 bits is .0095
  EXPECT_NEAR(back[3], x[3], 0.1 * std::hypot(x[3], x[40]));
  EXPECT_NEAR(back[40], x[40], 0.1 * std::hypot(x[3], x[40]));
}

TEST(Rotation, is_orthogonal_and_inverted_by_its_transpose) {
  RandomStream random(8, "orthogonal");
  for (const Rotation& rotation : {Rotation::gaussian(12, random), Rotation::hadamard(16, random),
                                   Rotation::gaussian(1, random), Rotation::hadamard(1, random)}) {
    const auto n = static_cast<std::size_t>(rotation.dim());
    for (std::size_t i = 0; i < n; ++i) {
      std::vector<double> unit(n, 0.0);
      std::vector<double> turned(n);
      std::vector<double> back(n);
      unit[i] = 1;
      rotation.apply(unit, turned);
      double norm = 0;
      for (const double value : turned) norm += value * value;
      EXPECT_NEAR(norm, 1.0, 1e-12);
      rotation.apply_transposed(turned, back);
      for (std::size_t j = 0; j < n; ++j) EXPECT_NEAR(back[j], unit[j], 1e-12);
    }
  }
}

TEST(TurboQuant, zero_vectors_and_refusals) {
  RandomStream random(9, "refuse");
  EXPECT_THROW((void)Rotation::hadamard(96, random), ModelError);
  EXPECT_THROW((void)Rotation::gaussian(0, random), ModelError);
  const Rotation rotation = Rotation::hadamard(dim, random);
  const TurboQuantMse codec(rotation, 3);
  EXPECT_EQ(through(codec, std::vector<float>(size)), std::vector<float>(size));
  std::vector<float> bad(size, 1e5F);
  std::vector<std::uint8_t> bytes(codec.bytes());
  EXPECT_THROW(codec.encode(bad, bytes), ModelError);  // norm 8e5 > 65504
  bad[0] = std::nanf("");
  EXPECT_THROW(codec.encode(bad, bytes), ModelError);
  EXPECT_THROW(TurboQuantProd(rotation, QjlSketch(32, random), 2), ModelError);
  EXPECT_THROW(TurboQuantSplit(8, {1, 1}, 3, 2, random), ModelError);
  EXPECT_THROW(TurboQuantSplit(8, {8}, 3, 2, random), ModelError);
  EXPECT_THROW(TurboQuantSplit(8, {}, 3, 2, random), ModelError);
}

}  // namespace
}  // namespace tandem::formats
