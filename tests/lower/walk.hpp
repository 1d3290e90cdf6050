// Every operator walked loop by loop, as its reference code runs it: an account of its work that
// shares no formula with the closed forms. `w`: bytes of an activation.
#pragma once

#include <algorithm>
#include <set>
#include <utility>

#include "sim/numerics/formats/quant_format.hpp"
#include "tests/lower/tally.hpp"
#include "tests/lower/walk_delta.hpp"
#include "tests/lower/walk_experts.hpp"

namespace tandem::test {

inline void walk(const EmbeddingKernel& s, std::int64_t w, Tally& t) {
  for (std::int64_t row = 0; row < s.tokens; ++row) {
    t.read(4, 'i', row);
    for (std::int64_t i = 0; i < s.hidden; ++i) {
      t.read(w, 'x', row, i);
      t.write(w, 'y', row, i);
    }
  }
}

inline void walk(const NormKernel& s, std::int64_t w, Tally& t) {
  const bool layer = s.kind == NormKind::Layer;
  for (std::int64_t row = 0; row < s.tokens; ++row) {
    if (layer) {
      for (std::int64_t i = 0; i < s.hidden; ++i) t.vector();  // sum for the mean
      for (std::int64_t i = 0; i < s.hidden; ++i) t.vector();  // minus mean
    }
    for (std::int64_t i = 0; i < s.hidden; ++i) {
      t.read(w, 'x', row, i);
      t.vector(2);  // square, add
    }
    t.special();  // 1 / sqrt
    for (std::int64_t i = 0; i < s.hidden; ++i) {
      t.vector();  // times 1 / rms
      if (s.weighted) {
        t.vector();
        t.weight(w, 'w', i);
        if (layer) {
          t.vector();
          t.weight(w, 'b', i);
        }
      }
      if (s.gated) {
        t.read(w, 'z', row, i);
        t.special(2);  // e^-z, 1 / (1 + e^-z)
        t.vector(3);   // 1 + e^-z, z sigmoid, product
      }
      if (s.adds_residual) {
        t.read(w, 'r', row, i);
        t.vector();
      }
      t.write(w, 'y', row, i);
    }
  }
}

inline void walk_product(std::int64_t b, std::int64_t m, std::int64_t n, std::int64_t k,
                         std::int64_t weight, std::int64_t w, Tally& t) {
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      for (std::int64_t l = 0; l < k; ++l) {
        t.read(w, 'a', b, i, l);
        t.weight(weight, 'w', b, j, l);
        t.multiply_add();
      }
      t.write(w, 'c', b, i, j);
    }
  }
}

inline void walk(const GemmKernel& s, std::int64_t, Tally& t) {
  const std::int64_t w = bytes_of(s.activations);
  walk_product(0, s.m, s.n, s.k, bytes_of(s.weights), w, t);
  for (std::int64_t i = 0; i < s.m; ++i) {
    for (std::int64_t j = 0; j < s.n; ++j) {
      if (s.bias) {
        t.weight(w, 'b', j);
        t.vector();
      }
      if (s.adds_residual) {
        t.read(w, 'r', i, j);
        t.vector();
      }
    }
  }
}

inline void walk(const BatchedGemmKernel& s, std::int64_t, Tally& t) {
  for (std::int64_t b = 0; b < s.batch; ++b) {
    walk_product(b, s.m, s.n, s.k, bytes_of(s.weights), bytes_of(s.activations), t);
  }
}

inline void walk(const GroupedGemmKernel& s, std::int64_t, Tally& t) {
  const std::int64_t w = bytes_of(s.activations);
  for (std::size_t e = 0; e < s.rows.size(); ++e) {
    const auto expert = static_cast<std::int64_t>(e);
    walk_product(expert, s.rows[e], s.n, s.k, bytes_of(s.weights), w, t);
    for (std::int64_t i = 0; s.bias && i < s.rows[e]; ++i) {
      for (std::int64_t j = 0; j < s.n; ++j) {
        t.weight(w, 'b', expert, j);
        t.vector();
      }
    }
  }
}

