#include "models/lpu/loaded_stage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "models/lpu/compiler/layer_support.hpp"
#include "models/lpu/gang_host.hpp"
#include "models/lpu/lpu_chip.hpp"
#include "models/lpu/pass_plan.hpp"
#include "models/lpu/stage_gang.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

class LpuLoadedStage final : public LoadedStage {
 public:
  LpuLoadedStage(const StageSetup& setup, const Weights& weights)
      : setup_(setup),
        embedding_(setup.stage.has_embedding ? weights.at("embedding") : Tensor{}),
        host_(make_host(weights)) {
    for (int slot = setup.sequences - 1; slot >= 0; --slot) free_slots_.push_back(slot);
  }

  StageCost run(const Batch& batch, const StageData& in, StageData& out) override {
    if (in.tree.exists())
      throw ModelError("lpu: programs verify no trees of drafts; write 'drafts' instead of 'tree'");
    prepare(batch, out);
    std::vector<Place> places = places_of(batch);
    const std::int64_t block = block_of(setup_.stage, setup_.geometry);
    const auto time = [&](int width) { return pass_time(program(width)); };
    std::vector<PassCost> passes;
    std::int64_t row = 0;
    for (const PlannedPass& pass : plan_passes(batch, block, setup_.room, time)) {
      passes.push_back(run_pass(pass, batch, places, in, row, out));
      row += static_cast<std::int64_t>(pass.tokens.size());
    }
    return cost_of_passes(passes, setup_.stage, batch, setup_.geometry);
  }

  [[nodiscard]] KvBlock export_kv(std::int64_t request) const override {
    const auto found = requests_.find(request);
    if (found == requests_.end()) {
      throw ModelError(fmt::format("lpu: no KV of request {} on the chip", request));
    }
    return host_->read_kv(found->second.slot, found->second.tokens);
  }

  void import_kv(std::int64_t request, const KvBlock& block) override {
    release(request);
    Request& entry = add(request);
    host_->write_kv(entry.slot, block);
    entry.tokens = entry.oldest = block.tokens;
  }

  // Later tokens write over the places of those that go; recurrent states are kept of as many as
  // the stage says.
  void keep(std::int64_t request, std::int64_t tokens) override {
    const auto found = requests_.find(request);
    if (found == requests_.end() || tokens == found->second.tokens) return;
    if (tokens < found->second.oldest && tokens > 0 && program(1).layout.delta) {
      throw ModelError(fmt::format("lpu: no recurrent state is kept behind {} tokens of {}", tokens,
                                   found->second.tokens));
    }
    if (tokens > found->second.tokens) {
      throw ModelError(
          fmt::format("lpu: {} tokens cannot be kept of {}", tokens, found->second.tokens));
    }
    found->second.tokens = tokens;
    found->second.oldest = std::min(found->second.oldest, tokens);
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
    std::int64_t oldest = 0;  ///< fewest tokens whose recurrent states are still there
  };

  Request& add(std::int64_t request) {
    if (free_slots_.empty()) {
      throw ModelError(fmt::format("lpu: all {} KV slots are taken", setup_.sequences));
    }
    const int slot = free_slots_.back();
    free_slots_.pop_back();
    return requests_[request] = {slot};
  }

  // Feed-forward halves alone keep nothing of a request.
  Request& request_of(const SequenceSlice& slice) {
    if (only_feeds_forward(setup_.stage)) return passing_;
    const auto found = requests_.find(slice.request);
    Request& request = found == requests_.end() ? add(slice.request) : found->second;
    if (request.tokens != slice.context) {
      throw ModelError(fmt::format("lpu: request {} has {} tokens of KV, the pass expects {}",
                                   slice.request, request.tokens, slice.context));
    }
    return request;
  }

  /// Where the results of a slice go: its request and its first row of logits.
  struct Place {
    Request* request;
    std::int64_t sampled;
  };

  [[nodiscard]] std::unique_ptr<StageHost> make_host(const Weights& weights) {
    const CompiledStage& one = program(1);
    if (setup_.stage.tensor == 1) {
      return std::make_unique<ChipHost>(setup_.geometry, setup_.latencies, one, weights);
    }
    return std::make_unique<GangHost>(setup_.geometry, setup_.latencies, setup_.stage, one,
                                      weights);
  }

  const CompiledStage& program(int width) {
    auto& compiled = programs_[width];
    if (!compiled) {
      compiled = std::make_unique<CompiledStage>(compile_share(
          setup_.geometry, setup_.latencies, setup_.chip, setup_.stage, setup_.sequences,
          setup_.max_context, {width, setup_.room, setup_.loops, setup_.window_loops}));
    }
    return *compiled;
  }

