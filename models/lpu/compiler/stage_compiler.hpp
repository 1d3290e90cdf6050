// The operators of a decoder as pieces of schedule. Inside of the compiler; see compiler.hpp.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>

#include "models/lpu/compiler/block_tiles.hpp"
#include "models/lpu/compiler/compiler.hpp"
#include "models/lpu/compiler/delta_step.hpp"
#include "models/lpu/compiler/head_places.hpp"
#include "models/lpu/compiler/loop_plan.hpp"
#include "models/lpu/compiler/pinned_alu.hpp"
#include "models/lpu/compiler/work.hpp"

namespace tandem::lpu {

/// Schedules the operators of one stage in order on one Scheduler.
class StageCompiler {
 public:
  /// `tokens` of a pass: as many as the layout has buffers for, or fewer.
  StageCompiler(const Geometry& geometry, const LatencyTable& latencies, StageLayout& layout,
                const LinkPlan& links, int tokens, const std::optional<LoopPlan>& loops = {},
                const std::optional<LoopPlan>& window_loops = {});
  /// Makes this the schedule of a gang whose rows by rank `rows` keeps; before compile().
  void join(const TensorGang& tensor, RankRows& rows);
  void compile();
  [[nodiscard]] const Scheduler& scheduler() const { return scheduler_; }
  [[nodiscard]] const std::vector<std::vector<std::uint16_t>>& maps() const { return maps_; }
  [[nodiscard]] const std::vector<std::int64_t>& receive_cycles() const { return receives_; }
  [[nodiscard]] const std::vector<std::int64_t>& send_cycles() const { return sends_; }
  /// Of loops over all blocks, or over those of a window.
  [[nodiscard]] const auto& plan(bool window) const { return plans_[window ? 1 : 0]; }
  /// The loops in program order, and how they are arranged.
  [[nodiscard]] const std::vector<LoopUse>& loop_uses() const { return loop_uses_; }

 private:
  /// One row of tiles of a matrix, and what to do with the finished outputs of every token.
  struct TileRow {
    const MatrixLayout* matrix;
    int n;
    std::function<void(int token, int plane, int accumulator)> done;
  };
  /// Rows of tiles that advance together, and their accumulators.
  struct RowGroup {
    std::vector<const TileRow*> rows;
    std::vector<std::vector<Work::Target>> targets;  ///< by token, then row
    [[nodiscard]] int first_plane() const { return targets.front().front().plane; }
    [[nodiscard]] int k_tiles() const { return rows.front()->matrix->k_tiles; }
  };
  /// Which of a token's activations a product takes.
  using ActivationsOf = Activations TokenBuffers::*;
  /// Groups on different planes; all have the same number of tiles along their inputs.
  using Round = std::vector<RowGroup*>;
  /// Outputs of a matrix in an accumulator; `scaled` applies the factor of one-byte weights, which
  /// ALU `scale` keeps.
  struct Output {
    const MatrixLayout* matrix;
    int plane;
    int accumulator;
    int scale;
  };
  /// Tokens of a pass.
  struct TokenRange {
    int first;
    int end;
  };
  // Layers by kind (compiler.cpp).
  void mix_tokens(const LayerLayout& layer);
  void feed_forward(const LayerLayout& layer);

  // What a half of a layer adds to the hidden state (residual.cpp).
  /// Where a product goes: into the hidden state, or apart for the norm over it.
  struct Residual {
    std::vector<Rows> TokenBuffers::*to;
    const std::vector<Rows>* norm;  ///< null: none
  };
  [[nodiscard]] static Residual residual(const std::vector<Rows>& post_norm);
  void begin_half(const std::vector<Rows>& bias, const Residual& to);
  void end_half(const std::vector<Rows>& bias, const Residual& to);
  void add_to_hidden(const MatrixLayout& matrix, ActivationsOf activations,
                     const std::vector<Rows>& bias, const Residual& to);
  void product_to(const MatrixLayout& matrix, ActivationsOf activations,
                  std::vector<Rows> TokenBuffers::*to);
  void add_bias(const std::vector<Rows>& bias, std::vector<Rows> TokenBuffers::*to);
  void add_normed(const std::vector<Rows>& weights, std::vector<Rows> TokenBuffers::*from,
                  std::vector<Rows> TokenBuffers::*to, bool add);
  void feed_forward_side_by_side(const LayerLayout& layer);
  void mix_experts(const LayerLayout& layer, const Residual& to);

  // Hidden state over links (link.cpp).
  void receive_hidden();
  void send_hidden();
  void send_hidden(const TokenBuffers& token);

