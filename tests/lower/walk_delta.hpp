// Walks of the kernels of a gated delta layer.
#pragma once

#include <algorithm>

#include "tests/lower/tally.hpp"

namespace tandem::test {

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
      // Of a round of drafts a state for each; of a prompt the last.
      const std::int64_t kept = s.phase == DeltaPhase::Recurrent ? span.q_len : 1;
      for (std::int64_t state = 0; state < kept; ++state) t.write(4, 'S', id, state, i);
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

inline void walk_scan_chunk(std::int64_t c, const StateSpaceScanKernel& s, Tally& t) {
  const std::int64_t p = s.head_dim;
  const std::int64_t n = s.state_dim;
  for (std::int64_t g = 0; g < s.groups; ++g) walk_matrix(c, c, n, t);  // C B^T
  for (std::int64_t h = 0; h < s.heads; ++h) {
    for (std::int64_t i = 0; i < c; ++i) {
      t.vector(2);   // dt + bias, 1 + e^
      t.special(2);  // softplus
      t.vector(2);   // A dt and its running sum
      for (std::int64_t j = 0; j <= i; ++j) {
        t.vector(3);  // a_i - a_j; its exponential and dt_j on C B^T
        t.special();
      }
      t.vector(2);  // a_c - a_i, and dt on its exponential
      t.special();
      t.vector(n);      // that factor on B
      t.special();      // e^a
      t.vector(p);      // on C S
      t.vector(p);      // C S + (C B^T) X
      t.vector(2 * p);  // + D x
    }
    walk_matrix(c, p, c, t);  // (C B^T) X
    walk_matrix(p, n, c, t);  // X^T B
    walk_matrix(c, p, n, t);  // C S
    t.special();              // e^(a_c)
    t.vector(2 * p * n);      // on S, and the sum
  }
}

inline void walk(const StateSpaceScanKernel& s, std::int64_t w, Tally& t) {
  for (std::size_t sequence = 0; sequence < s.spans.size(); ++sequence) {
    const QuerySpan& span = s.spans[sequence];
    const auto id = static_cast<std::int64_t>(sequence);
    for (std::int64_t h = 0; span.q_len > 0 && h < s.heads; ++h) {
      for (const char buffer : {'A', 'D', 'b'}) t.weight(4, buffer, h);
    }
    for (std::int64_t i = 0; span.q_len > 0 && i < s.heads * s.head_dim * s.state_dim; ++i) {
      if (span.kv_len > span.q_len) t.read(4, 'S', id, i);
      t.write(4, 'S', id, i);
    }
    for (std::int64_t token = 0; token < span.q_len; ++token) {
      for (std::int64_t i = 0; i < s.heads * s.head_dim; ++i) {
        t.read(w, 'x', id, token, i);
        t.write(w, 'y', id, token, i);
      }
      for (std::int64_t h = 0; h < s.heads; ++h) t.read(w, 'd', id, token, h);
      for (std::int64_t i = 0; i < s.groups * s.state_dim; ++i) {
        t.read(w, 'B', id, token, i);
        t.read(w, 'C', id, token, i);
      }
    }
    for (std::int64_t begin = 0; begin < span.q_len; begin += s.chunk) {
      walk_scan_chunk(std::min(s.chunk, span.q_len - begin), s, t);
    }
  }
}

}  // namespace tandem::test
