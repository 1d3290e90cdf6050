#include "models/lpu/compiler/compiler.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "models/lpu/compiler/rank_share.hpp"
#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

std::array<std::uint16_t, host_registers> register_limits(const Geometry& geometry,
                                                          const StageLayout& layout) {
  std::array<std::uint16_t, host_registers> limits{};
  const auto set = [&](int reg, std::int64_t value) {
    limits[index_of(reg)] = static_cast<std::uint16_t>(value);
  };
  const int units = layout.units();
  const int last_issue = geometry.lw_issues() - 1;
  for (const LayerLayout& layer : layout.layers) {
    if (!layer.experts) continue;
    const ops::Router& router = layer.kind.ffn.experts->router;
    const std::int64_t last_unit = (router.experts - 1) / layer.experts->side_by_side;
    const std::int64_t rows = last_unit * layer.experts->unit_rows;
    for (int t = 0; t < layout.tokens; ++t) {
      const TokenRegisters& token = layout.token(t).registers;
      for (int j = 0; j < static_cast<int>(router.top_k); ++j) {
        auto& limit = limits[index_of(token.chosen_experts + j)];
        limit = std::max(limit, static_cast<std::uint16_t>(rows));
        auto& index = limits[index_of(token.chosen_indices + j)];
        index = std::max(index, static_cast<std::uint16_t>(router.experts - 1));
      }
    }
  }
  for (int t = 0; t < layout.tokens; ++t) {
    const TokenRegisters token = token_registers(geometry, t);
    // Tokens that only fill up a pass grow the spare unit.
    const int spare = layout.tokens > 1 ? 1 : 0;
    set(token.iterations, (layout.blocks_per_slot - 1) / layout.blocks_per_iteration);
    set(token.slot_base, std::int64_t{units - layout.blocks_per_slot} * layout.unit_rows);
    set(token.tail_base, std::int64_t{units - 1 + spare} * layout.unit_rows);
    set(token.staging_base, std::int64_t{layout.staging_areas() - 1 + spare} * layout.staging_rows);
    set(token.mask_start, layout.blocks_per_slot);
    if (const WindowLayout& window = layout.window; window.exists()) {
      set(token.window_iterations, (window.blocks - 1) / window.blocks_per_iteration);
      set(token.window_base, std::int64_t{units - window.blocks} * layout.unit_rows);
      set(token.window_mask_start, window.blocks - 1);
    }
    for (int k = 0; k < geometry.weight_streams_per_plane; ++k) {
      set(token.key_ports + k, std::int64_t{units} * layout.unit_rows + last_issue);
      set(token.value_ports + k,
          std::int64_t{layout.staging_areas()} * layout.staging_rows + last_issue);
    }
  }
  if (layout.delta) {
    const auto delta = delta_register_limits(*layout.delta, layout.slots);
    std::ranges::copy(delta, limits.begin() + host_register::delta_state);
  }
  return limits;
}

void check_fit(const Geometry& geometry, const StageLayout& layout) {
  if (layout.deepest_bank() > geometry.rows_per_bank) {
    throw ModelError(
        fmt::format("lpu.compiler: the stage needs {} rows in its fullest bank, the chip has {}",
                    layout.deepest_bank(), geometry.rows_per_bank));
  }
}

}  // namespace

CompiledStage CompiledStage::of_rank(const Stage& whole, int rank) const {
  CompiledStage result = *this;
  result.program = program_of(rank);
  result.layout.stage = rank_stage(whole, layout.ranks, rank);
  return result;
}

std::vector<int> reduction_radices(int lanes) {
  std::vector<int> radices;
  for (const int radix : {4, 5, 3, 2}) {
    while (lanes % radix == 0) {
      radices.push_back(radix);
      lanes /= radix;
    }
  }
  if (lanes != 1) {
    throw ModelError("lpu.compiler: vectors whose length has a prime factor above 5");
  }
  return radices;
}

StageCompiler::StageCompiler(const Geometry& geometry, const LatencyTable& latencies,
                             StageLayout& layout, const LinkPlan& links, int tokens,
                             const std::optional<LoopPlan>& loops,
                             const std::optional<LoopPlan>& window_loops)
    : geometry_(geometry),
      layout_(layout),
      links_(links),
      tokens_(tokens),
      turn_{0, tokens},
      scheduler_(geometry, latencies, latencies.barrier),
      accumulator_turn_(index_of(geometry.planes)),
      plans_{loops, window_loops} {
  rope_map_ = add_map(rope_partners(layout.shape, layout.rope));
  sum_map_ = add_map(std::vector<std::uint16_t>(
      index_of(geometry.lanes()), static_cast<std::uint16_t>(layout.shape.channels())));
}

