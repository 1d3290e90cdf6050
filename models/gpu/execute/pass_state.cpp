#include "models/gpu/execute/pass_state.hpp"

#include <fmt/format.h>

#include <numeric>

#include "models/gpu/params.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {

std::int64_t SliceOnChip::position(std::int64_t i) const {
  if (!is_tree()) return slice.context + i;
  return root + static_cast<std::int64_t>(paths[index_of(i)].size()) - 1;
}

std::int64_t SliceOnChip::parent(std::int64_t i) const {
  const std::vector<std::int64_t>& path = paths[index_of(i)];
  return path.size() == 1 ? root - 1 : path[path.size() - 2];
}

void follow_tree(const TokenTree& tree, SliceOnChip& slice) {
  const SequenceSlice& s = slice.slice;
  const auto nodes = static_cast<std::int64_t>(tree.parents.size());
  if (tree.root <= 0 || tree.root + nodes != s.context + s.new_tokens) {
    throw ModelError(fmt::format("gpu: a tree of {} tokens behind {} for a pass of {} behind {}",
                                 nodes, tree.root, s.new_tokens, s.context));
  }
  slice.root = tree.root;
  for (std::int64_t node = s.context - tree.root; node < nodes; ++node) {
    slice.paths.push_back(tree.path(node));
    for (std::int64_t& place : slice.paths.back()) place += tree.root;
  }
}

ElementType StageOnChip::kv_math() const {
  return math_type(stage.precision.kv_cache, stage.precision.activations);
}

std::vector<std::int64_t> StageOnChip::order_of(std::int64_t ctas) const {
  std::vector<std::int64_t> result(static_cast<std::size_t>(ctas));
  std::iota(result.begin(), result.end(), 0);
  if (order == CtaOrder::Reversed) return {result.rbegin(), result.rend()};
  return result;
}

std::vector<std::vector<std::int64_t>> ExpertRows::by_choice(std::int64_t rows,
                                                             std::int64_t top_k) const {
  std::vector<std::vector<std::int64_t>> result(
      static_cast<std::size_t>(rows),
      std::vector<std::int64_t>(static_cast<std::size_t>(top_k), -1));
  for (std::size_t i = 0; i < places.size(); ++i) {
    auto& of_row = result[static_cast<std::size_t>(places[i].row)];
    of_row[static_cast<std::size_t>(places[i].choice)] = static_cast<std::int64_t>(i);
  }
  return result;
}

const formats::KvCodec* KernelCall::codec() const {
  if (on().codecs.empty()) return nullptr;
  const auto kind =
      static_cast<std::size_t>(on().network.pattern[static_cast<std::size_t>(kernel.layer)]);
  return on().codecs[kind] ? &*on().codecs[kind] : nullptr;
}

TrackedRows& PassState::fresh(Buffer buffer, std::int64_t rows, std::int64_t width) {
  return buffers.insert_or_assign(buffer, TrackedRows("activations", rows, width)).first->second;
}

TrackedRows& PassState::at(Buffer buffer) {
  const auto found = buffers.find(buffer);
  if (found == buffers.end()) {
    throw ModelError("gpu: a kernel reads rows that no kernel before it has made");
  }
  return found->second;
}

}  // namespace tandem::gpu
