#include "sim/step/kv_handover.hpp"

#include <algorithm>

namespace tandem {
namespace {

/// The layers of `stage` out of a pool's KV, which covers whole stages in order.
KvBlock kv_of_stage(FunctionalPool& pool, const Stage& stage) {
  KvBlock wanted;
  for (std::size_t s = 0; s < pool.stages().size(); ++s) {
    const Stage& source = pool.stages()[s];
    const std::int64_t begin = std::max(source.first_layer, stage.first_layer);
    const std::int64_t end =
        std::min(source.first_layer + source.layers, stage.first_layer + stage.layers);
    if (begin >= end) continue;
    const KvBlock block = pool.loaded(s).export_kv(0).of_layers(begin, end - begin);
    if (wanted.layers.empty()) {
      wanted = block;
      continue;
    }
    wanted.layers.insert(wanted.layers.end(), block.layers.begin(), block.layers.end());
    wanted.bytes.insert(wanted.bytes.end(), block.bytes.begin(), block.bytes.end());
  }
  return wanted;
}

/// The chip that holds the first of a stage's layers.
ChipAddress source_of(const FunctionalPool& pool, const Stage& stage) {
  for (std::size_t s = 0; s < pool.stages().size(); ++s) {
    const Stage& candidate = pool.stages()[s];
    if (stage.first_layer < candidate.first_layer + candidate.layers) return pool.address(s);
  }
  return pool.address(0);
}

/// A stage's part on its way.
struct Sending {
  LoadedStage* to;
  KvBlock block;
  bool is_kept;  ///< in the result
};

}  // namespace

Picoseconds hand_over_kv(const std::vector<KvRoute>& routes, const Precision& receiver,
                         NetworkModel& network, Picoseconds start, GenerateResult& result) {
  std::vector<Sending> sendings;
  std::vector<Parcel> parcels;
  for (const KvRoute& route : routes) {
    for (std::size_t s = 0; s < route.to->stages().size(); ++s) {
      const Stage& stage = route.to->stages()[s];
      if (stage.layers == 0) continue;
      KvBlock block =
          kv_of_stage(*route.from, stage).converted(receiver.kv_cache, receiver.kv_format);
      parcels.push_back({source_of(*route.from, stage), route.to->address(s),
                         std::make_shared<const std::vector<std::byte>>(block.bytes)});
      sendings.push_back({&route.to->loaded(s), std::move(block), &route == &routes.front()});
    }
  }
  const auto deliveries = send_and_wait(network, start, parcels);
  Picoseconds all_there = start;
  for (std::size_t i = 0; i < deliveries.size(); ++i) {
    KvBlock& block = sendings[i].block;
    if (sendings[i].is_kept) result.kv_sent.push_back(block);
    block.bytes.assign(deliveries[i].payload->begin(), deliveries[i].payload->end());
    sendings[i].to->import_kv(0, block);
    result.transfers.push_back({chip_name(parcels[i].from), chip_name(parcels[i].to), "kv",
                                block.expected_size(), start, deliveries[i].time});
    if (sendings[i].is_kept) result.kv_received.push_back(std::move(block));
    all_there = std::max(all_there, deliveries[i].time);
  }
  return all_there;
}

}  // namespace tandem
