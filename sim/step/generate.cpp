#include "sim/step/generate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/lower/reference_model.hpp"
#include "sim/step/functional_pool.hpp"
#include "sim/step/kv_handover.hpp"

namespace tandem {
namespace {

/// What gangs exchange by; null where a scenario has none.
std::unique_ptr<CollectiveModel> collectives_of(const Scenario& scenario,
                                                const NetworkFactory& make_network) {
  const Placement& placement = scenario.placement;
  const bool shares = placement.prefill.gang() > 1 || placement.has_ffn() ||
                      (placement.is_split() && placement.decode.gang() > 1);
  if (!shares || !make_network.has_collectives()) return nullptr;
  return make_network.collectives(scenario.system, scenario.software);
}

class Generation {
 public:
  Generation(const Scenario& scenario, const Catalogue& catalogue,
             const NetworkFactory& make_network, const Weights& weights,
             const GenerateOptions& options)
      : options_(options),
        is_split_(scenario.placement.is_split()),
        network_(make_network(scenario.system)),
        collectives_(collectives_of(scenario, make_network)),
        random_(options.seed, "sampling"),
        prefill_chip_(make_chip_model(scenario, catalogue, scenario.placement.prefill.pool)),
        prefill_(*prefill_chip_, scenario.placement.prefill, weights, options.positions, 0,
                 *network_, collectives_.get(), options.timeline),
        decode_precision_(scenario.placement.decode.precision) {
    if (!is_split_) return;
    decode_chip_ = make_chip_model(scenario, catalogue, scenario.placement.decode.pool);
    if (scenario.placement.has_ffn()) load_blocks(scenario, catalogue, weights);
    const PoolPlacement& to = scenario.placement.decode;
    decode_ = std::make_unique<FunctionalPool>(*decode_chip_, to, weights, options.positions,
                                               taken_of(to.pool, scenario), *network_,
                                               collectives_.get(), options.timeline, blocks_.get());
  }

  GenerateResult run(std::span<const std::int32_t> prompt) {
    const auto fed =
        std::min<std::int64_t>(static_cast<std::int64_t>(prompt.size()), options_.positions);
    result_.tokens.assign(prompt.begin(), prompt.begin() + fed);
    result_.prompt_tokens = fed;
    PoolPass pass = prefill_.run(result_.tokens, 0, Picoseconds(0));
    result_.time_to_first_token = pass.end;
    accept(pass, fed - 1);
    if (is_split_ && wants_more()) {
      now_ =
          hand_over_kv({{&prefill_, decode_.get()}}, decode_precision_, *network_, now_, result_);
    }
    while (wants_more()) step();
    return finish();
  }

 private:
  [[nodiscard]] bool wants_more() const {
    return !ended_ && static_cast<std::int64_t>(result_.tokens.size()) <= options_.positions;
  }

  /// Chips of a pool that prompts run on.
  [[nodiscard]] std::int64_t taken_of(const std::string& pool, const Scenario& scenario) const {
    return pool == scenario.placement.prefill.pool ? prefill_.chips() : 0;
  }

  void load_blocks(const Scenario& scenario, const Catalogue& catalogue, const Weights& weights) {
    Scenario own = scenario;
    own.model = weights.network;
    blocks_ = std::make_unique<LoadedFeedForward>(own, catalogue, weights,
                                                  taken_of(own.placement.ffn.pool, own));
  }

  FunctionalPool& decoder() { return is_split_ ? *decode_ : prefill_; }

  void step() {
    const auto position = static_cast<std::int64_t>(result_.tokens.size()) - 1;
    const std::int32_t token = result_.tokens.back();
    accept(decoder().run(std::span(&token, 1), position, now_), position);
  }

  /// Books a pass that computed `position` and appends the token that follows it.
  void accept(const PoolPass& pass, std::int64_t position) {
    result_.token_gaps.push_back(pass.end - last_token_);
    result_.floor += pass.floor;
    last_token_ = now_ = pass.end;
    result_.logits[position] = pass.logits;
    const auto next = static_cast<std::size_t>(position) + 1;
    std::int32_t token = 0;
    if (next < options_.forced.size()) {
      token = options_.forced[next];
    } else {
      token = ops::sample(pass.logits, sampling_of(options_), {}, random_);
    }
    ended_ = token == end_of_text_token && !options_.ignore_end;
    if (!ended_) result_.tokens.push_back(token);
  }

