// Where Gated DeltaNet layers of a stage keep their matrices, states and vectors.
#include "models/lpu/compiler/delta_layout.hpp"
#include "models/lpu/compiler/layout_maker.hpp"

namespace tandem::lpu {

// Rows of tiles in the order in which they are multiplied, turn by turn over the planes.
void LayoutMaker::make_delta(LayerLayout& layer) {
  const DeltaPlan& plan = *layout_.delta;
  const int hidden = layout_.shape.hidden_vectors;
  const int packs = static_cast<int>(plan.packs.size());
  layer.delta.qkv = matrix(2 * plan.key_vectors + packs, hidden);
  layer.delta.gates = matrix(plan.gate_vectors, hidden);
  layer.delta.z = matrix(packs, hidden);
  begin_at_even_plane();
  layer.o = matrix(hidden, packs);
}

void LayoutMaker::make_delta_vectors(LayerLayout& layer) {
  if (layer.delta.qkv.n_tiles == 0) return;
  for (MatrixLayout* matrix : {&layer.delta.qkv, &layer.delta.gates, &layer.delta.z}) {
    make_scale(*matrix);
  }
  layer.delta_rows = make_delta_layer(*layout_.delta, allocator_, layout_.slots);
}

void LayoutMaker::make_delta_buffers() {
  if (!layout_.delta) return;
  const DeltaPlan& plan = *layout_.delta;
  layout_.delta_buffers = lpu::make_delta_buffers(geometry_, plan, allocator_);
  make_activations(layout_.delta_outputs, 0, static_cast<int>(plan.packs.size()),
                   plan.value_lanes(), false);
}

}  // namespace tandem::lpu
