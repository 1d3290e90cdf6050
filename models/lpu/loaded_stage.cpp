#include "models/lpu/loaded_stage.hpp"

#include <fmt/format.h>

#include <map>

#include "models/lpu/lpu_chip.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

class LpuLoadedStage final : public LoadedStage {
 public:
  LpuLoadedStage(const Geometry& geometry, const LatencyTable& latencies, const HostLink& host,
                 CompiledStage compiled, const Weights& weights)
      : geometry_(geometry),
        compiled_(std::make_unique<CompiledStage>(std::move(compiled))),
        embedding_(compiled_->layout.stage.has_embedding ? weights.at("embedding") : Tensor{}),
        host_time_(host_time(compiled_->layout, geometry, host)),
        chip_(geometry, latencies, *compiled_, weights) {
    for (int slot = compiled_->layout.slots - 1; slot >= 0; --slot) free_slots_.push_back(slot);
  }

  StageCost run(const Batch& batch, const StageData& in, StageData& out) override {
    const Stage& stage = compiled_->layout.stage;
    out = StageData{};
    if (!compiled_->send_cycles.empty()) {
      out.hidden = Tensor(ElementType::Float32, {batch.tokens(), stage.network.hidden});
    }
    if (stage.has_head()) {
      out.logits =
          Tensor(ElementType::Float32, {batch.sampled(), stage.head_end - stage.head_begin});
    }
    std::vector<PassCost> passes;
    std::int64_t row = 0;
    std::int64_t sampled = 0;
    for (const SequenceSlice& slice : batch.slices) {
      Request& request = request_of(slice);
      for (std::int64_t i = 0; i < slice.new_tokens; ++i, ++row) {
        const std::vector<float> hidden = entering(in, row);
        const PassResult pass = chip_.run_token(request.slot, request.tokens, hidden);
        ++request.tokens;
        passes.push_back({pass.run.cycles, pass.run.counts});
        copy_row(pass.hidden, out.hidden, row);
        if (i + 1 == slice.new_tokens && slice.wants_logits) {
          copy_row(pass.logits, out.logits, sampled++);
        }
      }
    }
    return cost_of_passes(passes, stage, batch, geometry_, host_time_);
  }

  [[nodiscard]] KvBlock export_kv(std::int64_t request) const override {
    const auto found = requests_.find(request);
    if (found == requests_.end()) {
      throw ModelError(fmt::format("lpu: no KV of request {} on the chip", request));
    }
    return chip_.read_kv(found->second.slot, found->second.tokens);
  }

  void import_kv(std::int64_t request, const KvBlock& block) override {
    release(request);
    Request& entry = add(request);
    chip_.write_kv(entry.slot, block);
    entry.tokens = block.tokens;
  }

  void release(std::int64_t request) override {
    const auto found = requests_.find(request);
    if (found == requests_.end()) return;
    free_slots_.push_back(found->second.slot);
    requests_.erase(found);
  }

 private:
  struct Request {
    int slot = 0;
    std::int64_t tokens = 0;
  };

  Request& add(std::int64_t request) {
    if (free_slots_.empty()) {
      throw ModelError(fmt::format("lpu: all {} KV slots are taken", compiled_->layout.slots));
    }
    const int slot = free_slots_.back();
    free_slots_.pop_back();
    return requests_[request] = {slot, 0};
  }

  Request& request_of(const SequenceSlice& slice) {
    const auto found = requests_.find(slice.request);
    Request& request = found == requests_.end() ? add(slice.request) : found->second;
    if (request.tokens != slice.context) {
      throw ModelError(fmt::format("lpu: request {} has {} tokens of KV, the pass expects {}",
                                   slice.request, request.tokens, slice.context));
    }
    return request;
  }

  [[nodiscard]] std::vector<float> entering(const StageData& in, std::int64_t row) const {
    const std::int64_t width = compiled_->layout.network().hidden;
    const bool embeds = compiled_->layout.stage.has_embedding;
    const Tensor& table = embeds ? embedding_ : in.hidden;
    const std::int64_t from = embeds ? in.tokens.at(static_cast<std::size_t>(row)) : row;
    if (from < 0 || table.shape().empty() || from >= table.dim(0)) {
      throw ModelError("lpu: a token or hidden row that does not exist");
    }
    std::vector<float> values;
    for (std::int64_t i = 0; i < width; ++i) values.push_back(table.load(from * width + i));
    return values;
  }

  static void copy_row(const std::vector<float>& values, Tensor& to, std::int64_t row) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      to.store(row * static_cast<std::int64_t>(values.size()) + static_cast<std::int64_t>(i),
               values[i]);
    }
  }

  Geometry geometry_;
  std::unique_ptr<CompiledStage> compiled_;
  Tensor embedding_;
  Picoseconds host_time_;
  ChipHost chip_;
  std::vector<int> free_slots_;
  std::map<std::int64_t, Request> requests_;
};

}  // namespace

std::unique_ptr<LoadedStage> make_loaded_stage(const Geometry& geometry,
                                               const LatencyTable& latencies, const HostLink& host,
                                               const std::string& chip, const Stage& stage,
                                               const Weights& weights, int sequences,
                                               std::int64_t max_context) {
  return std::make_unique<LpuLoadedStage>(
      geometry, latencies, host,
      compile_stage(geometry, latencies, chip, stage, sequences, max_context), weights);
}

}  // namespace tandem::lpu
