#include "models/link/collectives/exchange.hpp"

#include <fmt/format.h>

#include "sim/core/integers.hpp"

namespace tandem::link {
namespace {

void move_one(const Transfer& transfer, ElementType type, const std::vector<float>& source,
              std::vector<float>& target) {
  for (std::int64_t i = 0; i < transfer.elements; ++i) {
    const float value = round_to(type, source[index_of(transfer.source + i)]);
    float& into = target[index_of(transfer.target + i)];
    into = transfer.kind == TransferKind::Add ? into + value : value;
  }
}

/// The rank's input in a buffer of the whole size.
std::vector<float> whole_buffer(const Tensor& input, ElementRange place, std::int64_t elements) {
  if (input.elements() != place.size()) {
    throw ModelError(fmt::format("collective: a tensor of {} elements where {} are exchanged",
                                 input.elements(), place.size()));
  }
  std::vector<float> buffer(index_of(elements), 0.0F);
  for (std::int64_t i = 0; i < place.size(); ++i) {
    buffer[index_of(place.begin + i)] = input.load(i);
  }
  return buffer;
}

std::vector<std::int64_t> result_shape(CollectiveOp op, std::int64_t ranks, const Tensor& input) {
  std::vector<std::int64_t> shape = input.shape();
  if (op == CollectiveOp::AllGather) shape.front() *= ranks;
  if (op != CollectiveOp::ReduceScatter && op != CollectiveOp::AllToAll) return shape;
  if (shape.front() % ranks != 0) {
    throw ModelError(
        fmt::format("collective: {} ranks do not divide {} rows", ranks, shape.front()));
  }
  if (op == CollectiveOp::ReduceScatter) shape.front() /= ranks;
  return shape;
}

}  // namespace

std::vector<std::vector<float>> move_values(const Schedule& schedule, ElementType type,
                                            const std::vector<std::vector<float>>& inputs) {
  const std::size_t size = index_of(schedule.elements);
  for (const auto& input : inputs) {
    if (input.size() == size && inputs.size() == index_of(schedule.ranks)) continue;
    throw ModelError("collective: buffers differ from the schedule's");
  }
  std::vector<std::vector<float>> work =
      schedule.starts_filled
          ? inputs
          : std::vector<std::vector<float>>(inputs.size(), std::vector<float>(size, 0.0F));
  work.emplace_back(size, 0.0F);  // the switch
  for (const Transfer& transfer : schedule.transfers) {
    if (transfer.kind == TransferKind::Pass) continue;
    const auto& from = transfer.buffer == TransferSource::Input ? inputs : work;
    move_one(transfer, type, from[index_of(transfer.from)], work[index_of(transfer.to)]);
  }
  work.pop_back();
  return work;
}

std::vector<Tensor> exchange_tensors(const Schedule& schedule, CollectiveOp op, ElementType type,
                                     const std::vector<Tensor>& inputs) {
  const ElementRange whole{0, schedule.elements};
  std::vector<std::vector<float>> buffers;
  for (std::int64_t r = 0; r < schedule.ranks; ++r) {
    const ElementRange place =
        op == CollectiveOp::AllGather ? part_of(whole, r, schedule.ranks) : whole;
    buffers.push_back(whole_buffer(inputs.at(index_of(r)), place, schedule.elements));
  }
  std::vector<std::vector<float>> moved = move_values(schedule, type, buffers);
  if (op == CollectiveOp::SendRecv) moved.front() = buffers.front();
  std::vector<Tensor> results;
  for (std::int64_t r = 0; r < schedule.ranks; ++r) {
    Tensor result(type, result_shape(op, schedule.ranks, inputs[index_of(r)]));
    const std::int64_t first =
        op == CollectiveOp::ReduceScatter ? part_of(whole, r, schedule.ranks).begin : 0;
    for (std::int64_t i = 0; i < result.elements(); ++i) {
      result.store(i, moved[index_of(r)][index_of(first + i)]);
    }
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace tandem::link
