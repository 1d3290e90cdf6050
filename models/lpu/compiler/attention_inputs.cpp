// What the projections of attention become before they are used: biases, norms of heads, rotary
// embedding, q heads apart, K and V appended.
#include "models/lpu/compiler/stage_compiler.hpp"

namespace tandem::lpu {
namespace {

std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

}  // namespace

// x cos + swap(x) sin, the sign of the rotation in the sine vector. A bias and the weights of a
// head's norm come first, in the lane as in its partner.
Value StageCompiler::rotate(Work& work, const Output& output, const HeadVectors& heads,
                            const TokenBuffers& token) {
  if (!layout_.rotates) return unrotated(work, output, heads);
  Value own = work.accumulator(output.plane, output.accumulator);
  Value partner = work.accumulator_permuted(output.plane, output.accumulator, rope_map_);
  const bool is_plain = heads.bias.empty() && heads.norm.empty();
  if (!is_plain) {
    own = scaled(work, output, own);
    partner = scaled(work, output, partner);
  }
  if (!heads.bias.empty()) {
    own = work.op(AluOp::Add, own, work.memory(heads.bias));
    partner = work.op(AluOp::Add, partner, work.memory(heads.partner_bias));
  }
  if (!heads.norm.empty()) {
    own = work.op(AluOp::Mul, own, work.memory(heads.norm));
    partner = work.op(AluOp::Mul, partner, work.memory(heads.partner_norm));
  }
  const Value kept = work.op(AluOp::Mul, own, work.memory(token.cosine));
  const Value swapped = work.op(AluOp::Mul, partner, work.memory(token.sine));
  const Value sum = work.op(AluOp::Add, kept, swapped);
  return is_plain ? scaled(work, output, sum) : sum;
}

Value StageCompiler::unrotated(Work& work, const Output& output, const HeadVectors& heads) {
  Value x = scaled(work, output, work.accumulator(output.plane, output.accumulator));
  if (!heads.bias.empty()) x = work.op(AluOp::Add, x, work.memory(heads.bias));
  if (!heads.norm.empty()) x = work.op(AluOp::Mul, x, work.memory(heads.norm));
  return x;
}

// Both partners of a rotation belong to one head, so its inverse root mean square may follow. It
// crosses the switch unit while the rotated heads wait in SRAM.
void StageCompiler::norm_heads(const Output& output, const HeadVectors& heads, int vector,
                               const TokenBuffers& token) {
  if (heads.norm.empty()) return;
  Work turn(scheduler_);
  turn.store(rotate(turn, output, heads, token), token.rotated[index_of(vector)]);
  turn.place();
  const int width = layout_.shape.head_dim;
  Work work(scheduler_);
  Value x = scaled(work, output, work.accumulator(output.plane, output.accumulator));
  if (!heads.bias.empty()) x = work.op(AluOp::Add, x, work.memory(heads.bias));
  const Value square = work.op(AluOp::Mul, x, x);
  const Value sum = sum_in_groups(work, square, width);
  const auto part = static_cast<float>(1.0 / static_cast<double>(width));
  const auto epsilon = static_cast<float>(layout_.network().norm.epsilon);
  const Value mean = work.op(AluOp::Mul, sum, Work::constant(part));
  const Value shifted = work.op(AluOp::Add, mean, Work::constant(epsilon));
  work.store(work.op(AluOp::Rsqrt, shifted), token.inverse_rms[index_of(vector)]);
  work.place();
}

Value StageCompiler::head_value(Work& work, const Output& output, const HeadVectors& heads,
                                int vector, const TokenBuffers& token) {
  if (heads.norm.empty()) return rotate(work, output, heads, token);
  return work.op(AluOp::Mul, work.memory(token.rotated[index_of(vector)]),
                 work.memory(token.inverse_rms[index_of(vector)]));
}

// Each q head alone in its lanes, the lanes of the other heads of the pack zero: a product with a
// tile of keys then sees one head. With two-byte KV what rounding takes away is kept as a second
// activation: an error in a score grows exponentially in the softmax.
void StageCompiler::split_heads(const LayerLayout& layer, int q, const Output& output,
                                const TokenBuffers& token) {
  const int j = q / layout_.shape.group;
  const Hemisphere side = layer.packs[index_of(j)].side;
  const HeadVectors& heads = layer.q_vectors[index_of(q)];
  norm_heads(output, heads, q, token);
  for (int p = 0; p < layout_.shape.heads_in_pack(j); ++p) {
    Work work(scheduler_);
    const Value head = work.op(AluOp::Mul, head_value(work, output, heads, q, token),
                               work.memory(layout_.head_mask[index_of(p)]));
    const Type type = layout_.shape.kv;
    const Value rounded = work.convert(head, Type::Float32, type);
    const std::size_t slot = layout_.head_slot(q, p, side);
    work.store(rounded, token.q_heads[slot]);
    if (!token.q_rests.empty()) {
      const Value kept = work.convert(rounded, type, Type::Float32);
      const Value rest = work.op(AluOp::Sub, head, kept);
      work.store(work.convert(rest, Type::Float32, type), token.q_rests[slot]);
    }
    work.place();
  }
}

void StageCompiler::append_key(const LayerLayout& layer, int pack, const Output& output,
                               const TokenBuffers& token) {
  const HeadVectors& heads = layer.k_vectors[index_of(pack)];
  const int vector = layout_.shape.q_vectors() + pack;
  norm_heads(output, heads, vector, token);
  const ColumnTile& keys = layer.packs[index_of(pack)].keys;
  Work work(scheduler_);
  store_column(work, head_value(work, output, heads, vector, token), keys,
               column_ports(keys, token.registers.key_ports));
  work.place();
}

void StageCompiler::append_value(const LayerLayout& layer, int pack, const Output& output,
                                 const TokenBuffers& token) {
  const ColumnTile& staged = layer.packs[index_of(pack)].staged;
  Work work(scheduler_);
  Value value = scaled(work, output, work.accumulator(output.plane, output.accumulator));
  if (!layer.v_bias.empty()) {
    value = work.op(AluOp::Add, value, work.memory(layer.v_bias[index_of(pack)]));
  }
  store_column(work, value, staged, column_ports(staged, token.registers.value_ports));
  work.place();
}

}  // namespace tandem::lpu
