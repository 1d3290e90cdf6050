// Every operator walked loop by loop, as its reference code runs it: an account of its work that
// shares no formula with the closed forms. `w`: bytes of an activation.
#pragma once

#include <algorithm>

#include "tests/lower/tally.hpp"

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

inline void walk(const ShortConvolutionKernel& s, std::int64_t w, Tally& t) {
  for (std::size_t sequence = 0; sequence < s.spans.size(); ++sequence) {
    const QuerySpan& span = s.spans[sequence];
    const auto id = static_cast<std::int64_t>(sequence);
    for (std::int64_t c = 0; c < s.channels; ++c) {
      for (std::int64_t token = 0; token < span.q_len; ++token) {
        for (std::int64_t tap = 0; tap < s.taps; ++tap) {
          t.vector(2);
          t.weight(w, 'w', c, tap);
        }
        t.vector(2);  // silu
        t.special(2);
        t.read(w, 'x', id, token, c);
        t.write(w, 'y', id, token, c);
        if (s.taps > 1) t.write(w, 's', id, token % (s.taps - 1), c);  // ring
      }
      for (std::int64_t i = 0; span.kv_len > span.q_len && i + 1 < s.taps; ++i) {
        t.read(w, 's', id, i, c);
      }
    }
  }
}

inline void walk(const DeltaGateKernel& s, std::int64_t w, Tally& t) {
  for (std::int64_t h = 0; s.tokens > 0 && h < s.value_heads; ++h) {
    t.weight(w, 'A', h);
    t.weight(w, 'd', h);
    t.special();  // e^A_log
  }
  for (std::int64_t token = 0; token < s.tokens; ++token) {
    for (std::int64_t h = 0; h < s.value_heads; ++h) {
      t.read(w, 'a', token, h);
      t.read(w, 'b', token, h);
      t.special(2);  // sigmoid
      t.vector();
      t.vector();    // a + dt_bias
      t.special(2);  // ln(1 + e^x)
      t.vector();
      t.vector();  // times -e^A_log
      t.write(4, 'g', token, h);
      t.write(4, 'B', token, h);
    }
    for (const char buffer : {'q', 'k'}) {
      for (std::int64_t h = 0; h < s.key_heads; ++h) {
        for (std::int64_t i = 0; i < s.key_dim; ++i) {
          t.vector(2);
          t.read(w, buffer, token, h, i);
        }
        t.special();
        for (std::int64_t i = 0; i < s.key_dim; ++i) {
          t.vector();
          t.write(w, buffer, token, h, i);
        }
      }
    }
  }
}

inline void walk_matrix(std::int64_t m, std::int64_t n, std::int64_t k, Tally& t) {
  for (std::int64_t i = 0; i < m * n * k; ++i) t.multiply_add();
}

inline void walk_chunk(std::int64_t c, std::int64_t dk, std::int64_t dv, Tally& t) {
  for (std::int64_t i = 0; i < c; ++i) t.vector();  // G
  walk_matrix(c, c, dk, t);                         // K K^T
  walk_matrix(c, c, dk, t);                         // Q K^T
  for (std::int64_t i = 0; i < c; ++i) {
    for (std::int64_t j = 0; j < i; ++j) {
      t.vector();  // G_i - G_j
      t.special();
      t.vector(2);  // beta_i and the decay on A
      t.vector();   // the decay on Q K^T
    }
  }
  // (I + A)^-1 column by column: T_ij = -sum over j <= m < i of A_im T_mj.
  for (std::int64_t j = 0; j < c; ++j) {
    for (std::int64_t i = j + 1; i < c; ++i) {
      for (std::int64_t m = j; m < i; ++m) t.multiply_add();
    }
  }
  for (std::int64_t i = 0; i < c; ++i) {
    t.special();   // e^G
    t.vector();    // beta e^G
    t.vector();    // G_c - G
    t.special();   // its exponential
    t.vector(dv);  // beta v
    t.vector(dk);  // beta e^G k
    t.vector(dk);  // e^G q
    t.vector(dk);  // e^(G_c - G) k
  }
  walk_matrix(c, dv, c, t);   // U
  walk_matrix(c, dk, c, t);   // W
  walk_matrix(c, dv, dk, t);  // W S
  walk_matrix(c, dv, dk, t);  // Q S
  walk_matrix(c, dv, c, t);   // masked Q K^T times V'
  walk_matrix(dk, dv, c, t);  // K^T V'
  t.vector(dk * dv);          // e^(G_c) S
}

