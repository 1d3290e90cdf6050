#include "sim/step/generate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>

#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/lower/reference_model.hpp"
#include "sim/step/functional_pool.hpp"
#include "sim/step/kv_handover.hpp"
#include "sim/step/pool_model.hpp"
#include "sim/step/stage_store.hpp"
#include "sim/step/token_book.hpp"

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

/// A text that goes on from the prompt, and what it samples from.
struct Branch {
  Branch(const GenerateOptions& options, std::span<const std::int32_t> prompt, std::int64_t index)
      : book(options, prompt),
        random(options.seed,
               index == 0 ? std::string("sampling") : fmt::format("sampling, branch {}", index)) {}
  TokenBook book;
  RandomStream random;
};

class Generation {
 public:
  Generation(const Scenario& scenario, const Catalogue& catalogue,
             const NetworkFactory& make_network, const Weights& weights,
             const GenerateOptions& options)
      : options_(options),
        is_split_(scenario.placement.is_split()),
        network_(make_network(scenario.system)),
        collectives_(collectives_of(scenario, make_network)),
        prefill_chip_(make_chip_model(scenario, catalogue, scenario.placement.prefill.pool)),
        prefill_(*prefill_chip_, scenario.placement.prefill, weights, options.positions, 0,
                 *network_, collectives_.get(), options.timeline, nullptr,
                 is_split_ ? 1 : options.branches),
        decode_precision_(scenario.placement.decode.precision) {
    if (!is_split_) return;
    decode_chip_ = make_chip_model(scenario, catalogue, scenario.placement.decode.pool);
    if (scenario.placement.has_ffn()) load_blocks(scenario, catalogue, weights);
    const PoolPlacement& to = scenario.placement.decode;
    decode_ = std::make_unique<FunctionalPool>(
        *decode_chip_, to, weights, options.positions, taken_of(to.pool, scenario), *network_,
        collectives_.get(), options.timeline, blocks_.get(), options.branches);
  }

  GenerateResult run(std::span<const std::int32_t> prompt) {
    for (std::int64_t i = 0; i < options_.branches; ++i)
      branches_.emplace_back(options_, prompt, i);
    const std::vector<std::int32_t> fed = result().tokens;
    const PoolPass pass = prefill_.run(fed, 0, Picoseconds(0));
    result().time_to_first_token = now_ = pass.end;
    result().floor = pass.floor;
    const auto last = static_cast<std::int64_t>(fed.size()) - 1;
    for (Branch& branch : branches_) append(branch, pass.logits, last);
    if (is_split_ && wants_more()) {
      now_ =
          hand_over_kv({{&prefill_, decode_.get()}}, decode_precision_, *network_, now_, result());
    }
    for (std::int64_t i = 1; i < options_.branches && wants_more(); ++i) decoder().fork(i);
    while (wants_more()) step();
    return finish();
  }

 private:
  /// What is of all branches stands in the first one's result.
  GenerateResult& result() { return branches_.front().book.result(); }

  [[nodiscard]] bool wants_more() const {
    return std::ranges::any_of(branches_, [](const Branch& b) { return b.book.wants_more(); });
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

  /// One more token of every branch that goes on.
  void step() {
    Batch batch;
    StageData data;
    std::vector<Branch*> going;
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      Branch& branch = branches_[i];
      if (!branch.book.wants_more()) continue;
      batch.slices.push_back(
          {.request = static_cast<std::int64_t>(i), .context = branch.book.known() - 1});
      data.tokens.push_back(branch.book.tokens().back());
      going.push_back(&branch);
    }
    const PoolPass pass = decoder().run_batch(batch, std::move(data), now_);
    now_ = pass.end;
    result().floor += pass.floor;
    for (std::size_t i = 0; i < going.size(); ++i) {
      append(*going[i], pass.rows[i], batch.slices[i].context);
    }
  }

  /// Books logits of `position` and appends the token that follows it, chosen or forced.
  void append(Branch& branch, const std::vector<float>& logits, std::int64_t position) {
    const auto next = static_cast<std::size_t>(position) + 1;
    const std::int32_t token = next < options_.forced.size()
                                   ? options_.forced[next]
                                   : ops::sample(logits, sampling_of(options_), {}, branch.random);
    branch.book.book({logits}, position, {token}, now_);
  }

  GenerateResult finish() {
    std::vector<const FunctionalPool*> pools{&prefill_};
    if (decode_) pools.push_back(decode_.get());
    for (const FunctionalPool* pool : pools) {
      for (const auto& [name, cycles] : pool->cycles()) result().chip_cycles[name] += cycles;
      const std::vector<Transfer> hidden = pool->transfers();
      result().transfers.insert(result().transfers.end(), hidden.begin(), hidden.end());
    }
    GenerateResult all = branches_.front().book.take();
    for (auto branch = branches_.begin() + 1; branch != branches_.end(); ++branch) {
      GenerateResult own = branch->book.take();
      all.total = std::max(all.total, own.total);
      all.branches.push_back(
          {std::move(own.tokens), std::move(own.token_gaps), std::move(own.logits)});
    }
    return all;
  }

  const GenerateOptions& options_;
  bool is_split_;
  std::unique_ptr<NetworkModel> network_;
  std::unique_ptr<CollectiveModel> collectives_;
  std::deque<Branch> branches_;
  std::unique_ptr<ChipModel> prefill_chip_;
  FunctionalPool prefill_;
  std::unique_ptr<ChipModel> decode_chip_;
  std::unique_ptr<LoadedFeedForward>
      blocks_;  ///< where feed-forward halves have a pool of their own
  std::unique_ptr<FunctionalPool> decode_;
  Precision decode_precision_;
  Picoseconds now_{0};
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

double max_abs_error(const std::vector<std::int32_t>& tokens,
                     const std::map<std::int64_t, std::vector<float>>& logits,
                     const Weights& weights) {
  ReferenceModel reference(weights);
  double worst = 0;
  for (std::size_t at = 0; at < tokens.size(); ++at) {
    const auto position = static_cast<std::int64_t>(at);
    if (logits.empty() || position > logits.rbegin()->first) break;
    const Tensor row = reference.forward(tokens[at], position);
    const auto ours = logits.find(position);
    if (ours == logits.end()) continue;
    const auto expected = row.floats();
    for (std::size_t i = 0; i < ours->second.size(); ++i) {
      worst = std::max(worst, std::abs(double{ours->second[i]} - double{expected[i]}));
    }
  }
  return worst;
}

}  // namespace

std::unique_ptr<ChipModel> make_chip_model(const Scenario& scenario, const Catalogue& catalogue,
                                           const std::string& pool, const StageStore* store) {
  const Chip& chip = scenario.system.chips.at(scenario.system.group(pool).chip);
  for (const ChipModelEntry& entry : catalogue) {
    if (entry.name != chip.model) continue;
    std::unique_ptr<ChipModel> model = entry.make(chip, scenario.software);
    if (entry.kernels != nullptr) {
      KernelShelf shelf{key_of(chip, scenario.software)};
      if (store != nullptr) shelf.folder = store->folder();
      model->share_kernels(entry.kernels, shelf);
    }
    return model;
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
  if (options.branches < 1) throw ConfigError("--branches must be at least 1");
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
  double worst = max_abs_error(result.tokens, result.logits, weights);
  for (const GeneratedBranch& branch : result.branches) {
    worst = std::max(worst, max_abs_error(branch.tokens, branch.logits, weights));
  }
  return worst;
}

}  // namespace tandem
