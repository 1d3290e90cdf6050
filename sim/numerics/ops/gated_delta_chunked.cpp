// The chunked form of the gated delta rule (Yang et al., arXiv 2412.06464, section 3.3), as
// fla-org/flash-linear-attention@bc3b101d fla/ops/gated_delta_rule/naive.py has it. U, W, V' and
// the state are stored as float; sums, and cumulated decays, are double. Decays enter as e^(G_i -
// G_j) with j <= i, at most 1: the two factors e^(G_i) and e^(-G_j) would under- and overflow.
#include <algorithm>
#include <cassert>
#include <cmath>

#include "sim/numerics/ops/gated_delta.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::ops {
namespace {

double dot_double(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  }
  return sum;
}

/// sum[j] += factor * row[j].
void add_scaled(double factor, std::span<const float> row, std::span<double> sum) {
  for (std::size_t j = 0; j < sum.size(); ++j) {
    sum[j] += factor * static_cast<double>(row[j]);
  }
}

void store(std::span<const double> from, double factor, std::span<float> to) {
  for (std::size_t j = 0; j < to.size(); ++j) {
    to[j] = static_cast<float>(factor * from[j]);
  }
}

/// Up to chunk tokens of one value head.
struct Chunk {
  std::size_t dk = 0;
  std::size_t dv = 0;
  std::vector<std::span<const float>> q, k, v;
  std::vector<float> beta;
  std::vector<double> total;  ///< G
  [[nodiscard]] std::size_t tokens() const { return total.size(); }
  /// e^(G_i - G_j)
  [[nodiscard]] double decay(std::size_t i, std::size_t j) const {
    return static_cast<double>(special::exp(static_cast<float>(total[i] - total[j])));
  }
  /// e^(G_i)
  [[nodiscard]] double decay(std::size_t i) const {
    return static_cast<double>(special::exp(static_cast<float>(total[i])));
  }
};

Chunk chunk_of(const GatedDeltaShape& shape, const GatedDeltaTokens& tokens, std::size_t head,
               std::size_t begin, std::size_t end) {
  const auto key_heads = static_cast<std::size_t>(shape.key_heads);
  const auto value_heads = static_cast<std::size_t>(shape.value_heads);
  Chunk chunk;
  chunk.dk = static_cast<std::size_t>(shape.key_dim);
  chunk.dv = static_cast<std::size_t>(shape.value_dim);
  double total = 0;
  for (std::size_t t = begin; t < end; ++t) {
    const std::size_t key = (t * key_heads + head / (value_heads / key_heads)) * chunk.dk;
    const std::size_t gate = t * value_heads + head;
    chunk.q.push_back(tokens.q.subspan(key, chunk.dk));
    chunk.k.push_back(tokens.k.subspan(key, chunk.dk));
    chunk.v.push_back(tokens.v.subspan(gate * chunk.dv, chunk.dv));
    chunk.beta.push_back(tokens.beta[gate]);
    total += static_cast<double>(tokens.log_decay[gate]);
    chunk.total.push_back(total);
  }
  return chunk;
}

