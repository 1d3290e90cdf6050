// What the two halves of a layer add to the hidden state: a product with its bias, or the norm over
// it; a dense block and experts side by side.
#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
StageCompiler::Residual StageCompiler::residual(const std::vector<Rows>& post_norm) {
  if (post_norm.empty()) return {&TokenBuffers::hidden, nullptr};
  return {&TokenBuffers::branch, &post_norm};
}

// hidden += bias + W a, or the norm over both.
void StageCompiler::add_to_hidden(const MatrixLayout& matrix, ActivationsOf activations,
                                  const std::vector<Rows>& bias, const Residual& to) {
  begin_half(bias, to);
  product_to(matrix, activations, to.to);
  end_half(bias, to);
}

// A bias of the hidden state joins it while the product is under way; one under a norm waits for
// the sum over the ranks of a gang.
void StageCompiler::begin_half(const std::vector<Rows>& bias, const Residual& to) {
  if (to.to != &TokenBuffers::hidden) return;
  add_bias(bias, to.to);
  if (last_exchange_ && collective_) keep_shards();
}

void StageCompiler::end_half(const std::vector<Rows>& bias, const Residual& to) {
  if (collective_) exchange_to(to.to);
  if (to.to == &TokenBuffers::hidden) return;
  add_bias(bias, to.to);
  if (to.norm == nullptr) return;
  add_normed(*to.norm, to.to, &TokenBuffers::hidden, true);
  if (last_exchange_ && collective_) send_normed_shards();
}

// Added to the hidden state, or in place of what was there.
void StageCompiler::product_to(const MatrixLayout& matrix, ActivationsOf activations,
                               std::vector<Rows> TokenBuffers::*to) {
  const bool add = to == &TokenBuffers::hidden;
  std::vector<TileRow> rows;
  const int scale = load_scale(matrix, 0);
  for (int n = 0; n < matrix.n_tiles; ++n) {
    rows.push_back(
        {&matrix, n, [this, &matrix, n, scale, to, add](int token, int plane, int accumulator) {
           Work work(scheduler_);
           const Output output{&matrix, plane, accumulator, scale};
           Value product = scaled(work, output, work.accumulator(plane, accumulator));
           if (collective_) return contribute(work, product, token, n);
           const Rows& own = (layout_.token(token).*to)[index_of(n)];
           product =
               add ? work.op(AluOp::Add, product, work.memory(own)) : work.op(AluOp::Pass, product);
           work.store(product, own);
           work.place();
         }});
  }
  multiply(rows, activations);
}

void StageCompiler::add_bias(const std::vector<Rows>& bias, std::vector<Rows> TokenBuffers::*to) {
  for (int t = 0; t < tokens_; ++t) {
    const std::vector<Rows>& rows = layout_.token(t).*to;
    for (std::size_t k = 0; k < bias.size(); ++k) {
      Work work(scheduler_);
      work.store(work.op(AluOp::Add, work.memory(rows[k]), work.memory(bias[k])), rows[k]);
      work.place();
    }
  }
}

// `from` over its root mean square, times the weights; added to `to`, or in its place.
void StageCompiler::add_normed(const std::vector<Rows>& weights,
                               std::vector<Rows> TokenBuffers::*from,
                               std::vector<Rows> TokenBuffers::*to, bool add) {
  scheduler_.begin_operator("norm of a half");
  for (int t = 0; t < tokens_; ++t) {
    const TokenBuffers& token = layout_.token(t);
    const int inverse = keep_inverse_rms(token.*from);
    for (std::size_t k = 0; k < (token.*from).size(); ++k) {
      Work work(scheduler_);
      const Value x =
          work.op(AluOp::Mul, work.memory((token.*from)[k]), Work::register_of(inverse));
      Value y = work.op(AluOp::Mul, x, work.memory(weights[k]));
      if (add) y = work.op(AluOp::Add, y, work.memory((token.*to)[k]));
      work.store(y, (token.*to)[k]);
      work.place();
    }
  }
}

// Either has a norm before it and one over its sum. The router sees the hidden state under a norm
// of its own.
void StageCompiler::feed_forward_side_by_side(const LayerLayout& layer) {
  constexpr auto branch = &TokenBuffers::branch;
  constexpr auto blend = &TokenBuffers::blend;
  norm(layer.ffn_norm);
  dense_block(layer, {branch, nullptr});
  add_normed(layer.dense_post_norm, branch, blend, false);
  norm(layer.experts_norm);
  if (!layer.experts->router_norm.empty()) {
    norm(layer.experts->router_norm, &TokenBuffers::router_input);
  }
  mix_experts(layer, {branch, nullptr});
  add_normed(layer.experts_post_norm, branch, blend, true);
  add_normed(layer.ffn_post_norm, blend, &TokenBuffers::hidden, true);
  if (last_exchange_ && collective_) send_normed_shards();
}

}  // namespace tandem::lpu
