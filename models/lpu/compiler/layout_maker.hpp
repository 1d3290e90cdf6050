// Lays out one stage: who asks the allocator for what, and in which order. Inside of the compiler;
// see layout.hpp.
#pragma once

#include "models/lpu/compiler/layout.hpp"
#include "models/lpu/compiler/row_allocator.hpp"

namespace tandem::lpu {

/// Fills in a StageLayout whose stage, shape and slots are known.
class LayoutMaker {
 public:
  LayoutMaker(const Geometry& geometry, StageLayout& layout)
      : geometry_(geometry), layout_(layout), allocator_(geometry, layout) {}
  void make();

 private:
  [[nodiscard]] bool is_last() const {
    return layout_.stage.head_end == layout_.network().vocabulary;
  }
  // Of a gang (layout.cpp).
  void make_exchange();
  StripedBlocks striped_blocks(int vectors);
  Rows fp32(Hemisphere side) { return allocator_.buffer(side, 4); }
  Rows fp32();

  // Matrices (layout.cpp).
  [[nodiscard]] MatrixLayout matrix_shape(int n_tiles, int k_tiles) const;
  void add_tiles(MatrixLayout& matrix, int position);
  /// Rows of tiles take turns on the planes, from where the matrix before ended: k and v of a
  /// single pack work side by side, and all planes hold about as many tiles.
  MatrixLayout matrix(int n_tiles, int k_tiles);
  void begin_at_even_plane() { position_ += position_ % 2; }
  void make_scale(MatrixLayout& matrix);
  void make_layer(std::int64_t index);
  void make_dense_block(LayerLayout& layer);

  // Mixtures of experts (layout_experts.cpp).
  void make_experts(LayerLayout& layer);
  void add_wide_row(ExpertsLayout& experts, int& position);
  void add_down_tiles(ExpertsLayout& experts, int first, int count);
  void add_chosen(ExpertsLayout& experts, int chosen);
  [[nodiscard]] std::vector<MatrixLayout> parts(int rows, int at_once) const;
  void make_experts_vectors(ExpertsLayout& experts);
  void make_expert_tables(const Experts& kind, ExpertsLayout& experts);
  Rows expert_table(std::int64_t experts);
  void make_routing_buffers();
  void make_routing(int t, int router_vectors, int chosen);

  // Vectors (layout.cpp).
  /// Of the widest dense block.
  [[nodiscard]] std::int64_t intermediate() const;
  std::vector<Rows> norm_weights();
  std::vector<Rows> fp32_vectors(int count);
  void make_norms(LayerLayout& layer);
  void make_vectors(LayerLayout& layer);
  void make_head_vectors();
  void make_hidden(TokenBuffers& token);
  // Of modules that predict further tokens, and of what they go on from (layout_ends.cpp).
  void make_join();
  void make_join_vectors();
  void make_activations(Activations& activations, int token, int vectors, std::int64_t width,
                        bool lanes_per_vector = true);

  // Token mixers by kind (layout_attention.cpp).
  void make_mixer(LayerLayout& layer);
  void make_mixer_vectors(int t);
  void make_mixer_buffers(int t);

  // Gated DeltaNet (layout_delta.cpp).
  void make_delta(LayerLayout& layer);
  void make_delta_vectors(LayerLayout& layer);
  void make_delta_buffers();

  // Latent attention (layout_latent.cpp).
  void make_latent(LayerLayout& layer);
  void make_latent_weights(LayerLayout& layer);
  void make_latent_cache();
  void make_latent_vectors(int t);
  void make_latent_buffers(int t);
  [[nodiscard]] std::vector<Rows> many(int count);

  // Grouped attention (layout_attention.cpp).
  void make_grouped_attention(LayerLayout& layer);
  void make_head_vectors(LayerLayout& layer, const GroupedAttention& attention);
  void make_square_sums();
  void make_kv();
  void place_kv(Hemisphere side, int tiles);
  void make_attention_vectors(int t);
  void make_attention_buffers(int t);
  void make_one_hot(Hemisphere side);
  void make_heads(TokenBuffers& token, Hemisphere side);
  void make_tables(TokenBuffers& token, Hemisphere side);

  const Geometry& geometry_;
  StageLayout& layout_;
  RowAllocator allocator_;
  bool turn_ = false;
  int table_turn_ = 0;
  int position_ = 0;  ///< of the next row of tiles
};

inline constexpr std::array<Hemisphere, 2> both_sides{Hemisphere::West, Hemisphere::East};

}  // namespace tandem::lpu
