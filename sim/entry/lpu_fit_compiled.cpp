#include "sim/entry/lpu_fit_compiled.hpp"

#include <map>

#include "models/lpu/stage_gang.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/step/pool_fit.hpp"

namespace tandem::entry {
namespace {

ElementType weights_of(std::int64_t bytes) {
  return bytes == 1 ? ElementType::Fp8E4m3 : ElementType::Float16;
}

// Whether a stage has room: its rows first, which is cheap, then its programs too.
bool has_room(const ChipModel& chip, const lpu::Geometry& geometry, const Stage& stage,
              const lpu::FitQuestion& question) {
  const auto requests = static_cast<int>(question.requests);
  const lpu::StageLayout layout = lpu::layout_of_share(geometry, stage, requests, question.context);
  if (layout.deepest_bank() > geometry.rows_per_bank) return false;
  const Fit fit = chip.fit(stage, question.requests, question.context);
  return fit.holds_weights() && fit.sequences(question.context) >= question.requests;
}

class Search {
 public:
  Search(const ChipModel& chip, const lpu::Geometry& geometry, const NeuralNetwork& network,
         const lpu::FitQuestion& question, int tensor)
      : chip_(chip),
        geometry_(geometry),
        network_(network),
        question_(question),
        fit_{.chip = chip,
             .network = network,
             .max_sequences = question.requests,
             .max_context = question.context} {
    placement_.tensor = tensor;
    placement_.precision = {.weights = weights_of(question.weight_bytes),
                            .kv_cache = weights_of(question.kv_bytes),
                            .activations = ElementType::Float16};
  }

  CompiledFit run() {
    CompiledFit result;
    for (placement_.pipeline = shortest(); placement_.pipeline <= network_.layers();
         ++placement_.pipeline) {
      const PoolFit fit = fit_pool(fit_, placement_);
      if (fit.room.sequences < question_.requests) continue;
      result.stages = static_cast<std::int64_t>(fit.stages.size());
      result.chips = result.stages * placement_.tensor;
      result.step_s = step_of(fit.stages);
      return result;
    }
    result.obstacle = "a layer with its KV does not fit";
    return result;
  }

 private:
  // The first pipeline whose longest stage has room by itself.
  [[nodiscard]] std::int64_t shortest() const {
    std::int64_t low = 1;
    std::int64_t high = network_.layers() + 1;
    while (low < high) {
      const std::int64_t middle = (low + high) / 2;
      Stage longest =
          partition_pipeline(network_, placement_.precision, middle, 0, placement_.tensor).front();
      longest.longest_request = question_.context;  // as fit_pool() asks, so programs serve both
      if (has_room(chip_, geometry_, longest, question_)) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  [[nodiscard]] double step_of(const std::vector<Stage>& stages) const {
    Batch token;
    token.slices.push_back({.request = 0, .context = question_.context - 1, .new_tokens = 1});
    std::map<std::uint64_t, double> known;
    double total = 0;
    double head = 0;
    double hops = -1;
    for (const Stage& stage : stages) {
      const auto [found, is_new] = known.try_emplace(stage.key());
      if (is_new) found->second = to_seconds(chip_.simulate(stage, token).time);
      // Gangs that share the head work side by side.
      if (stage.layers == 0) {
        head = std::max(head, found->second);
      } else {
        total += found->second;
        ++hops;
      }
    }
    if (head > 0) ++hops;
    return total + head + hops * geometry_.links.front().latency / geometry_.clock.count();
  }

  const ChipModel& chip_;
  const lpu::Geometry& geometry_;
  const NeuralNetwork& network_;
  const lpu::FitQuestion& question_;
  FitQuestion fit_;
  PoolPlacement placement_;
};

}  // namespace

CompiledFit compiled_fit(const ChipModel& chip, const lpu::Geometry& geometry,
                         const NeuralNetwork& network, const lpu::FitQuestion& question,
                         int tensor) {
  try {
    return Search(chip, geometry, network, question, tensor).run();
  } catch (const ModelError& error) {
    return {.obstacle = error.what()};
  }
}

}  // namespace tandem::entry