inline void walk(const GatedDeltaKernel& s, std::int64_t w, Tally& t) {
  const ops::GatedDeltaShape& d = s.shape;
  for (std::size_t sequence = 0; sequence < s.spans.size(); ++sequence) {
    const QuerySpan& span = s.spans[sequence];
    const auto id = static_cast<std::int64_t>(sequence);
    for (std::int64_t i = 0; i < d.value_heads * d.key_dim * d.value_dim; ++i) {
      if (span.kv_len > span.q_len) t.read(4, 'S', id, i);
      t.write(4, 'S', id, i);
    }
    for (std::int64_t token = 0; token < span.q_len; ++token) {
      for (std::int64_t h = 0; h < d.value_heads; ++h) {
        t.read(4, 'g', id, token, h);
        t.read(4, 'B', id, token, h);
        const std::int64_t key_head = h / (d.value_heads / d.key_heads);
        for (std::int64_t i = 0; i < d.key_dim; ++i) {
          t.read(w, 'q', id, token, key_head * d.key_dim + i);
          t.read(w, 'k', id, token, key_head * d.key_dim + i);
        }
        for (std::int64_t i = 0; i < d.value_dim; ++i) {
          t.read(w, 'v', id, token, h * d.value_dim + i);
          t.write(w, 'o', id, token, h * d.value_dim + i);
        }
        if (s.phase == DeltaPhase::Chunked) continue;
        t.special();                                // e^g
        t.vector(d.key_dim * d.value_dim);          // S
        walk_matrix(1, d.value_dim, d.key_dim, t);  // S^T k
        t.vector(2 * d.value_dim);                  // beta (v - .)
        walk_matrix(d.key_dim, d.value_dim, 1, t);  // S + k delta^T
        walk_matrix(1, d.value_dim, d.key_dim, t);  // S^T q
      }
    }
    for (std::int64_t begin = 0; s.phase == DeltaPhase::Chunked && begin < span.q_len;
         begin += d.chunk) {
      for (std::int64_t h = 0; h < d.value_heads; ++h) {
        walk_chunk(std::min(d.chunk, span.q_len - begin), d.key_dim, d.value_dim, t);
      }
    }
  }
}

inline void walk_softmax_over(std::int64_t n, std::int64_t used, Tally& t) {
  for (std::int64_t i = 0; i < n; ++i) {
    t.vector(3);  // maximum, subtract, add
    t.special();
  }
  t.special();  // 1 / sum
  t.vector(used);
}

inline void walk(const RouterKernel& s, std::int64_t w, Tally& t) {
  const ops::Router& r = s.router;
  for (std::int64_t token = 0; token < s.tokens; ++token) {
    for (std::int64_t e = 0; e < r.experts; ++e) {
      t.read(w, 'x', token, e);
      if (r.bias) t.vector();
      if (r.rule == ops::RouterRule::SigmoidBias) {
        t.vector();
        t.special(2);
      }
    }
    if (r.rule == ops::RouterRule::SoftmaxTopk) walk_softmax_over(r.experts, r.top_k, t);
    if (r.rule == ops::RouterRule::TopkSoftmax) walk_softmax_over(r.top_k, r.top_k, t);
    const std::int64_t size = r.experts / r.groups;
    for (std::int64_t g = 0; r.groups > 1 && g < r.groups; ++g) {
      for (std::int64_t e = 0; e < size; ++e) t.vector();
      if (r.group_score == ops::GroupScore::SumOfTop2) t.vector();
      t.vector();  // choice among groups
    }
    const bool zero = r.group_mask == ops::GroupMask::Zero;
    for (std::int64_t g = 0; g < r.groups; ++g) {
      for (std::int64_t e = 0; e < size && (r.groups == 1 || zero || g < r.top_groups); ++e) {
        t.vector();  // choice among experts
      }
    }
    const bool normal = r.renormalise && r.rule != ops::RouterRule::TopkSoftmax;
    if (normal) t.special();
    for (std::int64_t k = 0; k < r.top_k; ++k) {
      if (normal) t.vector(2);
      if (r.scale != 1) t.vector();
      if (s.expert_scale) t.vector();
      t.write(4, 'i', token, k);
      t.write(4, 'w', token, k);
    }
  }
  for (std::int64_t e = 0; e < r.experts; ++e) {
    if (r.bias) t.weight(w, 'b', e);
    if (s.expert_scale) t.weight(w, 's', e);
  }
}

inline void walk(const DispatchKernel& s, std::int64_t w, Tally& t) {
  for (std::int64_t token = 0; token < s.tokens; ++token) {
    for (std::int64_t k = 0; k < s.top_k; ++k) {
      t.read(4, 'i', token, k);
      for (std::int64_t i = 0; i < s.hidden; ++i) {
        t.read(w, 'x', token, i);
        t.write(w, 'y', token, k, i);
      }
    }
  }
}

inline void walk(const CombineKernel& s, std::int64_t w, Tally& t) {
  for (std::int64_t token = 0; token < s.tokens; ++token) {
    for (std::int64_t i = 0; i < s.hidden; ++i) {
      for (std::int64_t k = 0; k < s.top_k; ++k) {
        t.read(4, 'p', token, k);
        t.read(4, 'w', token, k);
        t.read(w, 'x', token, k, i);
        t.vector(2);
      }
      if (s.shared) {
        t.read(w, 's', token, i);
        t.vector();
      }
      if (s.adds_residual) {
        t.read(w, 'r', token, i);
        t.vector();
      }
      t.write(w, 'y', token, i);
    }
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
