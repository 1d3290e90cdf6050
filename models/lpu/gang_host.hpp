// A stage on a gang of LPUs, functional: every chip with its share of the weights, all in one time
// base. To those around it a gang is one chip: hidden states and KV go in and come out whole.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "models/lpu/chip_host.hpp"
#include "models/lpu/rack/session.hpp"

namespace tandem::lpu {

/// The chips of a gang (node_gang) with the stage in them.
class GangHost final : public StageHost {
 public:
  /// `whole`: the stage of all chips; `stage`: what compile_gang_stage made of it.
  GangHost(const Geometry& geometry, const LatencyTable& latencies, const Stage& whole,
           const CompiledStage& stage, const Weights& weights);
  void use(const CompiledStage& stage) override;
  /// Cycles are the gang's, counts those of all chips.
  BatchResult run_tokens(std::span<const TokenPlace> places,
                         const std::vector<std::span<const float>>& hidden) override;
  /// All heads; ranks that hold copies of a head agree.
  [[nodiscard]] KvBlock read_kv(int slot, std::int64_t tokens) const override;
  void write_kv(int slot, const KvBlock& block) override;

 private:
  [[nodiscard]] int ranks() const { return static_cast<int>(hosts_.size()); }
  [[nodiscard]] const std::vector<CompiledStage>& shares_of(const CompiledStage& stage);
  [[nodiscard]] std::int64_t pass_cycles(std::span<const TokenPlace> places) const;
  void deliver(const std::vector<std::span<const float>>& hidden);
  void take_hidden(int rank, const std::vector<LinkVector>& sent,
                   std::vector<TokenResult>& tokens) const;
  [[nodiscard]] int vector_of(int rank, std::size_t sent) const;

  Stage whole_;
  const CompiledStage* stage_ = nullptr;
  std::map<const CompiledStage*, std::vector<CompiledStage>> shares_;  // by program, then rank
  RackSession session_;
  std::vector<std::unique_ptr<ChipHost>> hosts_;  // by rank
};

}  // namespace tandem::lpu