  // What a gang's chips add to each other's hidden state (exchange.cpp).
  void contribute(Work& work, Value part, int token, int vector);
  void exchange_to(std::vector<Rows> TokenBuffers::*to);
  [[nodiscard]] std::vector<std::int64_t> reduce_stripes();
  void gather_vectors(const std::vector<std::int64_t>& ready, std::vector<Rows> TokenBuffers::*to,
                      bool add);
  void keep_shards();
  void send_normed_shards();
  [[nodiscard]] bool sends() const {
    return layout_.stage.head_end != layout_.network().vocabulary;
  }
  /// Hidden states of all tokens, one behind the other.
  [[nodiscard]] int exchanged() const { return tokens_ * layout_.shape.hidden_vectors; }
  [[nodiscard]] const Rows& row_of(std::vector<Rows> TokenBuffers::*rows, int vector) const;
  [[nodiscard]] const Rows& hidden_row(int vector) const {
    return row_of(&TokenBuffers::hidden, vector);
  }
  void receive_shards();
  void send_shards();
  void send_stripes(const std::function<std::int64_t(int stripe, const Rows& out)>& ready_of);

  // Products (products.cpp), of the tokens whose turn it is.
  [[nodiscard]] ColumnTile tile_of_turn(ColumnTile tile) const;
  [[nodiscard]] const TokenBuffers& turn_token() const { return layout_.token(turn_.first); }
  void multiply(const std::vector<TileRow>& rows, ActivationsOf activations);
  [[nodiscard]] std::vector<RowGroup> row_groups(const std::vector<TileRow>& rows);
  void multiply_round(const Round& round, const Round* next, ActivationsOf activations);
  void finish_round(const Round& round);
  void load_round(const Round& round, int k);
  void load_tiles(const RowGroup& group, int k);
  void install_tiles(const RowGroup& group, int k);
  void activate_tiles(RowGroup& group, int k, int token, ActivationsOf activations);
  [[nodiscard]] int load_scale(const MatrixLayout& matrix, int turn);
  [[nodiscard]] Value scaled(Work& work, const Output& output, Value value) const;
  [[nodiscard]] int next_accumulator(int plane);
  void dense_block(const LayerLayout& layer, const Residual& to);
  void gated_block(const LayerLayout& layer);
  void plain_block(const LayerLayout& layer);
  void gate(const LayerLayout& layer, const Output& gate, const Output& up, int vector, int token);
  [[nodiscard]] Value biased(Work& work, const Output& output, const std::vector<Rows>& bias,
                             int vector) const;
  void store_activation(Work& work, Value value, Type type, const Activations& to, int vector);

  // Gated DeltaNet (delta_mixer.cpp).
  void mix_by_delta(const LayerLayout& layer);
  void project_delta(const LayerLayout& layer, DeltaStep& step);
  [[nodiscard]] std::function<Value(Work&)> output_of(const MatrixLayout& matrix, int plane,
                                                      int accumulator) const;

  // Mixtures of experts (routing.cpp, experts.cpp), of the token whose turn it is.
  void in_turn(int token, const std::function<void()>& work);
  /// A matrix that is cut along its inputs, in accumulators.
  struct PartedOutput {
    const std::vector<MatrixLayout>* matrix;
    std::vector<std::pair<int, int>> sums;  ///< plane and accumulator, in the order of the parts
    int scale;
  };
  [[nodiscard]] Value sum_of(Work& work, const PartedOutput& output);
  void score_experts(const LayerLayout& layer);
  void store_keys(const LayerLayout& layer, const PartedOutput& logits, int vector);
  void store_twice(Work& work, Value value, const std::array<Rows, 2>& to);
  /// Lanes that a lane is compared with, one step away each: those that come behind it in the
  /// order of lanes and those before it. What a lane lacks is a lane far below all others.
  struct Rivals {
    std::vector<int> behind, before;  ///< maps
  };
  [[nodiscard]] Rivals rivals_in(int lanes, int step, int run);
  [[nodiscard]] Value rank(Work& work, const std::array<Rows, 2>& keys, const Rivals& rivals);
  void rank_experts(const ExpertsLayout& experts);
  void add_rivals(const ExpertsLayout& experts, int vector, int other);
  void keep_best_groups(const LayerLayout& layer);
  void rank_groups(const ops::Router& router);
  [[nodiscard]] Value sum_in_groups(Work& work, Value value, int width);
  void choose_experts(const LayerLayout& layer);
  [[nodiscard]] Value value_of_chosen(Work& work, const std::vector<Rows>& by_lane, int chosen);
  std::int64_t flag_chosen(const std::vector<Rows>& by_lane, int chosen, const Rows& to, int reg);
  void find_chosen(const ExpertsLayout& experts, int count);
  void weigh_chosen(const LayerLayout& layer);
  void sum_exponentials(const std::vector<Rows>& scores, double scale);
  void sum_weights(const ops::Router& router);
  void scale_weights(const ExpertsLayout& experts, const ops::Router& router, bool divides);
  void advance_experts(const LayerLayout& layer, const Residual& to);
  void add_expert_biases(const LayerLayout& layer);
  [[nodiscard]] Rows row_of_chosen(const Rows& table, int chosen) const;
  [[nodiscard]] Value logistic(Work& work, Value x);
  [[nodiscard]] Value curve(Work& work, ActivationKind kind, Value x);
  [[nodiscard]] Value activated(Work& work, ActivationKind kind, Value gate, Value up);
  void gate_expert(const LayerLayout& layer, const PartedOutput& gate, const PartedOutput& up,
                   int vector);