int StageCompiler::add_map(std::vector<std::uint16_t> map) {
  for (std::size_t i = 0; i < maps_.size(); ++i) {
    if (maps_[i] == map) return static_cast<int>(i);
  }
  maps_.push_back(std::move(map));
  return static_cast<int>(maps_.size()) - 1;
}

// The bytes of the hidden state arrive one link interval apart, vector by vector, lowest byte
// first.
void StageCompiler::receive_hidden() {
  if (collective_) return receive_shards();
  scheduler_.begin_operator("receive");
  const int interval = geometry_.link_class(links_.receive_link).cycles_per_vector;
  Work work(scheduler_);
  std::int64_t offset = 0;
  for (int t = 0; t < tokens_; ++t) {
    for (const Rows& rows : layout_.token(t).hidden) {
      for (const Place& place : rows) {
        work.receive_row(place, links_.receive_link, offset);
        receives_.push_back(offset);
        offset += interval;
      }
    }
  }
  const std::int64_t start = work.place();
  for (std::int64_t& cycle : receives_) cycle += start;
}

void StageCompiler::send_hidden() {
  scheduler_.begin_operator("send");
  for (int t = 0; t < tokens_; ++t) {
    const TokenBuffers& token = layout_.token(t);
    for (std::size_t k = 0; k < token.hidden.size(); ++k) {
      Work copy(scheduler_);
      copy.store(copy.op(AluOp::Pass, copy.memory(token.hidden[k])), token.outgoing[k]);
      copy.place();
    }
  }
  for (int t = 0; t < tokens_; ++t) send_hidden(layout_.token(t));
}

void StageCompiler::send_hidden(const TokenBuffers& token) {
  const int interval = geometry_.link_class(links_.send_link).cycles_per_vector;
  const int position =
      std::abs(geometry_.c2c_position(geometry_.link_hemisphere(links_.send_link)));
  const std::size_t first = sends_.size();
  Work work(scheduler_);
  std::int64_t offset = 0;
  for (const Rows& rows : token.outgoing) {
    for (const Place& place : rows) {
      work.send_row(place, links_.send_link, offset);
      sends_.push_back(offset + position);
      offset += interval;
    }
  }
  const std::int64_t start = work.place();
  for (std::size_t i = first; i < sends_.size(); ++i) sends_[i] += start;
}

// The first half of a layer, by its kind.
void StageCompiler::mix_tokens(const LayerLayout& layer) {
  if (!layer.kind.has_mixer()) return;
  if (std::holds_alternative<GatedDelta>(layer.kind.mixer)) return mix_by_delta(layer);
  if (layout_.latent) return mix_by_latents(layer);
  attention(layer);
}

// The second half.
void StageCompiler::feed_forward(const LayerLayout& layer) {
  if (!layer.experts_norm.empty()) return feed_forward_side_by_side(layer);
  const Residual to = residual(layer.ffn_post_norm);
  norm(layer.ffn_norm);
  if (layer.experts) {
    mix_experts(layer, to);
  } else {
    dense_block(layer, to);
  }
}

void StageCompiler::compile() {
  if (!layout_.stage.has_embedding) receive_hidden();
  if (layout_.network().joins_hidden) join_hidden();
  for (const LayerLayout& layer : layout_.layers) {
    mix_tokens(layer);
    last_exchange_ = &layer == &layout_.layers.back() && sends();
    feed_forward(layer);
  }
  if (sends() && !collective_) send_hidden();
  if (layout_.stage.has_head()) head();
}