  GenerateResult finish() {
    result_.total = last_token_;
    result_.chip_cycles = prefill_.cycles();
    std::vector<Transfer> hidden = prefill_.transfers();
    if (decode_) {
      for (const auto& [name, cycles] : decode_->cycles()) result_.chip_cycles[name] += cycles;
      const std::vector<Transfer> later = decode_->transfers();
      hidden.insert(hidden.end(), later.begin(), later.end());
    }
    result_.transfers.insert(result_.transfers.end(), hidden.begin(), hidden.end());
    std::stable_sort(result_.transfers.begin(), result_.transfers.end(),
                     [](const Transfer& a, const Transfer& b) { return a.start < b.start; });
    return std::move(result_);
  }

  const GenerateOptions& options_;
  bool is_split_;
  std::unique_ptr<NetworkModel> network_;
  std::unique_ptr<CollectiveModel> collectives_;
  RandomStream random_;
  std::unique_ptr<ChipModel> prefill_chip_;
  FunctionalPool prefill_;
  std::unique_ptr<ChipModel> decode_chip_;
  std::unique_ptr<LoadedFeedForward>
      blocks_;  ///< where feed-forward halves have a pool of their own
  std::unique_ptr<FunctionalPool> decode_;
  Precision decode_precision_;
  Picoseconds now_{0};
  Picoseconds last_token_{0};
  bool ended_ = false;
  GenerateResult result_;
};

void check_sampling(const GenerateOptions& options) {
  if (!(std::isfinite(options.temperature) && options.temperature >= 0)) {
    throw ConfigError("--temperature must be a number of at least 0");
  }
  if (options.top_k < 0) throw ConfigError("--top-k must be at least 1, or 0 for all tokens");
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    throw ConfigError("--top-p must be above 0 and at most 1");
  }
  if (options.temperature == 0 && (options.top_k > 0 || options.top_p < 1)) {
    throw ConfigError(
        "--top-k and --top-p are for sampled text; write --temperature T above 0 beside them");
  }
}

}  // namespace

std::unique_ptr<ChipModel> make_chip_model(const Scenario& scenario, const Catalogue& catalogue,
                                           const std::string& pool) {
  const Chip& chip = scenario.system.chips.at(scenario.system.group(pool).chip);
  for (const ChipModelEntry& entry : catalogue) {
    if (entry.name == chip.model) return entry.make(chip, scenario.software);
  }
  throw ModelError(fmt::format("no hardware model is called '{}'", chip.model));
}

ops::Sampling sampling_of(const GenerateOptions& options) {
  return {.temperature = options.temperature, .top_k = options.top_k, .top_p = options.top_p};
}

void check_generation(const Weights& weights, std::span<const std::int32_t> prompt,
                      const GenerateOptions& options) {
  if (prompt.empty()) throw ConfigError("the prompt has no tokens, not even the start token");
  if (options.positions < 1) throw ConfigError("--tokens must be at least 1");
  check_sampling(options);
  if (options.positions > weights.network.max_context) {
    throw ConfigError(fmt::format("--tokens {} exceeds the model's context of {}",
                                  options.positions, weights.network.max_context));
  }
}

GenerateResult generate(const Scenario& scenario, const Catalogue& catalogue,
                        const NetworkFactory& make_network, const Weights& weights,
                        std::span<const std::int32_t> prompt, const GenerateOptions& options) {
  check_generation(weights, prompt, options);
  return Generation(scenario, catalogue, make_network, weights, options).run(prompt);
}

double reference_max_abs_error(const GenerateResult& result, const Weights& weights) {
  ReferenceModel reference(weights);
  double worst = 0;
  for (std::size_t position = 0; position < result.tokens.size(); ++position) {
    const bool is_last = result.logits.empty() ||
                         static_cast<std::int64_t>(position) > result.logits.rbegin()->first;
    if (is_last) break;
    const Tensor logits =
        reference.forward(result.tokens[position], static_cast<std::int64_t>(position));
    const auto ours = result.logits.find(static_cast<std::int64_t>(position));
    if (ours == result.logits.end()) continue;
    const auto expected = logits.floats();
    for (std::size_t i = 0; i < ours->second.size(); ++i) {
      worst = std::max(worst, std::abs(double{ours->second[i]} - double{expected[i]}));
    }
  }
  return worst;
}

}  // namespace tandem
