// Keys of sweeps and plans.
#include "sim/config/key_makers.hpp"
#include "sim/config/keys.hpp"

namespace tandem::config {

using namespace make;

namespace {

KeySpec vary_key() {
  return keys("vary",
              "Paths of the scenario and their values, every combination of them, the first path "
              "slowest. Values are a list, a range, or a list of bundles `{path: value, path: "
              "value}`, whose paths change together; the key over bundles is a name.");
}

KeySpec sample_key() {
  return keys("sample", "Points drawn at random, at each combination of `vary`.");
}

KeySpec set_key() {
  return keys("set", "Changes `{path: value}` of every point.");
}

}  // namespace

Section sweep_section() {
  return {"sweep",
          "A scenario and the changes that make its points (docs/sweeps.md).",
          {required(text("kind", "`sweep`.")),
           text("name", "The file's name without `.yaml`; it may be left out."),
           text("note", "Free text."), text("scenario", "What is changed."), set_key(), vary_key(),
           sample_key(),
           keys("grids",
                "Instead of `scenario`, `vary` and `sample`: a list of maps of them, whose "
                "points follow one another."),
           keys("constraints",
                "List of conditions over the paths that change, `chips` (that the placement asks "
                "for) and figures of the result's summary: `chips <= 64`, `tpot_ms.p99 < 50 and "
                "average_power_w <= 10000`. Points that break one of paths and chips alone are not "
                "run (`excluded`); those that break another are marked in `violated` and never "
                "best. A condition says nothing about points where one of its names has no value."),
           keys("objectives",
                "List of `{maximize: FIGURE}` and `{minimize: FIGURE}`: the best "
                "points of each and their Pareto front are printed.")},
          {}};
}

Section plan_section() {
  return {"plan",
          "Candidates, a goal and limits (docs/planning.md).",
          {required(text("kind", "`plan`.")),
           text("name", "The file's name without `.yaml`; it may be left out."),
           text("note", "Free text."),
           choice("goal", "",
                  {"cheapest", "fastest", "most_tokens", "least_energy", "least_carbon"}, {},
                  "cheapest: dollars per token, those of prompts included, of the chips placed. "
                  "fastest: output tokens per second of a user. most_tokens: of all users. "
                  "least_energy, least_carbon: per output token."),
           set_key(),
           required(keys("candidates",
                         "Systems and placements: a list of `{scenario, set, vary, "
                         "sample}`, as `grids` of a sweep.")),
           required(keys("loads",
                         "Loads that each candidate is tried at, as `vary` of a sweep: "
                         "`{traffic.concurrency: [1, 4, 16]}`.")),
           keys("slo",
                "Objectives of latency that the answer must meet, as in a scenario; `{}` for none. "
                "Default: each candidate those of its scenario."),
           keys("limits", "Further limits of the answer."),
           keys("constraints", "Conditions as in a sweep.")},
          {}};
}

Section plan_limits_section() {
  return {"limits of a plan",
          "What the answer may take, and what it must give.",
          {number("power", Dimension::Power, "none", 0, 1e12,
                  "Most mean power of the chips placed, with their hosts."),
           number("budget", Dimension::MoneyRate, "none", 0, 1e12, "Most, for the chips placed."),
           number("chips", Dimension::Count, "none", 0, 1e9, "Most chips, spares included."),
           number("racks", Dimension::Count, "none", 0, 1e9,
                  "Most racks, the chips of each pool in racks of their own."),
           number("output_tokens_per_s", Dimension::Scalar, "none", 0, 1e12,
                  "Fewest output tokens per second.")},
          {}};
}

Section grid_section() {
  return {"grid of a sweep",
          "A part of a sweep with a scenario of its own.",
          {required(text("scenario", "What is changed.")), set_key(), vary_key(), sample_key()},
          {}};
}

Section sample_section() {
  return {
      "sample",
      "Points drawn at random; each path has a stream of its own, named by it.",
      {choice("method", "latin_hypercube", {"latin_hypercube", "random"}, {},
              "latin_hypercube: of every path one value in each of as many equal parts as there "
              "are points. random: independent draws."),
       number("points", Dimension::Count, "", 1, 1e6, "How many."),
       number("seed", Dimension::Count, "1", 0, 1e18, "Of the streams."),
       required(keys("over",
                     "Paths and what is drawn from: a list, of values or bundles, or a "
                     "range without `step` and `points`."))},
      {}};
}

Section range_section() {
  return {"range",
          "Values from one to another, both included.",
          {required(text("from", "First value, with its unit if it has one.")),
           required(text("to", "Last value, in the same unit.")),
           text("step", "Distance of the values, on a linear scale."),
           number("points", Dimension::Count, "none", 1, 10000, "Number of values, instead."),
           choice("scale", "linear", {"linear", "log"}, {}, "log: equal factors between values."),
           flag("whole", "false", "Whether values are rounded to whole numbers.")},
          {}};
}

}  // namespace tandem::config
