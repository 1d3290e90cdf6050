#include "models/gpu/pass_residency.hpp"

#include <algorithm>
#include <cmath>

namespace tandem::gpu {
namespace {

BufferName output_of(std::int64_t index) {
  return {BufferName::Kind::Output, index};
}
BufferName weights_of(const Kernel& kernel) {
  return {BufferName::Kind::Weights, kernel.layer, kernel.role};
}
BufferName kv_of(const Kernel& kernel) {
  return {BufferName::Kind::Kv, kernel.layer};
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

void ResidentBuffers::touch(const BufferName& buffer, Bytes bytes) {
  const auto same = std::ranges::find(oldest_first_, buffer, &Entry::buffer);
  if (same != oldest_first_.end()) {
    used_ -= same->bytes;
    oldest_first_.erase(same);
  }
  while (!oldest_first_.empty() && used_ + bytes > capacity_) {
    Entry& oldest = oldest_first_.front();
    const Bytes lost = std::min(used_ + bytes - capacity_, oldest.bytes);
    oldest.bytes -= lost;
    used_ -= lost;
    if (oldest.bytes.count() == 0) oldest_first_.pop_front();
  }
  if (bytes.count() == 0 || bytes > capacity_) return;
  oldest_first_.push_back({buffer, bytes});
  used_ += bytes;
}

Bytes ResidentBuffers::held(const BufferName& buffer) const {
  const auto found = std::ranges::find(oldest_first_, buffer, &Entry::buffer);
  return found == oldest_first_.end() ? Bytes(0) : found->bytes;
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

Residency PassResidency::enter(const Kernel& kernel, const OperandBytes& bytes) {
  Residency entry;
  if (params_.model_l2) {
    entry.activations = share_of_inputs(kernel, bytes.activations);
    const double made = new_keys(kernel);
    const Bytes earlier(
        static_cast<std::int64_t>(static_cast<double>(bytes.kv.count()) * (1 - made)));
    entry.kv = made * entry.activations + (1 - made) * share(buffers_.held(kv_of(kernel)), earlier);
    entry.weights = share(buffers_.held(weights_of(kernel)), bytes.weights);
    entry.output = (bytes.activations + bytes.output) * 2 <= params_.l2_capacity ? 1 : 0;
  }
  leave(kernel, bytes, entry);
  return entry;
}

void PassResidency::leave(const Kernel& kernel, const OperandBytes& bytes, const Residency& entry) {
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
