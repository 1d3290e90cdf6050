// Where a module of multi-token prediction keeps what joins a token with a hidden state, and where
// a stage keeps the hidden states that modules go on from.
#include "models/lpu/compiler/layout_maker.hpp"

namespace tandem::lpu {

void LayoutMaker::make_join() {
  if (!layout_.network().joins_hidden) return;
  const int hidden = layout_.shape.hidden_vectors;
  layout_.combine = matrix(hidden, 2 * hidden);
  begin_at_even_plane();
}

void LayoutMaker::make_join_vectors() {
  const int hidden = layout_.shape.hidden_vectors;
  for (int t = 0; t < layout_.tokens && layout_.stage.hands_on_hidden; ++t) {
    layout_.token(t).handed_on = fp32_vectors(hidden);
  }
  if (!layout_.network().joins_hidden) return;
  make_scale(layout_.combine);
  for (std::vector<Rows>& weights : layout_.join_norms) weights = norm_weights();
  for (int t = 0; t < layout_.tokens; ++t) {
    TokenBuffers& token = layout_.token(t);
    token.given = fp32_vectors(hidden);
    for (std::size_t half = 0; half < layout_.join_norms.size(); ++half) {
      make_activations(token.joined, t, hidden, layout_.network().hidden);
    }
  }
}

void LayoutMaker::make_head_vectors() {
  layout_.final_norm = norm_weights();
  make_scale(layout_.head);
  layout_.logit_mask = fp32();
  if (layout_.top > 0) layout_.lane_index = fp32();
  for (int t = 0; t < layout_.tokens; ++t) {
    TokenBuffers& token = layout_.token(t);
    for (int n = 0; n < layout_.shape.head_vectors; ++n) token.logits.push_back(fp32());
    token.best_value = fp32();
    token.best_tile = fp32();
    token.top_logits = fp32_vectors(layout_.top);
    token.top_indices = fp32_vectors(layout_.top);
  }
}

}  // namespace tandem::lpu
