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
