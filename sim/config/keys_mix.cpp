// Keys of mixes of models.
#include "sim/config/key_makers.hpp"
#include "sim/config/keys.hpp"

namespace tandem::config {

using namespace make;

Section deployment_section() {
  return {
      "entry of models",
      "One of several models on a system, on chips of its own (the first takes the first chips "
      "of its pools, and so on) or, with `on`, a tier: another precision of a model on the same "
      "chips. From weak to strong where thresholds decide. "
      "`--set models.NAME.KEY=VALUE` changes one.",
      {
          required(text("name", "What results call it.")),
          required(map("model", "Network in workloads/models.")),
          map("draft_model", "Speculative decoding: network that drafts."),
          required(map("placement", "How the pools run the model.")),
          keys("speculation", "Speculative decoding on the pool that makes the tokens."),
          map("serving", "Batching of its serving engine, instead of the scenario's."),
          text("on",
               "Name of a model before it (GPUs, mode monolithic, one stage), instead of `model` "
               "and `placement`: the same model on the same chips in another precision. The "
               "chips hold the weights of all tiers; a step is one pass per tier."),
          keys("precision", "With `on`: formats of numbers; the KV cache as that model has it."),
          number("share", Dimension::Fraction, "0", 0, 1,
                 "`policy: share`: of the requests; all of them together 1."),
      },
      {}};
}

Section routing_section() {
  return {"routing",
          "Which of several models answers a request.",
          {
              choice("policy", "share", {"share", "threshold", "cascade"}, {},
                     "share: drawn by the models' shares. threshold: a request has a difficulty, "
                     "drawn uniformly from 0 to 1, and goes to the first model that is up to it. "
                     "cascade: it goes to the first model, and on to the next when the answer is "
                     "complete and that model is not up to it."),
              number("thresholds", Dimension::Fraction, "none", 0, 1,
                     "threshold, cascade: difficulty up to which a model is up to a request, or a "
                     "rising list of them, one per model but the last; the share of requests whose "
                     "answer stands with that model or one before it."),
          },
          {}};
}

}  // namespace tandem::config