  // The join of modules of multi-token prediction (join.cpp).
  void join_hidden();

  // Norms, reductions and the head (norm.cpp).
  /// What a norm takes and gives: vectors of `to` from `first` on, in fp32 to `kept` too.
  struct NormedRows {
    const std::vector<Rows>* from;
    const Activations* to;
    int first = 0;
    const std::vector<Rows>* kept = nullptr;
  };
  void norm(const std::vector<Rows>& weights, ActivationsOf to = &TokenBuffers::normed);
  void norm(const std::vector<Rows>& weights, const NormedRows& rows);
  void final_norm();
  void rms_norm(const std::vector<Rows>& weights, const NormedRows& rows);
  void layer_norm(const std::vector<Rows>& weights, const NormedRows& rows);
  void store_normed(Work& work, Value value, const NormedRows& rows, int vector);
  int keep_inverse_rms(const std::vector<Rows>& x);
  int keep_inverse_root(Work& sum, Value squares);
  int keep_mean(const std::vector<Rows>& x);
  int keep_inverse_deviation(const std::vector<Rows>& x, int mean);
  [[nodiscard]] Value summed(Work& work, std::size_t k, Value x, Work::Options running = {}) const;
  [[nodiscard]] Value mean_of(Work& work, Value sums);
  [[nodiscard]] Value inverse_root(Work& work, Value squares);
  [[nodiscard]] Value squeezed(Work& work, Value x, double factor, double cap) const;
  [[nodiscard]] Value reduce_lanes(Work& work, Value value, AluOp operation, Hemisphere side);
  void head();
  void take_logit(const Output& output, int tile, const TokenBuffers& token);
  void compare_best(Work& work, Value logit, int tile);
  void find_best(const TokenBuffers& token);
  void keep_best(const TokenBuffers& token);
  // The best k of the head (top_tokens.cpp).
  void find_top(const TokenBuffers& token);
  void find_next(const TokenBuffers& token);
  void take_winner(const TokenBuffers& token, int place);
  [[nodiscard]] Value token_index(Work& work, Value tile);