inline void walk(const RopeKernel& s, std::int64_t w, Tally& t) {
  const std::int64_t kv = bytes_of(s.kv);
  const std::int64_t rotated = s.rotated < 0 ? s.head_dim : s.rotated;
  for (std::int64_t token = 0; token < s.tokens; ++token) {
    for (std::int64_t h = 0; h < s.heads; ++h) {
      for (std::int64_t i = 0; i < rotated; ++i) {
        if (i % 2 == 0) t.vector(6);  // (a c - b s, a s + b c)
        t.read(w, 'q', token, h, i);
        t.write(w, 'q', token, h, i);
      }
    }
    for (std::int64_t h = 0; h < s.kv_heads; ++h) {
      for (std::int64_t i = 0; i < s.head_dim; ++i) {
        if (i < rotated && i % 2 == 0) t.vector(6);
        t.read(w, 'k', token, h, i);
        t.write(kv, 'k', token, h, i);
        if (!s.values) continue;
        t.read(w, 'v', token, h, i);
        t.write(kv, 'v', token, h, i);
      }
    }
    for (std::int64_t i = 0; i < s.extra; ++i) {
      t.read(w, 'c', token, i);
      t.write(kv, 'c', token, i);
    }
  }
}

inline void walk(const CacheReadKernel& s, std::int64_t w, Tally& t) {
  for (std::int64_t row = 0; row < s.rows; ++row) {
    for (std::int64_t i = 0; i < s.width; ++i) {
      t.read(bytes_of(s.kv), 'k', row, i);
      t.write(w, 'x', row, i);
    }
  }
}

/// One softmax weight: scale, maximum, subtract, exponential, add.
inline void walk_softmax(Tally& t) {
  t.vector(4);
  t.special();
}

/// End of a row: 1 / sum, then a product per element.
inline void walk_row_end(std::int64_t elements, Tally& t) {
  t.special();
  t.vector(elements);
}

inline void walk(const AttentionKernel& s, std::int64_t, Tally& t) {
  const std::int64_t w = bytes_of(s.activations);
  const std::int64_t kv = bytes_of(s.kv);
  const std::int64_t value = s.value_dim > 0 ? s.value_dim : s.head_dim;
  std::int64_t row = 0;
  std::int64_t first_key = 0;
  for (const QuerySpan& span : s.spans) {
    for (std::int64_t q = 0; q < span.q_len; ++q, ++row) {
      const std::int64_t position = span.kv_len - span.q_len + q;
      for (std::int64_t h = 0; h < s.heads; ++h) {
        const std::int64_t kv_head = h / (s.heads / s.kv_heads);
        for (std::int64_t i = 0; i < s.head_dim; ++i) t.read(w, 'q', row, h, i);
        for (std::int64_t key = 0; key <= position; ++key) {
          if (s.window > 0 && position - key >= s.window) continue;
          for (std::int64_t i = 0; i < s.head_dim; ++i) {
            t.multiply_add();
            const bool shared = i >= s.head_dim - s.shared_key_dim;
            t.read(kv, 'k', first_key + key, shared ? -1 : kv_head, i);
          }
          if (s.softcap) {
            t.vector(2);
            t.special();
          }
          walk_softmax(t);
          for (std::int64_t i = 0; i < value; ++i) {
            t.multiply_add();
            t.read(kv, 'v', first_key + key, kv_head, i);
          }
        }
        if (s.sinks) {
          t.weight(w, 's', h);
          t.vector(3);  // maximum, subtract, add
          t.special();
        }
        walk_row_end(value, t);
        for (std::int64_t i = 0; i < value; ++i) t.write(w, 'o', row, h, i);
      }
    }
    first_key += span.kv_len;
  }
}

/// Queries all choose the earliest keys they see, which touches the fewest.
inline void walk(const LatentAttentionKernel& s, std::int64_t, Tally& t) {
  const std::int64_t w = bytes_of(s.activations);
  const std::int64_t cached = s.kv_rank + s.rope_dim;
  std::int64_t row = 0;
  std::int64_t first_key = 0;
  for (const QuerySpan& span : s.spans) {
    for (std::int64_t q = 0; q < span.q_len; ++q, ++row) {
      const std::int64_t seen = span.kv_len - span.q_len + q + 1;
      const std::int64_t chosen = s.selected > 0 ? std::min(seen, s.selected) : seen;
      for (std::int64_t key = 0; s.selected > 0 && key < chosen; ++key) t.read(4, 'n', row, key);
      for (std::int64_t h = 0; h < s.heads; ++h) {
        for (std::int64_t i = 0; i < cached; ++i) t.read(w, 'q', row, h, i);
        for (std::int64_t key = 0; key < chosen; ++key) {
          for (std::int64_t i = 0; i < cached; ++i) {
            t.multiply_add();
            t.read(bytes_of(s.kv), 'c', first_key + key, i);
          }
          walk_softmax(t);
          for (std::int64_t i = 0; i < s.kv_rank; ++i) t.multiply_add();
        }
        walk_row_end(s.kv_rank, t);
        for (std::int64_t i = 0; i < s.kv_rank; ++i) t.write(w, 'o', row, h, i);
      }
    }
    first_key += span.kv_len;
  }
}

