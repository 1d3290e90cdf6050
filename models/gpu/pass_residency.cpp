#include "models/gpu/pass_residency.hpp"

#include <algorithm>
#include <cmath>

#include "models/gpu/floor.hpp"
#include "sim/core/hash.hpp"

namespace tandem::gpu {
namespace {

enum class BufferKind : std::uint8_t { Output, Weights, Kv };

std::uint64_t output_of(std::int64_t index) {
  return Hasher().add(BufferKind::Output).add(index).value();
}
std::uint64_t weights_of(const Kernel& kernel) {
  return Hasher().add(BufferKind::Weights).add(kernel.role).add(kernel.layer).value();
}
std::uint64_t kv_of(const Kernel& kernel) {
  return Hasher().add(BufferKind::Kv).add(kernel.layer).value();
}

double share(Bytes part, Bytes whole) {
  if (whole.count() == 0) return 1;
  return std::min(1.0, static_cast<double>(part.count()) / static_cast<double>(whole.count()));
}

/// Share of the keys and values a kernel reads that this very pass has made.
double new_keys(const Kernel& kernel) {
  std::int64_t made = 0, all = 0;
  std::visit(
      [&](const auto& shape) {
        if constexpr (requires {
                        shape.spans;
                        shape.kv;
                      }) {
          for (const QuerySpan& span : shape.spans) {
            made += span.q_len;
            all += span.kv_len;
          }
        }
      },
      kernel.shape);
  return all > 0 ? static_cast<double>(made) / static_cast<double>(all) : 0;
}

}  // namespace

void ResidentBuffers::touch(std::uint64_t buffer, Bytes bytes) {
  const auto same = std::find_if(newest_first_.begin(), newest_first_.end(),
                                 [&](const Entry& entry) { return entry.buffer == buffer; });
  if (same != newest_first_.end()) {
    used_ -= same->bytes;
    newest_first_.erase(same);
  }
  while (!newest_first_.empty() && used_ + bytes > capacity_) {
    Entry& oldest = newest_first_.back();
    const Bytes excess = used_ + bytes - capacity_;
    const Bytes lost = std::min(excess, oldest.bytes);
    oldest.bytes -= lost;
    used_ -= lost;
    if (oldest.bytes.count() == 0) newest_first_.pop_back();
  }
  if (bytes.count() == 0 || bytes > capacity_) return;
  newest_first_.push_front({buffer, bytes});
  used_ += bytes;
}

Bytes ResidentBuffers::held(std::uint64_t buffer) const {
  for (const Entry& entry : newest_first_) {
    if (entry.buffer == buffer) return entry.bytes;
  }
  return Bytes(0);
}

double PassResidency::share_of_inputs(const Kernel& kernel, Bytes activations) const {
  // The input of a stage has just been written through L2.
  if (kernel.depends_on.empty()) return activations * 2 <= params_.l2_capacity ? 1 : 0;
  Bytes held, written;
  for (const std::int32_t producer : kernel.depends_on) {
    held += buffers_.held(output_of(producer));
    written += outputs_[static_cast<std::size_t>(producer)].bytes;
  }
  return share(held, written);
}

Residency PassResidency::enter(const Kernel& kernel) {
  Residency entry;
  if (params_.model_l2) {
    const OperandBytes bytes = operand_bytes(kernel);
    entry.activations = share_of_inputs(kernel, bytes.activations);
    const double made = new_keys(kernel);
    const Bytes earlier(
        static_cast<std::int64_t>(static_cast<double>(bytes.kv.count()) * (1 - made)));
    entry.kv = made * entry.activations + (1 - made) * share(buffers_.held(kv_of(kernel)), earlier);
    entry.weights = share(buffers_.held(weights_of(kernel)), bytes.weights);
    entry.output = (bytes.activations + bytes.output) * 2 <= params_.l2_capacity ? 1 : 0;
  }
  leave(kernel, entry);
  return entry;
}

void PassResidency::leave(const Kernel& kernel, const Residency& entry) {
  const OperandBytes bytes = operand_bytes(kernel);
  // Weights and keys stream through; rows are touched until the end.
  buffers_.touch(weights_of(kernel), bytes.weights);
  buffers_.touch(kv_of(kernel), bytes.kv);
  for (const std::int32_t producer : kernel.depends_on) {
    const Output& output = outputs_[static_cast<std::size_t>(producer)];
    if (output.stays) buffers_.touch(output_of(producer), output.bytes);
  }
  const auto index = static_cast<std::int64_t>(outputs_.size());
  outputs_.push_back({bytes.output, entry.output > 0});
  if (entry.output > 0) buffers_.touch(output_of(index), bytes.output);
}

Residency reused_state(const Residency& exact) {
  const auto nearest = [](double value) { return std::round(value * 16) / 16; };
  return {nearest(exact.weights), nearest(exact.activations), nearest(exact.kv),
          nearest(exact.output)};
}

}  // namespace tandem::gpu
