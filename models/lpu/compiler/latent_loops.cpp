// Latent attention's loops over KV blocks: scores of all tokens and their running maximum, then
// latents weighed by exp(score - maximum). The vectors of a key lie in both hemispheres in turn;
// the parts of a score are added in the vector unit. Blocks of an iteration take turns on the
// planes of a hemisphere, as far as formats leave two, and on the tables of both.
#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

Hemisphere side_of_block(int block) {
  return block % 2 == 0 ? Hemisphere::West : Hemisphere::East;
}

}  // namespace

// Accumulators of one token: one per head for every pair of vectors.
int StageCompiler::latent_sums() const {
  return (layout_.latent->value_vectors + 1) / 2 * layout_.latent->heads;
}

int StageCompiler::latents_at_once() const {
  const int tokens = (geometry_.accumulators - first_value_accumulator) / latent_sums();
  if (tokens < 1) {
    throw ModelError("lpu.compiler: more heads of latent attention than planes have accumulators");
  }
  return tokens;
}

int StageCompiler::latent_accumulator(int head, int vector, int turn) const {
  return first_value_accumulator + turn * latent_sums() + vector / 2 * layout_.latent->heads + head;
}

// One-byte tiles of every second block go to the other plane of the hemisphere.
int StageCompiler::plane_of_block(const PackLayout& pack, int block) const {
  return pack.plane + (streams_of(layout_.shape.kv) == 1 ? block % 2 : 0);
}

// Tokens `first` to `end`: as many as there are accumulators for.
void StageCompiler::attend_latents(const LayerLayout& layer, int first, int end) {
  scheduler_.begin_operator("scores");
  for (int t = first; t < end; ++t) {
    const TokenBuffers& token = layout_.token(t);
    begin_maxima(layer, token);
    run_loop("scores", layer, token.registers.iterations,
             [&](const LoopPlan& loop) { latent_score_body(layer, token, loop); });
  }
  scheduler_.begin_operator("maximum over lanes");
  for (int t = first; t < end; ++t) maximum_over_lanes(layer, layout_.token(t));
  scheduler_.begin_operator("values transposed");
  for (int t = first; t < end; ++t) transpose_latents(layer, layout_.token(t));
  scheduler_.begin_operator("values");
  for (int t = first; t < end; ++t) {
    const TokenBuffers& token = layout_.token(t);
    clear_latent_sums(layer, t - first);
    run_loop("values", layer, token.registers.iterations,
             [&](const LoopPlan& loop) { latent_value_body(layer, token, t - first, loop); });
  }
  scheduler_.begin_operator("means of latents");
  for (int t = first; t < end; ++t) {
    for (int h = 0; h < layout_.latent->heads; ++h)
      average_latent(layer, h, t - first, layout_.token(t));
  }
}

// Vectors of keys in pairs, one in each hemisphere; further pairs are added to the same sums.
void StageCompiler::latent_score_body(const LayerLayout& layer, const TokenBuffers& token,
                                      const LoopPlan& plan) {
  const LatentPlan& latent = *layout_.latent;
  std::vector<LatentScore> scores;
  if (latent.heads * plan.blocks > first_value_accumulator * 2) {
    throw LoopDoesNotFit("lpu.compiler: more scores under way than accumulators");
  }
  for (int block = 0; block < plan.blocks; ++block) {
    const std::size_t first = scores.size();
    for (int h = 0; h < latent.heads; ++h) {
      scores.push_back({block, h, {}});
      for (int n = 0; n < std::min(2, latent.key_vectors); ++n) {
        const int plane = plane_of_block(layer.packs[index_of(n)], block);
        scores.back().accumulator[index_of(n)] = next_accumulator(plane);
      }
    }
    for (int n = 0; n < latent.key_vectors; ++n) {
      const PackLayout& pack = layer.packs[index_of(n)];
      const int plane = plane_of_block(pack, block);
      const ColumnTile keys =
          tile_of_block(pack.keys, token.registers.slot_base, block * layout_.unit_rows);
      begin_tile(keys, plane, plan);
      for (std::size_t i = first; i < scores.size(); ++i) {
        ask_latents(plane, scores[i], n, token);
      }
      end_tile(keys, plane, plan);
    }
  }
  for (const LatentScore& score : scores) take_latent_score(layer, score, token);
}

// One head against one vector of a block of keys.
void StageCompiler::ask_latents(int plane, const LatentScore& score, int vector,
                                const TokenBuffers& token) {
  const LatentPlan& latent = *layout_.latent;
  const Type type = layout_.shape.kv;
  const auto slot = index_of(score.head * latent.key_vectors + vector);
  const bool reaches_upper = latent.key_lanes(vector) > latent.lanes / 2;
  const int halves = streams_of(type) == 2 && reaches_upper ? 2 : 1;
  const int accumulator = score.accumulator[index_of(vector % 2)];
  Work product(scheduler_);
  product.activate_rows(token.q_heads[slot], {{plane, accumulator, vector > 1, halves, type}});
  product.place();
  if (token.q_rests.empty()) return;
  Work rest(scheduler_);
  rest.activate_rows(token.q_rests[slot], {{plane, accumulator, true, halves, type}});
  rest.place(product.start() + halves);
}

