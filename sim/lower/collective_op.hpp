// Names of the operations in which several chips exchange tensors.
#pragma once

#include <cstdint>
#include <string_view>

namespace tandem {

enum class CollectiveOp : std::uint8_t {
  AllReduce,
  AllGather,
  ReduceScatter,
  AllToAll,
  SendRecv,
  MoeDispatch,
  MoeCombine
};
/// "all_reduce": the names of the `collectives` command and of measured tables.
[[nodiscard]] std::string_view name_of(CollectiveOp op);

/// How experts' rows travel: written straight to where they are needed, or first together by node.
enum class MoeTransport : std::uint8_t { LowLatency, Bulk };

}  // namespace tandem
