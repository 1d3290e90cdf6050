// Where everything of a stage lies in SRAM: weights as column tiles, the KV cache, constants and
// the buffers of a pass. Pure arithmetic, no cycles; the compiler, the loader and the fit check
// share it.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "models/lpu/collective/collective.hpp"
#include "models/lpu/compiler/delta_rows.hpp"
#include "models/lpu/compiler/latent_plan.hpp"
#include "models/lpu/compiler/scheduler.hpp"
#include "models/lpu/compiler/window.hpp"
#include "sim/describe/neural_network.hpp"
#include "sim/lower/batch.hpp"

namespace tandem::lpu {

/// Host registers of a pass.
namespace host_register {
inline constexpr int iterations = 1;  ///< KV blocks - 1
inline constexpr int slot_base = 2;   ///< rows from the first KV unit to the request's first
inline constexpr int tail_base = 3;   ///< rows to the unit of the block that grows
inline constexpr int staging_base = 4;
inline constexpr int mask_start = 5;
// The same for layers with a sliding window.
inline constexpr int window_iterations = 6;
inline constexpr int window_base = 7;  ///< rows from the first KV unit to the first one read
inline constexpr int window_mask_start = 8;
inline constexpr int column_ports = 16;  ///< K rows by port; V rows by port behind them
/// Rows from the first expert's weights to those of a token's chosen ones, best first. Flags of the
/// vector unit set them in the middle of a pass.
inline constexpr int chosen_experts = 192;
inline constexpr int most_chosen_experts = 16;
/// Their indices, for tables with a row per expert.
inline constexpr int chosen_indices = chosen_experts + most_chosen_experts;
inline constexpr int delta_state = 178;  ///< rows to a request's recurrent states
/// Rows to the convolution's input of as many tokens ago as registers further (0 = this token);
/// five of them.
inline constexpr int delta_ring = 179;
inline constexpr int delta_next_state = 184;  ///< rows to the states behind the token
/// Those of the second and all further tokens of a pass, token by token; those of their experts.
inline constexpr int further_tokens = 256;
inline constexpr int further_choices = 3328;
}  // namespace host_register

/// The host registers that one token's attention uses: where its request's KV lies and how many
/// blocks of it there are. The first token of a pass has those above, the others have theirs from
/// further_tokens on.
struct TokenRegisters {
  int iterations = host_register::iterations;
  int slot_base = host_register::slot_base;
  int tail_base = host_register::tail_base;
  int staging_base = host_register::staging_base;
  int mask_start = host_register::mask_start;
  int window_iterations = host_register::window_iterations;
  int window_base = host_register::window_base;
  int window_mask_start = host_register::window_mask_start;
  int key_ports = 0;    ///< first of one per column port: rows of the new key
  int value_ports = 0;  ///< likewise, of the staged value
  int chosen_experts = host_register::chosen_experts;
  int chosen_indices = host_register::chosen_indices;
};
[[nodiscard]] TokenRegisters token_registers(const Geometry& geometry, int token);

/// Most tokens of one pass: products have 64 accumulators per plane, of which two rounds of tiles
/// are in use at a time.
inline constexpr int most_tokens = 16;

/// A weight matrix [out, in] cut into tiles of lanes x lanes. Tile n serves the outputs of vector
/// n.
struct MatrixLayout {
  int n_tiles = 0;
  int k_tiles = 0;
  int first_k = 0;  ///< vector of the inputs that tile 0 of a row takes
  Type type = Type::Float16;
  std::vector<int> plane;         ///< by n
  std::vector<ColumnTile> tiles;  ///< n * k_tiles + k
  Rows scale;                     ///< fp32, one-byte types only: the factor of every output
  [[nodiscard]] const ColumnTile& tile(int n, int k) const {
    return tiles[static_cast<std::size_t>(n * k_tiles + k)];
  }
};

/// Rows by vector, one copy in each hemisphere: activations that feed planes.
struct Activations {
  std::array<std::vector<Rows>, 2> side;  ///< West, East
  std::vector<int> halves;                ///< by vector: 2 where lanes of the upper half are used
};

/// One KV pack of one layer: up to P kv heads side by side in the lanes.
struct PackLayout {
  int plane = 0;
  Hemisphere side = Hemisphere::West;
  ColumnTile keys;    ///< column = token of the block
  ColumnTile values;  ///< column = channel of the pack; then a column of ones
  ColumnTile staged;  ///< V rows of the growing block; column = token
};

/// The projections of a Gated DeltaNet layer. Vectors of outputs: those of keys, of queries, then
/// packs of values; gates hold a and b.
struct DeltaMatrices {
  MatrixLayout qkv, gates, z;
};

/// The projections of latent attention around the cache. Tiles of the up-projections hold as many
/// heads as fit: those of keys below each other in their inputs, those of values beside each other
/// in their outputs, zero where a head meets another's latent.
struct LatentMatrices {
  MatrixLayout query_down;             ///< no tiles where queries come from the hidden state
  MatrixLayout kv_down;                ///< outputs: key vectors
  MatrixLayout query_up;               ///< outputs: parts that do not rotate, then those that do
  std::vector<MatrixLayout> key_up;    ///< by head; heads of one vector share their tiles
  std::vector<MatrixLayout> value_up;  ///< by vector of outputs
  std::vector<Rows> query_norm, kv_norm;
};

/// A mixture of experts. The chosen experts advance side by side, as if they were one block as wide
/// as all of them: vectors of shared experts come first, then those of the chosen ones, best first.
///
/// Weights of all experts lie alike: those of expert e are e * unit_rows rows behind those of
/// expert 0, in every bank. Tiles of the chosen experts are those of expert 0 at a host register,
/// so cycles do not depend on which they are. Experts narrower than half a vector share tiles:
/// `side_by_side` of them lie in the lanes of one, and what the others give is multiplied by zero.
struct ExpertsLayout {
  int vectors = 0;         ///< of one routed expert
  int shared_vectors = 0;  ///< of all shared experts together
  int unit_rows = 0;
  int side_by_side = 1;
  /// Experts of one vector of the router's outputs: all, or equal runs where a vector is too short.
  int per_vector = 0;
  std::vector<MatrixLayout> router;    ///< a row of tiles per vector, cut along its inputs
  std::vector<MatrixLayout> gate, up;  ///< rows of tiles, each cut along its inputs
  MatrixLayout down;
  /// Tables with a row per expert, by vector: biases; empty where there are none.
  std::vector<Rows> gate_bias, up_bias, down_bias;
  /// Added to what experts are chosen by: the router's bias, and far below any score in lanes
  /// without an expert. By vector of experts.
  std::vector<Rows> offset;
  std::vector<Rows> router_norm;  ///< weights of the router's own norm; empty where it has none
  Rows factor;  ///< table with a row per expert: what its weight is multiplied by, or empty
  std::vector<Rows> lane_rows;  ///< by vector of experts and lane: rows to the unit of its expert
  Rows own_lanes;  ///< table with a row per expert: ones in its lanes; empty where it has all
  /// Experts in the last of their vectors.
  [[nodiscard]] int lanes_of_last(int experts) const {
    return experts - (static_cast<int>(offset.size()) - 1) * per_vector;
  }
  [[nodiscard]] bool needs_index() const {
    return !down_bias.empty() || !own_lanes.empty() || !factor.empty();
  }
};

/// What a token keeps between the steps of routing; all layers share it, tokens the constants.
struct RoutingBuffers {
  /// What experts are chosen by, by vector of them; a copy in each hemisphere.
  std::vector<std::array<Rows, 2>> keys;
  std::array<Rows, 2> group;  ///< keys of expert groups, likewise
  /// By vector of experts: what weights are made from, where that differs from the keys; the rank
  /// of each lane's expert among all; the constants 0, 1, 2, ...
  std::vector<Rows> score, rank, lane_index;
  Rows beyond;               ///< constant: 0 in lanes with an expert, far below any score elsewhere
  Rows inverse;              ///< factor of all weights
  Rows shared_gate;          ///< factor of the shared experts, in every lane
  std::vector<Rows> chosen;  ///< 16-bit rows of a chosen expert
  std::vector<Rows> index;   ///< its 16-bit index
  std::vector<Rows> weight;  ///< fp32, of a chosen expert
};

/// What a vector of heads takes on before it is used; empty where the network has none. What
/// rotation pairs a lane with is a lane of another channel, so its factors lie beside the lane's.
struct HeadVectors {
  Rows bias, partner_bias;
  Rows norm, partner_norm;  ///< weights of the norm over each head
};

/// One layer: what it computes, and where what its two halves need lies. Members of halves that the
/// kind does not have stay empty.
struct LayerLayout {
  LayerKind kind;
  /// Norms over the hidden state, by vector: weights, then the biases of a LayerNorm.
  std::vector<Rows> attention_norm, ffn_norm;
  std::vector<Rows> attention_post_norm, ffn_post_norm;  ///< of what each half adds
  /// Where a dense block and experts stand side by side: of either one's sum, and before the
  /// experts.
  std::vector<Rows> dense_post_norm, experts_norm, experts_post_norm;
  MatrixLayout q, k, v, o;   ///< grouped attention
  MatrixLayout output_gate;  ///< as q, for gated outputs; its factor is q's: one tensor holds both
  std::vector<PackLayout> packs;                  ///< grouped attention
  std::vector<HeadVectors> q_vectors, k_vectors;  ///< by vector of q, by pack
  std::vector<Rows> v_bias;                       ///< by pack
  std::vector<Rows> o_bias;                       ///< by vector of the hidden state
  std::vector<Rows> sinks;      ///< by q head, in every lane: where its maximum begins
  LatentMatrices latent;        ///< pack n: key vector n, and vector n of the latents as values
  DeltaMatrices delta;          ///< Gated DeltaNet; its output projection is o
  DeltaLayerRows delta_rows;    ///< Gated DeltaNet
  MatrixLayout gate, up, down;  ///< dense feed-forward block
  std::vector<Rows> gate_bias, up_bias;  ///< of the dense block, by vector of its width
  std::vector<Rows> down_bias;           ///< by vector of the hidden state
  std::optional<ExpertsLayout> experts;
  /// Whether its attention sees a sliding window.
  [[nodiscard]] bool has_window() const {
    const auto* attention = std::get_if<GroupedAttention>(&kind.mixer);
    return attention != nullptr && attention->shape.window > 0;
  }
};

/// Most of a head's best tokens that leave the chip.
inline constexpr int most_top_tokens = 64;

/// Most KV blocks of one iteration of the attention loops.
inline constexpr int most_blocks_per_iteration = 4;

/// Shape constants that everything else is derived from.
struct StageShape {
  int lanes = 0;
  int hidden_vectors = 0;
  int ffn_vectors = 0;
  int head_vectors = 0;
  int group = 0;       ///< q heads per kv head
  int pack_heads = 0;  ///< P: kv heads per vector
  int packs = 0;
  int head_dim = 0;
  int kv_heads = 0;
  Type weights = Type::Float16;
  Type kv = Type::Float16;
  [[nodiscard]] int channels() const { return pack_heads * head_dim; }
  [[nodiscard]] int q_vectors() const { return packs * group; }
  /// Whether the packs of q vector q are half an interval late in the loops over KV blocks: of the
  /// two planes of a hemisphere, one takes activations while the other gives results.
  [[nodiscard]] bool is_late(int q, int planes) const { return q / group / (planes / 2) % 2 == 1; }
  /// kv heads that pack j really holds.
  [[nodiscard]] int heads_in_pack(int j) const {
    const int left = kv_heads - j * pack_heads;
    return left < pack_heads ? left : pack_heads;
  }
};

/// What a token has between the projections of latent attention.
struct LatentBuffers {
  std::vector<Rows> query_raw, cache_raw;  ///< fp32, by vector, before their norms
  Rows query_rms, cache_rms;               ///< inverse root mean squares, in every lane
  Rows rope_key;                           ///< fp32, where keys have it
  std::vector<Rows> rope_queries;          ///< likewise, by head
  Activations query_latent;
  Activations nope_queries;    ///< by head
  Activations latent_outputs;  ///< by head, then vector of the latent
};

/// What one token of a pass has for itself.
struct TokenBuffers : LatentBuffers {
  TokenRegisters registers;
  std::vector<Rows> hidden;    ///< residual stream, fp32
  std::vector<Rows> outgoing;  ///< copy for the link
  std::vector<Rows> given;     ///< of modules: the hidden state that the token is joined with, fp32
  Activations joined;          ///< both behind their norms: the token's vectors, then those given
  std::vector<Rows> handed_on;  ///< behind the final norm, where modules go on from it, fp32
  std::vector<Rows> branch;     ///< what a half of a layer adds, before the norm over it
  std::vector<Rows> blend;      ///< sum of a dense block and experts side by side
  Activations router_input;     ///< what a router with a norm of its own sees
  Rows cosine, sine;            ///< of the token's position
  std::array<Rows, 2> mask;  ///< first row of the mask table; zeros, then the tail's row. Read at
                             ///< the token's mask_start
  std::array<Rows, 2> window_mask;  ///< likewise, of layers with a window; see WindowLayout
  /// Rotated heads and their inverse root mean squares, where heads are normed: q vectors, packs.
  std::vector<Rows> rotated, inverse_rms;
  /// Of norms over all heads, of queries and of keys: sums of a chip's squares, in a gang in both
  /// hemispheres, and where those of all chips come.
  std::array<std::vector<Rows>, 2> square_sums;
  std::array<Rows, 2> summed_squares;
  Activations normed, attended, gated;
  std::vector<Rows> output_gates;  ///< fp32, by q vector: what gated attention multiplies with
  Activations delta_outputs;       ///< of Gated DeltaNet, by pack
  RoutingBuffers routing;
  Activations routed;         ///< what the experts' gates give
  std::vector<Rows> q_heads;  ///< kv type, by head_slot(); one copy in each hemisphere
  std::vector<Rows> q_rests;  ///< two-byte KV: what rounding took from q_heads, rounded too
  std::vector<Rows> scores;   ///< fp32, first block, by head_slot(); likewise
  std::vector<Rows> maxima;   ///< by block of an iteration and q head; see maximum_row()
  std::vector<Rows> logits;
  Rows best_value, best_tile;
  std::vector<Rows> top_logits, top_indices;  ///< of the best k, in every lane; index in the slice
};

/// The whole stage on one chip. Its own buffers are those of the first token of a pass. In a gang
/// of `ranks` chips, of the last one: the others have the same shape.
struct StageLayout : TokenBuffers {
  Stage stage;
  int ranks = 1;
  int tray_chips = 1;             ///< of the gang, each of which adds a vector of every stripe
  ops::Rope rope;                 ///< of all its attention layers
  bool rotates = true;            ///< whether they have a rotary embedding
  ops::AttentionShape attention;  ///< of all its attention layers: scale and cap of scores
  StageShape shape;
  int slots = 0;                 ///< requests
  int tokens = 1;                ///< of one pass
  int top = 0;                   ///< best tokens that the head gives, 0 to most_top_tokens
  int blocks_per_slot = 0;       ///< KV blocks of `lanes` tokens
  int blocks_per_iteration = 1;  ///< of the attention loops; the compiler's choice
  WindowLayout window;           ///< of all its layers that have one
  int spare_blocks = 0;  ///< most blocks that the last iteration may have behind the context
  int unit_rows = 0;     ///< rows of one KV unit: the K and V tiles of one block of one request
  int kv_groups = 1;     ///< of slices over which these tiles spread
  int staging_rows = 0;  ///< rows of the staged V tiles of one block
  /// Blocks per request whose staged values are kept: the one that grows, and the one before it
  /// where tokens may be taken back.
  int staged_blocks = 1;
  int score_stride = 0;  ///< rows of scores per block
  std::vector<LayerLayout> layers;
  std::optional<DeltaPlan> delta;  ///< of all its Gated DeltaNet layers
  DeltaBuffers delta_buffers;
  std::optional<LatentPlan> latent;  ///< of all its attention layers
  std::vector<Rows> nope_mask;       ///< by place of a head in its vector: ones in its lanes
  Rows latent_mask;                  ///< ones in the lanes of the latent in its last vector
  std::array<std::vector<Rows>, 2> join_norms;  ///< of modules: over the token, over what is given
  MatrixLayout combine;                         ///< of modules: [hidden, 2 x hidden]
  std::vector<Rows> final_norm;
  MatrixLayout head;

