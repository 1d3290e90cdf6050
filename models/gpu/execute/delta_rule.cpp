#include "models/gpu/execute/delta_rule.hpp"

#include <cmath>

#include "sim/numerics/dot.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::gpu {
namespace {

double exp_of(double x) {
  return static_cast<double>(special::exp(static_cast<float>(x)));
}

/// sums += factor * row.
void add_scaled_row(double factor, std::span<const float> row, std::vector<double>& sums) {
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += factor * static_cast<double>(row[i]);
}

/// factor S^T x, column by column.
std::vector<double> read_state(std::span<const float> state, std::span<const float> x,
                               double factor, std::size_t width) {
  std::vector<double> sums(width);
  for (std::size_t i = 0; i < x.size(); ++i) {
    add_scaled_row(factor * static_cast<double>(x[i]), state.subspan(i * width, width), sums);
  }
  return sums;
}

void store_scaled(const std::vector<double>& sums, double factor, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(factor * sums[i]);
}

double query_scale(const DeltaToken& token) {
  return 1 / std::sqrt(static_cast<double>(token.k.size()));
}

/// Decays within a chunk.
class ChunkDecay {
 public:
  explicit ChunkDecay(std::span<const DeltaToken> tokens) {
    double total = 0;
    for (const DeltaToken& token : tokens) {
      total += static_cast<double>(token.log_decay);
      totals_.push_back(total);
    }
  }
  [[nodiscard]] double from_start(std::size_t i) const { return exp_of(totals_[i]); }
  /// At most 1: e^(G_i) and e^(-G_j) apart would under- and overflow.
  [[nodiscard]] double between(std::size_t j, std::size_t i) const {
    return exp_of(totals_[i] - totals_[j]);
  }

 private:
  std::vector<double> totals_;
};

using Writes = std::vector<std::vector<float>>;

/// What each token of a chunk writes, by forward substitution.
Writes solve_writes(std::span<const DeltaToken> tokens, const ChunkDecay& decay,
                    std::span<const float> state) {
  Writes writes;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const DeltaToken& token = tokens[i];
    const std::size_t width = token.v.size();
    std::vector<double> rest = read_state(state, token.k, -decay.from_start(i), width);
    add_scaled_row(1, token.v, rest);
    for (std::size_t j = 0; j < i; ++j) {
      const auto overlap = static_cast<double>(dot_wide(token.k, tokens[j].k));
      add_scaled_row(-overlap * decay.between(j, i), writes[j], rest);
    }
    writes.emplace_back(width);
    store_scaled(rest, static_cast<double>(token.beta), writes.back());
  }
  return writes;
}

}  // namespace

void delta_recurrent(std::span<const DeltaToken> tokens, std::span<float> state) {
  for (const DeltaToken& token : tokens) {
    const std::size_t width = token.v.size();
    const double decay = exp_of(static_cast<double>(token.log_decay));
    std::vector<double> seen = read_state(state, token.k, decay, width);
    for (std::size_t j = 0; j < width; ++j) {
      seen[j] = static_cast<double>(token.beta) * (static_cast<double>(token.v[j]) - seen[j]);
    }
    for (std::size_t i = 0; i < token.k.size(); ++i) {
      for (std::size_t j = 0; j < width; ++j) {
        float& cell = state[i * width + j];
        cell = static_cast<float>(decay * static_cast<double>(cell) +
                                  static_cast<double>(token.k[i]) * seen[j]);
      }
    }
    store_scaled(read_state(state, token.q, 1, width), query_scale(token), token.out);
  }
}

void delta_chunk(std::span<const DeltaToken> tokens, std::span<float> state) {
  if (tokens.empty()) return;
  const ChunkDecay decay(tokens);
  const Writes writes = solve_writes(tokens, decay, state);
  const std::size_t width = tokens[0].v.size();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    std::vector<double> sums = read_state(state, tokens[i].q, decay.from_start(i), width);
    for (std::size_t j = 0; j <= i; ++j) {
      const auto overlap = static_cast<double>(dot_wide(tokens[i].q, tokens[j].k));
      add_scaled_row(overlap * decay.between(j, i), writes[j], sums);
    }
    store_scaled(sums, query_scale(tokens[i]), tokens[i].out);
  }
  const std::size_t last = tokens.size() - 1;
  std::vector<double> sums(width);
  for (std::size_t key = 0; key < tokens[0].k.size(); ++key) {
    const std::span<float> row = state.subspan(key * width, width);
    std::fill(sums.begin(), sums.end(), 0.0);
    add_scaled_row(decay.from_start(last), row, sums);
    for (std::size_t i = 0; i <= last; ++i) {
      add_scaled_row(static_cast<double>(tokens[i].k[key]) * decay.between(i, last), writes[i],
                     sums);
    }
    store_scaled(sums, 1, row);
  }
}

}  // namespace tandem::gpu