  // Attention (attention.cpp, attention_values.cpp).
  void attention(const LayerLayout& layer);
  void attend(const LayerLayout& layer, int first, int end);
  void project_qkv(const LayerLayout& layer);
  // What projections become on their way (attention_inputs.cpp).
  [[nodiscard]] Value rotate(Work& work, const Output& output, const HeadVectors& heads,
                             const TokenBuffers& token);
  [[nodiscard]] Value unrotated(Work& work, const Output& output, const HeadVectors& heads);
  [[nodiscard]] Value head_value(Work& work, const Output& output, const HeadVectors& heads,
                                 int vector, const TokenBuffers& token);
  void norm_heads(const Output& output, const HeadVectors& heads, int vector,
                  const TokenBuffers& token);
  [[nodiscard]] Value square_of(Work& work, const Output& output, const Rows& bias) const;
  [[nodiscard]] Value inverse_root_of(Work& work, Value squares, std::int64_t terms) const;
  void keep_inverse_of_heads(const Output& output, const Rows& bias, const Rows& to);
  void store_heads(const LayerLayout& layer, int q, const Output& output,
                   const TokenBuffers& token);
  void store_key(const LayerLayout& layer, int pack, const Output& output,
                 const TokenBuffers& token);
  void split_heads(const LayerLayout& layer, int q, const Output& output,
                   const TokenBuffers& token);
  void append_key(const LayerLayout& layer, int pack, const Output& output,
                  const TokenBuffers& token);
  void append_value(const LayerLayout& layer, int pack, const Output& output,
                    const TokenBuffers& token);
  // Norms over all heads of a layer (head_norms.cpp).
  void keep_square(const Output& output, const HeadVectors& heads, int vector,
                   const TokenBuffers& token);
  [[nodiscard]] static bool norms_all_heads(const LayerLayout& layer);
  void norm_all_heads(const LayerLayout& layer);
  /// Vectors `first` to `end` of a token's queries or keys, and which of its sums is theirs.
  struct NormedRun {
    int first;
    int end;
    int sum;
    std::int64_t channels;
  };
  [[nodiscard]] std::int64_t sum_squares(const TokenBuffers& token, const NormedRun& run);
  void keep_inverse_of_all(const TokenBuffers& token, const NormedRun& run, std::int64_t ready);
  [[nodiscard]] std::int64_t sum_over_ranks(std::int64_t ready);
  [[nodiscard]] std::vector<Rows> column_ports(const ColumnTile& tile, int first_register) const;
  void store_column(Work& work, Value value, const ColumnTile& tile,
                    const std::vector<Rows>& by_byte);
  void transpose_values(const PackLayout& pack, const TokenBuffers& token);
  void transpose_channel(const PackLayout& pack, int plane, int channel, const TokenBuffers& token);
  void combine_heads(const LayerLayout& layer, int q, const TokenBuffers& token, int turn);
  // Gated outputs (gates.cpp).
  void add_output_gates(const LayerLayout& layer, int scale, std::vector<TileRow>& rows);
  [[nodiscard]] Value gated_output(Work& work, Value heads, const LayerLayout& layer, int q,
                                   const TokenBuffers& token);
  void keep_shared_gate(const LayerLayout& layer, const PartedOutput& logits);
  void maximum_over_lanes(const LayerLayout& layer, const TokenBuffers& token);
  void maximum_over_lanes(const TokenBuffers& token, const HeadOfPack& head, int blocks);
  [[nodiscard]] Value with_sink(Work& work, Value sum, const LayerLayout& layer,
                                const TokenBuffers& token, const HeadOfPack& head,
                                const Work::Options& at);
  void begin_maxima(const LayerLayout& layer, const TokenBuffers& token);

  // Latent attention (latent.cpp).
  void mix_by_latents(const LayerLayout& layer);
  void project_down(const LayerLayout& layer);
  void keep_raw(const Output& output, const Rows& mask, const Rows& to);
  void keep_cached(const Output& output, int vector, const TokenBuffers& token);
  /// What a rotation combines.
  struct Pair {
    Value own, partner;
  };
  [[nodiscard]] Value turned(Work& work, const Output& output, const Pair& x,
                             const TokenBuffers& token) const;
  void find_rms(const std::vector<Rows>& raw, int width, Hemisphere side, const Rows& to);
  void norm_latents(const LayerLayout& layer, const TokenBuffers& token);
  [[nodiscard]] static Value normed(Work& work, const Rows& raw, const Rows& rms,
                                    const Rows& weight);
  void append_latent(const LayerLayout& layer, int vector, const TokenBuffers& token);
  void project_queries(const LayerLayout& layer);
  void split_queries(const Output& output, int vector, const TokenBuffers& token);
  void turn_query(const Output& output, int place, int head, const TokenBuffers& token);
  void store_query(Work& work, Value value, int head, int vector, const TokenBuffers& token);
  void absorb_keys(const LayerLayout& layer);
  void keep_query(const Output& output, int head, int vector, const TokenBuffers& token);
  void average_latent(const LayerLayout& layer, int head, int turn, const TokenBuffers& token);
  void project_values(const LayerLayout& layer);

  // Its loops over KV blocks (latent_loops.cpp).
  void attend_latents(const LayerLayout& layer, int first, int end);
  void latent_score_body(const LayerLayout& layer, const TokenBuffers& token, const LoopPlan& plan);
  void ask_latents(int plane, const LatentScore& score, int vector, const TokenBuffers& token);
  void take_latent_score(const LayerLayout& layer, const LatentScore& score,
                         const TokenBuffers& token);
  void transpose_latents(const LayerLayout& layer, const TokenBuffers& token);
  void clear_latent_sums(const LayerLayout& layer, int turn);
  void latent_value_body(const LayerLayout& layer, const TokenBuffers& token, int turn,
                         const LoopPlan& plan);
  void weigh_latents(const LayerLayout& layer, const LatentHead& head, int first,
                     const TokenBuffers& token);
  [[nodiscard]] int latent_sums() const;
  [[nodiscard]] int latents_at_once() const;
  [[nodiscard]] int latent_accumulator(int head, int vector, int turn) const;
  [[nodiscard]] int plane_of_block(const PackLayout& pack, int block) const;

