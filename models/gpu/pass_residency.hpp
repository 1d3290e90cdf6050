// What lies in L2 between the kernels of one forward pass, buffer by buffer: the entry state of
// each kernel follows from the buffers that the kernels before it have touched.
#pragma once

#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "models/gpu/floor.hpp"
#include "models/gpu/l2_cache.hpp"
#include "models/gpu/params.hpp"
#include "sim/lower/kernel.hpp"

namespace tandem::gpu {

/// One buffer of a pass. Its producer or reader: the index of a kernel, or role and layer.
struct BufferName {
  enum class Kind : std::uint8_t { Output, Weights, Kv } kind;
  std::int64_t place = 0;  ///< index of the kernel, or layer
  std::string_view role = {};
  bool operator==(const BufferName&) const = default;
};

/// Buffers in L2 with least-recently-used replacement by bytes.
class ResidentBuffers {
 public:
  explicit ResidentBuffers(Bytes capacity) : capacity_(capacity) {}
  /// Makes `bytes` of a buffer the most recent, at the cost of the least recent ones. A buffer
  /// longer than L2 leaves nothing behind: what is read next of it was evicted first.
  void touch(const BufferName& buffer, Bytes bytes);
  [[nodiscard]] Bytes held(const BufferName& buffer) const;

 private:
  struct Entry {
    BufferName buffer;
    Bytes bytes;
  };
  Bytes capacity_;
  Bytes used_{0};
  std::deque<Entry> oldest_first_;
};

/// Walks the kernels of a pass in issue order. Rows come from the kernels that they depend on, new
/// keys and values from the kernel that appended them, weights and earlier keys from memory unless
/// the same pass has read them before and they are still there. The pass starts with nothing in L2
/// but its input.
class PassResidency {
 public:
  explicit PassResidency(const GpuParams& params) : params_(params), buffers_(params.l2_capacity) {}
  /// Entry state of the pass's next kernel; `bytes` are its operands'.
  [[nodiscard]] Residency enter(const Kernel& kernel, const OperandBytes& bytes);
  [[nodiscard]] Residency enter(const Kernel& kernel) {
    return enter(kernel, operand_bytes(kernel));
  }

 private:
  /// What a kernel wrote, for those that read it.
  struct Output {
    Bytes bytes;
    bool stays = false;
  };
  [[nodiscard]] double share_of_inputs(const Kernel& kernel, Bytes activations) const;
  void leave(const Kernel& kernel, const OperandBytes& bytes, const Residency& entry);

  const GpuParams& params_;
  ResidentBuffers buffers_;
  std::vector<Output> outputs_;  ///< of the kernels so far, by index
};

/// The nearest entry state that is kept for reuse: shares in sixteenths. Passes whose kernels
/// differ by less share one simulation.
[[nodiscard]] Residency reused_state(const Residency& exact);

}  // namespace tandem::gpu
