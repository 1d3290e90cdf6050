// The figures that constraints and objectives of sweeps and plans may name.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/config/expression.hpp"
#include "sim/describe/scenario.hpp"

namespace tandem::entry {

/// Dotted names of all figures in a result's summary, in its order: "output_tokens_per_s",
/// "ttft_ms.mean", "ttft_ms.p50", ...
[[nodiscard]] const std::vector<std::string>& summary_figures();

/// Those, and the figures beside the summary: grams of CO2 per million output
/// tokens, where the prices know the grid's carbon.
[[nodiscard]] const std::vector<std::string>& known_figures();

/// The end of a complaint about a name that is none of them: the nearest, or where they are listed.
[[nodiscard]] std::string near_figure(const std::string& name,
                                      const std::vector<std::string>& figures);

/// Those that can have a band: all but what comes, and how busy the service is.
[[nodiscard]] const std::vector<std::string>& banded_figures();

/// A figure's value with the unit that its name ends with, if it does: "tpot_ms.p99" in ms.
[[nodiscard]] ExpressionValue value_of_figure(const std::string& name, double value);

/// The column of the sweep's database for a figure: "ttft_ms_p50".
[[nodiscard]] std::string column_of(const std::string& figure);

/// A figure at the two ends of its band.
struct FigureBand {
  double low = 0;
  double high = 0;
};

/// The figures of a result that have a value, and those of them that have a band.
struct ResultFigures {
  std::map<std::string, double> values;
  std::map<std::string, FigureBand> bands;
};
/// Of a result's JSON; nothing of an empty text.
[[nodiscard]] ResultFigures read_figures(const std::string& result_json);

/// Its values alone.
[[nodiscard]] std::map<std::string, double> figures_of_result(const std::string& result_json);

/// Chips that the placement asks for by pool of the system, spares included; of a mix those of all
/// models.
[[nodiscard]] std::map<std::string, std::int64_t> placed_chips_by_pool(const Scenario& scenario);

/// All of them.
[[nodiscard]] std::int64_t placed_chips(const Scenario& scenario);

/// Racks that those chips fill, the chips of each pool of the system in racks of their own, begun
/// ones as whole ones; nothing where the system does not say how many chips fill one.
[[nodiscard]] std::optional<std::int64_t> placed_racks(const Scenario& scenario);

}  // namespace tandem::entry