inline void walk(const IndexerKernel& s, std::int64_t, Tally& t) {
  const std::int64_t w = bytes_of(s.activations);
  std::int64_t row = 0;
  std::int64_t first_key = 0;
  for (const QuerySpan& span : s.spans) {
    for (std::int64_t q = 0; q < span.q_len; ++q, ++row) {
      const std::int64_t seen = span.kv_len - span.q_len + q + 1;
      for (std::int64_t key = 0; key < seen; ++key) {
        for (std::int64_t h = 0; h < s.heads; ++h) {
          t.read(w, 'w', row, h);
          for (std::int64_t i = 0; i < s.head_dim; ++i) {
            t.multiply_add();
            t.read(w, 'q', row, h, i);
            t.read(bytes_of(s.kv), 'k', first_key + key, i);
          }
          t.vector(3);  // relu, times weight, add
        }
        t.vector();  // comparison of the choice
        if (key < s.top_k) t.write(4, 'n', row, key);
      }
    }
    first_key += span.kv_len;
  }
}

inline void walk(const ActivationKernel& s, std::int64_t w, Tally& t) {
  for (std::int64_t i = 0; i < s.tokens * s.intermediate; ++i) {
    t.read(w, 'g', i);
    if (s.gated) t.read(w, 'u', i);
    switch (s.kind) {
      case ActivationKind::Silu:  // x (1 / (1 + e^-x))
        t.special(2);
        t.vector(2);
        break;
      case ActivationKind::Gelu:  // (0.5 x) (1 + erf(x c))
        t.special();
        t.vector(4);
        break;
      case ActivationKind::GeluTanh:  // (0.5 x) (1 + tanh(x (a + b x x)))
        t.special();
        t.vector(7);
        break;
      case ActivationKind::ClampedSwiglu:  // the last product is that with u + 1
        t.vector(1 + 2);                   // limits
        t.vector(1);                       // 1.702 g
        t.special(2);
        t.vector(2);  // 1 + e^-z, g sigmoid
        t.vector(1);  // u + 1
        break;
    }
    if (s.gated) t.vector();
    t.write(w, 'y', i);
  }
}

inline void walk(const ElementwiseKernel& s, std::int64_t w, Tally& t) {
  for (std::int64_t row = 0; row < s.tokens; ++row) {
    if (s.kind == ElementwiseKind::TokenGate) {
      t.read(w, 'g', row);
      t.special(2);
      t.vector();
    }
    for (std::int64_t i = 0; i < s.width; ++i) {
      t.read(w, 'x', row, i);
      t.write(w, 'y', row, i);
      t.vector();  // product, sum, or x / c
      if (s.kind == ElementwiseKind::Add) t.read(w, 'r', row, i);
      if (s.kind == ElementwiseKind::Softcap) {
        t.special();
        t.vector();
      }
      if (s.kind == ElementwiseKind::SigmoidGate) {
        t.read(w, 'g', row, i);
        t.special(2);
        t.vector();
      }
    }
  }
}

/// Codes are packed bit by bit, each row from a whole byte; a group's scale is a byte string of its
/// own.
inline void walk(const QuantiseKernel& s, std::int64_t w, Tally& t) {
  const formats::QuantFormat& format = *s.precision->activation;
  const std::int64_t bits = formats::bits_of(format.code);
  std::set<std::pair<std::int64_t, std::int64_t>> scaled;
  for (std::int64_t row = 0; row < s.rows; ++row) {
    const std::int64_t band = format.granularity.rows > 0 ? row / format.granularity.rows : 0;
    for (std::int64_t i = 0; i < s.width; ++i) {
      const std::int64_t group = format.granularity.cols > 0 ? i / format.granularity.cols : 0;
      t.read(w, 'x', row, i);
      t.vector(4);  // magnitude, maximum; times 1 / scale, conversion
      if (scaled.insert({band, group}).second) t.special();  // 1 / scale
      t.write(formats::bytes_of(format.scale), 's', band, group);
      if (format.has_tensor_scale()) t.write(4, 't', 0);
      t.write(1, 'c', row, i * bits / 8);
    }
  }
}

inline void walk(const SampleKernel& s, std::int64_t w, Tally& t) {
  for (std::int64_t row = 0; row < s.tokens; ++row) {
    for (std::int64_t i = 0; i < s.vocabulary; ++i) {
      t.read(w, 'x', row, i);
      t.vector();
    }
    t.write(4, 'i', row);
  }
}

}  // namespace tandem::test