  // Loops over KV blocks (attention_loops.cpp).
  [[nodiscard]] static KvSpan span_of(const LayerLayout& layer, const TokenBuffers& token);
  [[nodiscard]] int blocks_per_iteration(const LayerLayout& layer) const {
    return plan(layer.has_window())->blocks;
  }
  void score_loop(const LayerLayout& layer, const TokenBuffers& token);
  void score_body(const LayerLayout& layer, const TokenBuffers& token, const LoopPlan& plan);
  void multiply_keys(const PackLayout& pack, const BlockHead& head, const TokenBuffers& token);
  void take_scores(const LayerLayout& layer, const BlockHead& head, const TokenBuffers& token);
  void value_loop(const LayerLayout& layer, const TokenBuffers& token, int turn);
  void value_body(const LayerLayout& layer, const TokenBuffers& token, int turn,
                  const LoopPlan& plan);
  void weigh_values(const PackLayout& pack, const BlockHead& head, const TokenBuffers& token);
  void begin_tile(const ColumnTile& tile, int plane, const LoopPlan& plan);
  void end_tile(const ColumnTile& tile, int plane, const LoopPlan& plan);
  [[nodiscard]] std::int64_t lateness(int q) const;
  [[nodiscard]] std::map<int, int> loop_strides(const LoopPlan& plan) const;
  /// Of the token that comes `turn`-th in its group.
  [[nodiscard]] int value_accumulator(const LayerLayout& layer, int q, int p, int turn) const;
  [[nodiscard]] int value_accumulators(const LayerLayout& layer) const;
  [[nodiscard]] static int packs_before(const LayerLayout& layer, int pack);
  [[nodiscard]] int tokens_at_once(const LayerLayout& layer) const;

  // Plans of these loops (loop_search.cpp).
  using LoopFunction = std::function<void(const LoopPlan&)>;
  struct LoopBody {
    std::optional<Scheduler> schedule;  ///< empty: does not fit
    std::int64_t interval = 0;
  };
  [[nodiscard]] LoopBody schedule_body(const LoopFunction& body, const LoopPlan& plan,
                                       std::int64_t interval);
  [[nodiscard]] LoopBody sequential_body(const LoopFunction& body, int blocks);
  /// At the shortest interval found in [from, end); empty where none fits.
  [[nodiscard]] LoopBody shortest_body(const LoopFunction& body, const LoopPlan& plan,
                                       std::int64_t from, std::int64_t end);
  /// A loop while plans are compared.
  struct PlannedLoop {
    std::string name;
    LoopFunction body;
    std::int64_t bound_per_block = 1;
    double cycles_per_block = 0;  ///< of the plan tried last
  };
  [[nodiscard]] LoopCost cost_of(PlannedLoop& loop, const LoopPlan& plan);
  [[nodiscard]] LoopBody planned_body(const std::string& name, const LoopFunction& body,
                                      LoopPlan& plan);
  void settle_plan(const LayerLayout& layer, const TokenBuffers& token);
  void choose_plan(const LayerLayout& layer, const TokenBuffers& token);
  [[nodiscard]] std::vector<LoopPlan> possible_plans(bool window) const;
  void run_loop(const std::string& name, const LayerLayout& layer, int reg,
                const LoopFunction& body);

  [[nodiscard]] int add_map(std::vector<std::uint16_t> map);

  const Geometry geometry_;
  StageLayout& layout_;
  LinkPlan links_;
  const int tokens_;
  TokenRange turn_;  ///< all tokens, but while one of them goes through its experts
  Scheduler scheduler_;
  std::vector<std::vector<std::uint16_t>> maps_;
  std::vector<int> accumulator_turn_;
  std::vector<std::int64_t> receives_, sends_;
  std::array<std::optional<LoopPlan>, 2> plans_;   // over all blocks, over those of a window
  std::map<std::string, std::int64_t> intervals_;  // found last, by name of the loop
  std::vector<LoopUse> loop_uses_;
  std::optional<Collective> collective_;  // of a gang
  int own_register_ = 0;                  // of the row of a chip's own vector in a stripe
  std::int64_t shards_ready_ = 0;
  bool last_exchange_ = false;              // the sum leaves for the next stage
  std::vector<std::int64_t> stripe_ready_;  // by stripe: first cycle to read its contributions
  std::int64_t best_from_ = 0;
  DeltaMaps delta_maps_;
  int rope_map_ = 0;
  int sum_map_ = 0;
};

}  // namespace tandem::lpu