namespace {

// Cycles of further iterations, by the registers that count them.
void predict_iterations(CompiledStage& result, const Scheduler& scheduler) {
  const StageLayout& layout = result.layout;
  const auto by_register = iteration_cycles(scheduler);
  const auto cycles_of = [&](int reg) {
    const auto found = by_register.find(reg);
    return found == by_register.end() ? 0 : found->second;
  };
  CyclePrediction& cycles = result.cycles;
  cycles.per_iteration = 0;
  for (int t = 0; t < result.tokens; ++t) {
    const TokenRegisters& registers = layout.token(t).registers;
    result.iteration_cycles.push_back(cycles_of(registers.iterations));
    result.window_iteration_cycles.push_back(cycles_of(registers.window_iterations));
    cycles.per_iteration += result.iteration_cycles.back();
    cycles.window.per_iteration += result.window_iteration_cycles.back();
  }
  cycles.blocks_per_iteration = layout.blocks_per_iteration;
  cycles.window.blocks_per_iteration = layout.window.blocks_per_iteration;
  cycles.window.most_blocks = layout.window.blocks;
}

// Compiles, and takes over what came out.
void fill(CompiledStage& result, StageCompiler& compiler, const std::string& chip) {
  const Geometry& geometry = compiler.scheduler().geometry();
  compiler.compile();
  result.program.chip = chip;
  emit_queues(compiler.scheduler(), result.program);
  result.program.maps = compiler.maps();
  result.program.register_limits = register_limits(geometry, result.layout);
  for (const int rows : result.layout.rows_used) {
    result.program.rows_used.push_back(static_cast<std::uint16_t>(rows));
  }
  result.cycles = predict_cycles(compiler.scheduler());
  predict_iterations(result, compiler.scheduler());
  result.loops = compiler.loop_uses();
  result.plan = compiler.plan(false);
  result.window_plan = compiler.plan(true);
  result.operators = operator_uses(compiler.scheduler());
  result.receive_cycles = compiler.receive_cycles();
  result.send_cycles = compiler.send_cycles();
  for (const QueueProgram& queue : result.program.queues) {
    result.instructions += static_cast<std::int64_t>(queue.size());
  }
}

}  // namespace

std::int64_t CompiledStage::cycles_of(const std::vector<std::int64_t>& blocks) const {
  std::int64_t total = cycles.base;
  for (std::size_t t = 0; t < blocks.size(); ++t) {
    total += iteration_cycles[t] * cycles.further_iterations(blocks[t]) +
             window_iteration_cycles[t] * cycles.window.further_iterations(blocks[t]);
  }
  return total;
}

bool CompiledStage::passes_on(int link, std::int64_t cycle, std::int64_t pass_cycles) const {
  return link == links.send_link &&
         std::ranges::find(send_cycles, cycle - (pass_cycles - cycles.base)) != send_cycles.end();
}

CompiledStage compile_stage(const Geometry& geometry, const LatencyTable& latencies,
                            const std::string& chip, const Stage& stage, int slots,
                            std::int64_t max_context, const LinkPlan& links,
                            const PassShape& pass) {
  if (pass.tokens < 1) throw ModelError("lpu.compiler: a pass of no tokens");
  CompiledStage result;
  result.links = links;
  result.tokens = pass.tokens;
  result.layout = make_layout(geometry, stage, slots, max_context, std::max(pass.tokens, pass.room),
                              {}, stage.has_head() ? pass.top : 0);
  check_fit(geometry, result.layout);
  StageCompiler compiler(geometry, latencies, result.layout, links, pass.tokens, pass.loops,
                         pass.window_loops);
  fill(result, compiler, chip);
  return result;
}

CompiledStage compile_gang_stage(const Geometry& geometry, const LatencyTable& latencies,
                                 const std::string& chip, const Stage& stage, int slots,
                                 std::int64_t max_context, const TensorGang& tensor,
                                 const LinkPlan& links, const PassShape& pass) {
  const int ranks = tensor.gang->size();
  if (ranks == 1) {
    return compile_stage(geometry, latencies, chip, stage, slots, max_context, links, pass);
  }
  CompiledStage result;
  result.links = links;
  result.tokens = pass.tokens;
  // The last rank's: where its rows of the head end, the vocabulary ends.
  const Stage share = rank_stage(stage, ranks, ranks - 1);
  const int tray_chips = std::min(ranks, tensor.topology->chips_below(1));
  result.layout = make_layout(geometry, share, slots, max_context, std::max(pass.tokens, pass.room),
                              {ranks, ranks / tray_chips}, share.has_head() ? pass.top : 0);
  check_fit(geometry, result.layout);
  StageCompiler compiler(geometry, latencies, result.layout, links, pass.tokens, pass.loops,
                         pass.window_loops);
  compiler.join(tensor, result.rank_rows);
  fill(result, compiler, chip);
  return result;
}

}  // namespace tandem::lpu
