// Linear attention: convolutions, gated delta rules, state-space scans.
#include "sim/entry/rows/operators.hpp"

namespace tandem::entry {
namespace {

/// Equal sequences; a step of generation stands behind one earlier token.
std::vector<QuerySpan> equal_spans(RowReader& row, bool is_prompt) {
  QuerySpan span;
  span.q_len = row.integer("seq_len", 1, 1);
  span.kv_len = span.q_len + (is_prompt ? 0 : 1);
  return std::vector<QuerySpan>(static_cast<std::size_t>(row.batch()), span);
}

Kernel convolution(RowReader& row, bool is_prompt) {
  ShortConvolutionKernel shape;
  shape.spans = equal_spans(row, is_prompt);
  shape.channels = row.integer("conv_channels", 1);
  shape.taps = row.integer("conv", 1, 4);
  return {"short_convolution", -1, row.element("dtype", ElementType::Bfloat16), shape, {}};
}

bool is_convolution(std::string_view kernel) {
  return kernel == "causal_conv1d_fn" || kernel == "causal_conv1d_update";
}

std::vector<Kernel> gdn(RowReader& row, const Software&) {
  const std::string kernel = row.text("kernel", "");
  const bool is_prompt = row.text("phase", "context") == "context";
  if (is_convolution(kernel)) return {convolution(row, is_prompt)};
  const bool is_chunked = kernel == "chunk_gated_delta_rule";
  if (!is_chunked && kernel != "fused_recurrent_gated_delta_rule") {
    row.refuse("kernel",
               "known kernels are causal_conv1d_fn, causal_conv1d_update, "
               "chunk_gated_delta_rule, fused_recurrent_gated_delta_rule");
  }
  GatedDeltaKernel shape;
  shape.spans = equal_spans(row, is_prompt);
  shape.shape.key_heads = row.integer("k_heads", 1);
  shape.shape.value_heads = row.integer("v_heads", 1);
  shape.shape.key_dim = row.integer("dk", 1);
  shape.shape.value_dim = row.integer("dv", 1);
  shape.shape.conv_taps = row.integer("conv", 1, 4);
  shape.phase = is_chunked ? DeltaPhase::Chunked : DeltaPhase::Recurrent;
  return {{"gated_delta", -1, row.element("dtype", ElementType::Bfloat16), shape, {}}};
}

std::vector<Kernel> mamba2(RowReader& row, const Software&) {
  const std::string kernel = row.text("kernel", "");
  const bool is_prompt = row.text("phase", "context") == "context";
  if (is_convolution(kernel)) return {convolution(row, is_prompt)};
  if (kernel != "mamba_chunk_scan_combined") {
    row.refuse("kernel",
               "known kernels are causal_conv1d_fn, causal_conv1d_update, "
               "mamba_chunk_scan_combined");
  }
  StateSpaceScanKernel shape;
  shape.spans = equal_spans(row, is_prompt);
  shape.heads = row.integer("heads", 1);
  shape.head_dim = row.integer("head_dim", 1, 64);
  shape.groups = row.integer("groups", 1);
  shape.state_dim = row.integer("d_state", 1);
  shape.chunk = row.integer("chunk", 1, 128);
  return {{"state_space_scan", -1, row.element("dtype", ElementType::Bfloat16), shape, {}}};
}

}  // namespace

std::vector<RowOperator> recurrent_operators() {
  return {{"gdn", {"kernel", "phase", "batch"}, gdn, false, false, true},
          {"mamba2", {"kernel", "phase", "batch"}, mamba2, false, false, true}};
}

}  // namespace tandem::entry
