// How a module of multi-token prediction begins: W [norm(token), norm(hidden state)] takes the
// place of the token's embedding (DeepSeek-V3, arXiv 2412.19437, equation 21). Every chip of a gang
// has all of W: the sum over its ranks would take longer than the tiles.
#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {

void StageCompiler::join_hidden() {
  scheduler_.begin_operator("norm");
  for (int t = 0; t < tokens_; ++t) {
    const TokenBuffers& token = layout_.token(t);
    norm(layout_.join_norms[0], {&token.hidden, &token.joined});
    norm(layout_.join_norms[1], {&token.given, &token.joined, layout_.shape.hidden_vectors});
  }
  scheduler_.begin_operator("join");
  std::vector<TileRow> rows;
  const int scale = load_scale(layout_.combine, 0);
  for (int n = 0; n < layout_.combine.n_tiles; ++n) {
    rows.push_back({&layout_.combine, n, [this, n, scale](int token, int plane, int accumulator) {
                      Work work(scheduler_);
                      const Output output{&layout_.combine, plane, accumulator, scale};
                      const Value sum = scaled(work, output, work.accumulator(plane, accumulator));
                      work.store(work.op(AluOp::Pass, sum),
                                 layout_.token(token).hidden[index_of(n)]);
                      work.place();
                    }});
  }
  multiply(rows, &TokenBuffers::joined);
}

}  // namespace tandem::lpu