  StripedBlocks exchange;       ///< of a gang: parts of all tokens' hidden states
  StripedBlocks norm_exchange;  ///< of a gang that norms all heads: their sums, token by token
  VectorBlock shards;           ///< of a gang that sends: the hidden states
  std::vector<Rows> head_mask;  ///< by kv head of a pack: ones in its lanes
  std::array<std::vector<Rows>, 2> one_hot;  ///< by channel, kv type
  Rows hidden_mask;  ///< ones in the lanes of the last vector of the hidden state; LayerNorm only
  Rows lane_index;   ///< constant: 0, 1, 2, ...; where the best k tokens are asked for
  Rows logit_mask;   ///< minus infinity behind the last token of the head slice
  std::vector<TokenBuffers> further_tokens;

  std::vector<int> rows_used;    ///< by slice * banks + bank
  std::int64_t weight_rows = 0;  ///< rows of weight tiles in all
  std::int64_t kv_rows = 0;      ///< rows of KV units and staging areas in all

  /// Index of head p of the pack in q vector q, where the pack's planes are on `side`.
  [[nodiscard]] std::size_t head_slot(int q, int p, Hemisphere side) const {
    const int index = q * shape.pack_heads + p;
    return static_cast<std::size_t>(index + (side == Hemisphere::East ? score_stride : 0));
  }
  /// Maximum of the scores of head p in q vector q over iterations, of one block of each: a chain
  /// through SRAM from block to block would be longer than a block's share of an iteration.
  [[nodiscard]] std::size_t maximum_row(int q, int p, int block) const {
    return head_slot(q, p, Hemisphere::West) + static_cast<std::size_t>(block * score_stride);
  }
  [[nodiscard]] const TokenBuffers& token(int index) const {
    return index == 0 ? *this : further_tokens[static_cast<std::size_t>(index - 1)];
  }
  [[nodiscard]] TokenBuffers& token(int index) {
    return index == 0 ? *this : further_tokens[static_cast<std::size_t>(index - 1)];
  }
  [[nodiscard]] const NeuralNetwork& network() const { return stage.network; }
  [[nodiscard]] int units() const { return slots * blocks_per_slot; }
  /// Areas of staged values of all requests, and the one of a request's block.
  [[nodiscard]] int staging_areas() const { return slots * staged_blocks; }
  [[nodiscard]] std::int64_t staging_area(int slot, std::int64_t block) const {
    return std::int64_t{slot} * staged_blocks + block % staged_blocks;
  }
  /// Whether any layer mixes tokens: without, positions and requests make no difference.
  [[nodiscard]] bool mixes() const {
    return std::ranges::any_of(layers,
                               [](const LayerLayout& layer) { return layer.kind.has_mixer(); });
  }
  /// Whether any layer attends to all tokens.
  [[nodiscard]] bool sees_all() const {
    return !window.exists() || std::ranges::any_of(layers, [](const LayerLayout& layer) {
      return !layer.packs.empty() && !layer.has_window();
    });
  }
  /// KV blocks that the longest loop of any layer reads.
  [[nodiscard]] int longest_loop() const { return sees_all() ? blocks_per_slot : window.blocks; }
  /// Largest number of rows used in any bank.
  [[nodiscard]] int deepest_bank() const;
};

/// The partner of each lane in a rotary pair; 0xffff where a lane carries no channel. Channels that
/// do not rotate are their own.
[[nodiscard]] std::vector<std::uint16_t> rope_partners(const StageShape& shape,
                                                       const ops::Rope& rope);

/// Formats that planes multiply. Throws ModelError for others.
[[nodiscard]] Type plane_type(ElementType type);

/// Throws ModelError for planes that are not square, not as wide as a vector or odd in number, and
/// for other than two banks.
void require_square_planes(const Geometry& geometry);

/// Lays out a stage for `slots` requests of up to `max_context` tokens, `tokens` of them per pass.
/// Throws ModelError for shapes the compiler does not support; whether it fits is for the caller to
/// judge. `gang`: the one whose last rank the stage is. `top`: tokens that the head
/// gives with their logits beside the best one.
[[nodiscard]] StageLayout make_layout(const Geometry& geometry, const Stage& stage, int slots,
                                      std::int64_t max_context, int tokens = 1,
                                      const GangShape& gang = {}, int top = 0);

}  // namespace tandem::lpu
