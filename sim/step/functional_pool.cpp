#include "sim/step/functional_pool.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"

namespace tandem {

std::string chip_name(const ChipAddress& address) {
  return fmt::format("{}{}", address.pool, address.index);
}

NetworkModel::Delivery send_and_wait(NetworkModel& network, Picoseconds start,
                                     const ChipAddress& from, const ChipAddress& to,
                                     NetworkModel::Payload payload) {
  const Bytes size(static_cast<std::int64_t>(payload->size()));
  const NetworkModel::MessageId id = network.send(start, from, to, size, std::move(payload));
  while (network.next_delivery()) {
    NetworkModel::Delivery delivery = network.pop_delivery();
    if (delivery.id == id) return delivery;
  }
  throw ModelError(fmt::format("network: the message from {} to {} was never delivered",
                               chip_name(from), chip_name(to)));
}

FunctionalPool::FunctionalPool(const ChipModel& chip, const PoolPlacement& placement,
                               const LlamaWeights& weights, std::int64_t max_context,
                               std::int64_t first_chip, NetworkModel& network,
                               TimelineRecorder* timeline)
    : pool_(placement.pool),
      first_chip_(first_chip),
      hidden_type_(placement.precision.activations),
      stages_(partition_pipeline(weights.network, placement.precision, placement.pipeline,
                                 placement.head_chips)),
      network_(network),
      timeline_(timeline) {
  for (std::size_t s = 0; s < stages_.size(); ++s) {
    const Fit fit = chip.fit(stages_[s], 1, max_context);
    if (fit.kv_tokens() < max_context) {
      throw ConfigError(
          placement.place,
          fmt::format("stage {} of pool '{}' needs {} B for weights, programs and workspace and "
                      "{} B of KV cache, but a {} holds {} B; use a longer pipeline",
                      s, pool_, (fit.capacity - fit.free_for_kv()).count(),
                      (fit.kv_per_token * max_context).count(), chip.chip().name,
                      fit.capacity.count()));
    }
    loaded_.push_back(chip.load(stages_[s], weights, 1, max_context));
    cycles_.emplace(chip_name(address(s)), Cycles(0));
  }
}

ChipAddress FunctionalPool::address(std::size_t stage) const {
  return {pool_, first_chip_ + static_cast<std::int64_t>(stage)};
}

/// Moves the hidden rows to the next chip in the pool's activation type.
Picoseconds FunctionalPool::pass_hidden(std::size_t from, StageData& data, Picoseconds start) {
  const ElementType own_type = data.hidden.type();
  Tensor wire = data.hidden.converted(hidden_type_);
  const auto bytes = wire.bytes();
  auto payload = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
  const ChipAddress source = address(from);
  const ChipAddress target = address(from + 1);
  const auto delivery = send_and_wait(network_, start, source, target, payload);
  std::copy(delivery.payload->begin(), delivery.payload->end(), wire.bytes().begin());
  data.hidden = wire.converted(own_type);
  transfers_.push_back({chip_name(source), chip_name(target), "hidden",
                        Bytes(static_cast<std::int64_t>(bytes.size())), start, delivery.time});
  return delivery.time;
}

PoolPass FunctionalPool::run(std::span<const std::int32_t> tokens, std::int64_t context,
                             Picoseconds start) {
  Batch batch;
  batch.slices.push_back({.request = 0,
                          .context = context,
                          .new_tokens = static_cast<std::int64_t>(tokens.size()),
                          .wants_logits = true});
  PoolPass pass;
  pass.end = start;
  StageData data;
  data.tokens.assign(tokens.begin(), tokens.end());
  Picoseconds hidden_ready = start;
  for (std::size_t s = 0; s < stages_.size(); ++s) {
    if (s > 0) hidden_ready = pass_hidden(s - 1, data, hidden_ready);
    StageData out;
    const StageCost cost = loaded_[s]->run(batch, data, out);
    const Picoseconds done = hidden_ready + cost.time;
    pass.end = std::max(pass.end, done);
    pass.floor += cost.floor;
    cycles_[chip_name(address(s))] += cost.cycles;
    if (timeline_ != nullptr) {
      timeline_->span(timeline_->track(chip_name(address(s)), "passes"),
                      tokens.size() > 1 ? "prefill" : "decode", hidden_ready, done);
    }
    if (stages_[s].has_head()) {
      const auto rows = out.logits.floats();
      const auto width = static_cast<std::size_t>(stages_[s].head_end - stages_[s].head_begin);
      pass.logits.insert(pass.logits.end(), rows.end() - static_cast<std::ptrdiff_t>(width),
                         rows.end());
    }
    // A chip that holds only a share of the head passes the hidden state on as it came.
    if (stages_[s].layers > 0) {
      hidden_ready = done;
      data.hidden = std::move(out.hidden);
    }
  }
  return pass;
}

}  // namespace tandem