/// V' = U - W S, [tokens][dv]: what each token writes, given the state at the chunk's start. U and
/// W solve (I + A) U = beta v and (I + A) W = beta e^G k by forward substitution.
std::vector<float> written_values(const Chunk& c, std::span<const float> state) {
  const std::size_t n = c.tokens();
  std::vector<float> u(n * c.dv);
  std::vector<float> w(n * c.dk);
  std::vector<double> u_row(c.dv);
  std::vector<double> w_row(c.dk);
  for (std::size_t i = 0; i < n; ++i) {
    const auto beta = static_cast<double>(c.beta[i]);
    std::fill(u_row.begin(), u_row.end(), 0.0);
    std::fill(w_row.begin(), w_row.end(), 0.0);
    add_scaled(beta, c.v[i], u_row);
    add_scaled(beta * c.decay(i), c.k[i], w_row);
    for (std::size_t j = 0; j < i; ++j) {
      const double a = beta * dot_double(c.k[i], c.k[j]) * c.decay(i, j);
      add_scaled(-a, std::span(u).subspan(j * c.dv, c.dv), u_row);
      add_scaled(-a, std::span(w).subspan(j * c.dk, c.dk), w_row);
    }
    store(u_row, 1, std::span(u).subspan(i * c.dv, c.dv));
    store(w_row, 1, std::span(w).subspan(i * c.dk, c.dk));
  }
  for (std::size_t i = 0; i < n; ++i) {
    const auto row = std::span(u).subspan(i * c.dv, c.dv);
    std::copy(row.begin(), row.end(), u_row.begin());
    for (std::size_t m = 0; m < c.dk; ++m) {
      add_scaled(-static_cast<double>(w[i * c.dk + m]), state.subspan(m * c.dv, c.dv), u_row);
    }
    store(u_row, 1, row);
  }
  return u;
}

/// o_i = (e^(G_i) q_i S + sum over j <= i of (q_i . k_j) e^(G_i - G_j) V'_j) / sqrt(dk).
void output_row(const Chunk& c, std::size_t i, std::span<const float> state,
                std::span<const float> written, std::span<float> out) {
  std::vector<double> sum(c.dv, 0.0);
  for (std::size_t m = 0; m < c.dk; ++m) {
    add_scaled(c.decay(i) * static_cast<double>(c.q[i][m]), state.subspan(m * c.dv, c.dv), sum);
  }
  for (std::size_t j = 0; j <= i; ++j) {
    add_scaled(dot_double(c.q[i], c.k[j]) * c.decay(i, j), written.subspan(j * c.dv, c.dv), sum);
  }
  store(sum, 1.0 / std::sqrt(static_cast<double>(c.dk)), out);
}

/// S <- e^(G_last) S + sum of k_i e^(G_last - G_i) V'_i^T.
void advance_state(const Chunk& c, std::span<const float> written, std::span<float> state) {
  const std::size_t last = c.tokens() - 1;
  std::vector<double> sum(c.dv);
  for (std::size_t m = 0; m < c.dk; ++m) {
    const auto row = state.subspan(m * c.dv, c.dv);
    std::fill(sum.begin(), sum.end(), 0.0);
    add_scaled(c.decay(last), row, sum);
    for (std::size_t i = 0; i <= last; ++i) {
      add_scaled(static_cast<double>(c.k[i][m]) * c.decay(last, i), written.subspan(i * c.dv, c.dv),
                 sum);
    }
    store(sum, 1, row);
  }
}

}  // namespace

void gated_delta_chunked(const GatedDeltaShape& shape, const GatedDeltaTokens& tokens,
                         std::span<float> recurrent, std::span<float> out) {
  check_gated_delta(shape);
  const auto count = static_cast<std::size_t>(tokens.tokens);
  const auto length = static_cast<std::size_t>(shape.chunk);
  const auto heads = static_cast<std::size_t>(shape.value_heads);
  const auto dv = static_cast<std::size_t>(shape.value_dim);
  const std::size_t state_size = static_cast<std::size_t>(shape.key_dim) * dv;
  assert(recurrent.size() == heads * state_size && out.size() == count * heads * dv);
  for (std::size_t head = 0; head < heads; ++head) {
    const auto state = recurrent.subspan(head * state_size, state_size);
    for (std::size_t begin = 0; begin < count; begin += length) {
      const Chunk chunk = chunk_of(shape, tokens, head, begin, std::min(count, begin + length));
      const std::vector<float> written = written_values(chunk, state);
      for (std::size_t i = 0; i < chunk.tokens(); ++i) {
        output_row(chunk, i, state, written, out.subspan(((begin + i) * heads + head) * dv, dv));
      }
      advance_state(chunk, written, state);
    }
  }
}

}  // namespace tandem::ops
