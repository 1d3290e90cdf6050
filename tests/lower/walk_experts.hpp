// Walks of the kernels around experts: choice, dispatch, combination.
#pragma once

#include <algorithm>

#include "tests/lower/tally.hpp"

namespace tandem::test {

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

inline void walk(const ExpertSortKernel& s, std::int64_t, Tally& t) {
  for (std::int64_t token = 0; token < s.tokens; ++token) {
    for (std::int64_t k = 0; k < s.top_k; ++k) {
      t.read(4, 'i', token, k);
      t.write(4, 'p', token, k);
      t.vector();
    }
  }
  for (std::int64_t e = 0; e <= s.experts; ++e) t.write(4, 'f', e);
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

}  // namespace tandem::test