  [[nodiscard]] Picoseconds host_of(const CompiledStage& compiled) const {
    return host_time(compiled.layout, setup_.geometry, setup_.host, compiled.tokens);
  }
  [[nodiscard]] Picoseconds pass_time(const CompiledStage& compiled) const {
    return ClockDomain(setup_.geometry.clock).time_of(Cycles(compiled.cycles.base)) +
           host_of(compiled);
  }

  void prepare(const Batch& batch, StageData& out) {
    const Stage& stage = setup_.stage;
    out = StageData{};
    if (!program(1).send_cycles.empty() || stage.hands_on_hidden) {
      out.hidden = Tensor(ElementType::Float32, {batch.tokens(), stage.network.hidden});
    }
    if (stage.has_head()) {
      out.logits =
          Tensor(ElementType::Float32, {batch.sampled(), stage.head_end - stage.head_begin});
    }
  }

  std::vector<Place> places_of(const Batch& batch) {
    std::vector<Place> places;
    std::int64_t sampled = 0;
    for (const SequenceSlice& slice : batch.slices) {
      places.push_back({&request_of(slice), sampled});
      sampled += slice.sampled();
    }
    return places;
  }

  // Tokens of a pass stand in rows from `row` on.
  PassCost run_pass(const PlannedPass& pass, const Batch& batch, std::vector<Place>& places,
                    const StageData& in, std::int64_t row, StageData& out) {
    const CompiledStage& compiled = program(pass.width);
    host_->use(compiled);
    std::vector<TokenPlace> tokens;
    std::vector<std::vector<float>> hidden;
    for (const PlannedToken& token : pass.tokens) {
      tokens.push_back({places[token.slice].request->slot, token.position});
      hidden.push_back(entering(in, row + static_cast<std::int64_t>(hidden.size())));
    }
    const BatchResult result = host_->run_tokens(tokens, {hidden.begin(), hidden.end()});
    for (std::size_t i = 0; i < pass.tokens.size(); ++i) {
      const PlannedToken& token = pass.tokens[i];
      const SequenceSlice& slice = batch.slices[token.slice];
      Request& request = *places[token.slice].request;
      ++request.tokens;
      request.oldest = std::max(request.oldest, request.tokens - setup_.stage.revocable);
      copy_row(result.tokens[i].hidden, out.hidden, row + static_cast<std::int64_t>(i));
      const std::int64_t first_sampled = slice.context + slice.new_tokens - slice.sampled();
      if (token.position >= first_sampled) {
        copy_row(result.tokens[i].logits, out.logits,
                 places[token.slice].sampled + token.position - first_sampled);
      }
    }
    return {result.run.cycles, result.run.counts, host_of(compiled)};
  }

  [[nodiscard]] std::vector<float> entering(const StageData& in, std::int64_t row) const {
    const bool embeds = setup_.stage.has_embedding;
    const Tensor& table = embeds ? embedding_ : in.hidden;
    const std::int64_t from = embeds ? in.tokens.at(static_cast<std::size_t>(row)) : row;
    std::vector<float> values;
    append_row(table, from, values);
    if (setup_.stage.network.joins_hidden) append_row(in.hidden, row, values);
    return values;
  }

  void append_row(const Tensor& rows, std::int64_t row, std::vector<float>& values) const {
    const std::int64_t width = setup_.stage.network.hidden;
    if (row < 0 || rows.shape().empty() || row >= rows.dim(0)) {
      throw ModelError("lpu: a token or hidden row that does not exist");
    }
    for (std::int64_t i = 0; i < width; ++i) values.push_back(rows.load(row * width + i));
  }

  static void copy_row(const std::vector<float>& values, Tensor& to, std::int64_t row) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      to.store(row * static_cast<std::int64_t>(values.size()) + static_cast<std::int64_t>(i),
               values[i]);
    }
  }

  StageSetup setup_;
  std::map<int, std::unique_ptr<CompiledStage>> programs_;  // by tokens of a pass
  Tensor embedding_;
  std::unique_ptr<StageHost> host_;
  std::vector<int> free_slots_;
  std::map<std::int64_t, Request> requests_;
  Request passing_;
};

}  // namespace

std::unique_ptr<LoadedStage> make_loaded_stage(const StageSetup& setup, const Weights& weights) {
  return std::make_unique<LpuLoadedStage>(setup, weights);
}

}  // namespace tandem::lpu
