// Lays out the constants, states and buffers of Gated DeltaNet layers and fills in the constants.
#pragma once

#include <span>
#include <vector>

#include "models/lpu/compiler/delta_rows.hpp"
#include "models/lpu/compiler/image.hpp"
#include "models/lpu/compiler/row_allocator.hpp"

namespace tandem::lpu {

/// Rows of one state of a request in every bank that holds some.
[[nodiscard]] int delta_state_rows(const DeltaPlan& plan);
/// Rows from the first state to a request's behind its first `tokens` tokens: states of one request
/// are written in turns. Likewise to what its convolution takes of a token.
[[nodiscard]] int delta_state_offset(const DeltaPlan& plan, int slot, std::int64_t tokens);
[[nodiscard]] int delta_ring_offset(const DeltaPlan& plan, int slot, std::int64_t token);

[[nodiscard]] DeltaLayerRows make_delta_layer(const DeltaPlan& plan, RowAllocator& allocator,
                                              int slots);
[[nodiscard]] DeltaBuffers make_delta_buffers(const Geometry& geometry, const DeltaPlan& plan,
                                              RowAllocator& allocator);

/// Row i of a pack's state, through the request's register.
[[nodiscard]] Rows delta_state_row(const DeltaLayerRows& layer, int pack, int i);
/// The same of the state behind the token, which is another where older ones are kept.
[[nodiscard]] Rows delta_next_state_row(const DeltaPlan& plan, const DeltaLayerRows& layer,
                                        int pack, int i);

/// What a request keeps in a layer: all rows of its states and of its convolution's inputs.
[[nodiscard]] std::vector<Rows> delta_request_rows(const DeltaPlan& plan,
                                                   const DeltaLayerRows& layer, int slot);

/// Values of host registers from delta_state on, for a request's slot and the token's position.
[[nodiscard]] std::vector<std::uint16_t> delta_registers(const DeltaPlan& plan, int slot,
                                                         std::int64_t position);
/// The largest of them.
[[nodiscard]] std::vector<std::uint16_t> delta_register_limits(const DeltaPlan& plan, int slots);

/// Rows of the projections' tensors by lane of their vectors; -1: none.
struct DeltaChannelMaps {
  std::vector<std::int64_t> qkv;     ///< of delta.qkv: keys, queries, values
  std::vector<std::int64_t> gates;   ///< of delta.a, then delta.b
  std::vector<std::int64_t> values;  ///< channels of value heads, pack by pack
};
[[nodiscard]] DeltaChannelMaps delta_channel_maps(const DeltaPlan& plan);

/// Tensors of a layer as checkpoints have them: conv [channel][tap] with channels q, k, v by head;
/// a_log and dt_bias by value head; norm by channel of a head.
struct DeltaConstants {
  std::span<const float> conv, a_log, dt_bias, norm;
};
void write_delta_layer(const Geometry& geometry, const DeltaPlan& plan, const DeltaLayerRows& layer,
                       const DeltaConstants& constants, const RowWriter& write);
void write_delta_buffers(const Geometry& geometry, const DeltaPlan& plan,
                         const DeltaBuffers& buffers, const RowWriter& write);

}  // namespace tandem::lpu