// The scores of all tokens of the block at once, and the running maximum of every lane.
void StageCompiler::take_latent_score(const LayerLayout& layer, const LatentScore& score,
                                      const TokenBuffers& token) {
  const LatentPlan& latent = *layout_.latent;
  const Hemisphere side = side_of_block(score.block);
  Work work(scheduler_);
  const auto part = [&](int n) {
    return work.accumulator(plane_of_block(layer.packs[index_of(n)], score.block),
                            score.accumulator[index_of(n)]);
  };
  Value raw = part(0);
  if (latent.key_vectors > 1) raw = work.op(AluOp::Add, raw, part(1));
  const Value scaled_score = work.op(AluOp::Mul, raw, Work::constant(latent.score_scale));
  Rows mask = moved(token.mask[side == Hemisphere::East ? 1 : 0], score.block);
  for (Place& place : mask) place.reg = token.registers.mask_start;
  const Value value = work.op(AluOp::Add, scaled_score, work.memory(mask));
  const std::size_t slot = layout_.head_slot(score.head, 0, side);
  work.store(value, moved(token.scores[slot], score.block * layout_.score_stride));
  const Rows& maximum = token.maxima[layout_.maximum_row(score.head, 0, score.block)];
  work.store(work.op(AluOp::Max, value, work.memory(maximum)), maximum);
  work.place();
}

// The planes turn latents by token into columns by channel, from the keys of the growing block: a
// one-hot activation picks one channel of every token. Channels take turns on the planes.
void StageCompiler::transpose_latents(const LayerLayout& layer, const TokenBuffers& token) {
  const LatentPlan& latent = *layout_.latent;
  const int planes = streams_of(layout_.shape.kv) == 1 ? 2 : 1;
  for (int n = 0; n < latent.latent_vectors; ++n) {
    const PackLayout& pack = layer.packs[index_of(n)];
    ColumnTile keys = pack.keys;
    keys.reg = token.registers.tail_base;
    for (int p = 0; p < planes; ++p) scheduler_.load_tile(keys, pack.plane + p);
    for (int channel = 0; channel < latent.latent_lanes(n); ++channel) {
      transpose_channel(pack, pack.plane + channel % planes, channel, token);
    }
  }
}

void StageCompiler::clear_latent_sums(const LayerLayout& layer, int turn) {
  const LatentPlan& latent = *layout_.latent;
  const Type type = layout_.shape.kv;
  for (int v = 0; v < latent.value_vectors; ++v) {
    for (int h = 0; h < latent.heads; ++h) {
      Work work(scheduler_);
      work.activate(
          work.convert(Work::constant(0.0F), Type::Float32, type),
          {layer.packs[index_of(v)].plane, latent_accumulator(h, v, turn), false, 1, type});
      work.place();
    }
  }
}

void StageCompiler::latent_value_body(const LayerLayout& layer, const TokenBuffers& token, int turn,
                                      const LoopPlan& plan) {
  const LatentPlan& latent = *layout_.latent;
  for (int block = 0; block < plan.blocks; ++block) {
    for (int first = 0; first < latent.value_vectors; first += 2) {
      const int end = std::min(first + 2, latent.value_vectors);
      std::vector<ColumnTile> tiles;
      for (int v = first; v < end; ++v) {
        const PackLayout& pack = layer.packs[index_of(v)];
        tiles.push_back(
            tile_of_block(pack.values, token.registers.slot_base, block * layout_.unit_rows));
        begin_tile(tiles.back(), pack.plane, plan);
      }
      for (int h = 0; h < latent.heads; ++h) weigh_latents(layer, {block, h, turn}, first, token);
      for (int v = first; v < end; ++v) {
        end_tile(tiles[index_of(v - first)], layer.packs[index_of(v)].plane, plan);
      }
    }
  }
}

// exp(score - maximum) of one head and block goes straight from the vector unit to the planes of
// both hemispheres; with two bytes what rounding takes away follows as a second activation.
void StageCompiler::weigh_latents(const LayerLayout& layer, const LatentHead& head, int first,
                                  const TokenBuffers& token) {
  const LatentPlan& latent = *layout_.latent;
  const Type type = layout_.shape.kv;
  const int width = streams_of(type);
  Work work(scheduler_);
  const std::size_t slot = layout_.head_slot(head.head, 0, side_of_block(head.block));
  const Value distance =
      work.op(AluOp::Sub, work.memory(moved(token.scores[slot], head.block * layout_.score_stride)),
              work.memory(token.maxima[layout_.maximum_row(head.head, 0, 0)]));
  Value weight = work.op(AluOp::Exp, distance);
  if (width == 1) weight = work.op(AluOp::Mul, weight, Work::constant(fp8_weight_scale));
  Value rounded;
  const auto send = [&](Value value) {
    for (int v = first; v < std::min(first + 2, latent.value_vectors); ++v) {
      rounded = work.convert(value, Type::Float32, type);
      work.activate(rounded, {layer.packs[index_of(v)].plane,
                              latent_accumulator(head.head, v, head.turn), true, width, type});
    }
  };
  send(weight);
  if (width == 2) {
    send(work.op(AluOp::Sub, weight, work.convert(rounded, type, Type::Float32)));
  }
  work.place();
}

}  // namespace tandem::lpu
