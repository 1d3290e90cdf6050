#include "sim/step/score.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/step/functional_pool.hpp"

namespace tandem {
namespace {

/// -ln softmax(logits)[token], in double.
double surprise(std::span<const float> logits, std::int32_t token) {
  const auto largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return std::log(sum) + largest - static_cast<double>(logits[index_of(token)]);
}

std::int64_t longest_of(std::span<const Document> documents) {
  std::size_t longest = 0;
  for (const Document& document : documents) longest = std::max(longest, document.size());
  return static_cast<std::int64_t>(longest);
}

void check_documents(std::span<const Document> documents, const NeuralNetwork& network) {
  if (documents.empty()) throw ConfigError("there is no text to score");
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const auto tokens = static_cast<std::int64_t>(documents[i].size());
    if (tokens < 2) throw ConfigError(fmt::format("document {} has nothing to score", i + 1));
    if (tokens - 1 <= network.max_context) continue;
    throw ConfigError(fmt::format("document {} has {} tokens, the model's context is {}; cut it",
                                  i + 1, tokens, network.max_context));
  }
}

/// What a pass evicts is missing from the next one on.
void check_eviction(const Eviction& eviction, std::int64_t longest, const ScoreOptions& options) {
  const bool takes_one_pass = options.tokens_per_pass == 0 || options.tokens_per_pass >= longest;
  if (!eviction.is_on() || !takes_one_pass) return;
  throw ConfigError(
      "tokens are evicted at the end of a pass, and every document is one pass: nothing would read "
      "a cache without them; add --tokens-per-pass 1, as in decoding, or leave 'eviction' out");
}

/// A pool by itself, which keeps one document at a time.
class Scorer {
 public:
  Scorer(const Scenario& scenario, const Catalogue& catalogue, const NetworkFactory& make_network,
         const Weights& weights, std::int64_t positions, const ScoreOptions& options)
      : options_(options),
        network_(make_network(scenario.system)),
        collectives_(scenario.placement.decode.gang() > 1 && make_network.has_collectives()
                         ? make_network.collectives(scenario.system, scenario.software)
                         : nullptr),
        chip_(make_chip_model(scenario, catalogue, scenario.placement.decode.pool)),
        pool_(*chip_, scenario.placement.decode, weights, positions, 0, *network_,
              collectives_.get(), nullptr) {}

  DocumentScore score(const Document& document) {
    DocumentScore scores;
    const auto predicted = static_cast<std::int64_t>(document.size()) - 1;
    const std::int64_t step = options_.tokens_per_pass > 0 ? options_.tokens_per_pass : predicted;
    for (std::int64_t first = 0; first < predicted; first += step) {
      const std::int64_t count = std::min(step, predicted - first);
      const auto fed = std::span(document).subspan(index_of(first), index_of(count));
      const PoolPass pass = pool_.run(fed, first, now_, count - 1);
      now_ = pass.end;
      for (const std::vector<float>& logits : pass.rows) {
        scores.push_back(surprise(logits, document[scores.size() + 1]));
      }
    }
    for (std::size_t s = 0; s < pool_.stages().size(); ++s) pool_.loaded(s).release(0);
    return scores;
  }
  [[nodiscard]] Picoseconds now() const { return now_; }

 private:
  ScoreOptions options_;
  std::unique_ptr<NetworkModel> network_;
  std::unique_ptr<CollectiveModel> collectives_;
  std::unique_ptr<ChipModel> chip_;
  FunctionalPool pool_;
  Picoseconds now_{0};
};

}  // namespace

std::int64_t ScoreResult::tokens() const {
  std::size_t total = 0;
  for (const DocumentScore& document : documents) total += document.size();
  return static_cast<std::int64_t>(total);
}

double ScoreResult::nats() const {
  double total = 0;
  for (const DocumentScore& document : documents) {
    for (const double nats : document) total += nats;
  }
  return total;
}

double ScoreResult::perplexity() const {
  return std::exp(nats() / static_cast<double>(tokens()));
}

ScoreResult score(const Scenario& scenario, const Catalogue& catalogue,
                  const NetworkFactory& make_network, const Weights& weights,
                  std::span<const Document> documents, const ScoreOptions& options) {
  if (scenario.placement.has_ffn()) {
    throw ConfigError(scenario.placement.ffn.place,
                      "tokens of mode attention_ffn need two pools; score on one of them by itself "
                      "with mode monolithic");
  }
  check_documents(documents, weights.network);
  check_eviction(scenario.serving.eviction, longest_of(documents) - 1, options);
  Scorer scorer(scenario, catalogue, make_network, weights, longest_of(documents) - 1, options);
  ScoreResult result;
  for (const Document& document : documents) result.documents.push_back(scorer.score(document));
  result.simulated = scorer.now();
  return result;
}

}  // namespace tandem
