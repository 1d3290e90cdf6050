#include "sim/entry/sweeps/sweep_summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "sim/entry/sweeps/sweep_figures.hpp"

namespace tandem::entry {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t most_lines = 20;
constexpr double normal_95_percent = 1.959964;

/// A point that may be best.
struct Candidate {
  const PointResult* point = nullptr;
  std::vector<double> values;      ///< of the objectives
  std::vector<std::string> bands;  ///< " [low, high]", or nothing where there is none
};

std::vector<Candidate> candidates_of(const Sweep& sweep, const std::vector<PointResult>& results) {
  std::vector<Candidate> candidates;
  for (const PointResult& result : results) {
    if (result.status != "ok" || !result.violated.empty()) continue;
    const ResultFigures figures = read_figures(result.result);
    Candidate candidate{&result, {}, {}};
    for (const Objective& objective : sweep.objectives) {
      const auto figure = figures.values.find(objective.figure);
      if (figure == figures.values.end()) continue;
      candidate.values.push_back(figure->second);
      const auto band = figures.bands.find(objective.figure);
      candidate.bands.push_back(
          band == figures.bands.end()
              ? std::string()
              : fmt::format(" [{:.5g}, {:.5g}]", band->second.low, band->second.high));
    }
    if (candidate.values.size() == sweep.objectives.size()) candidates.push_back(candidate);
  }
  return candidates;
}

bool is_beaten(const std::vector<double>& row, const std::vector<double>& other,
               const std::vector<bool>& maximise) {
  bool is_better = false;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const double gain = maximise[i] ? other[i] - row[i] : row[i] - other[i];
    if (gain < 0) return false;
    is_better = is_better || gain > 0;
  }
  return is_better;
}

bool has_several_scenarios(const Sweep& sweep) {
  return std::any_of(sweep.points.begin(), sweep.points.end(), [&](const auto& point) {
    return point.scenario != sweep.points.front().scenario;
  });
}

std::string line_of(const Sweep& sweep, const Candidate& candidate) {
  std::vector<std::string> values;
  for (std::size_t i = 0; i < candidate.values.size(); ++i) {
    values.push_back(fmt::format("{} {:.5g}{}", sweep.objectives[i].figure, candidate.values[i],
                                 candidate.bands[i]));
  }
  const auto index = static_cast<std::size_t>(candidate.point->point);
  const std::string scenario =
      has_several_scenarios(sweep) ? sweep.points[index].scenario + ": " : std::string();
  return fmt::format("  point {}: {}\n    {}{}\n", candidate.point->point, fmt::join(values, ", "),
                     scenario, candidate.point->overrides);
}

std::string best_lines(const Sweep& sweep, const std::vector<Candidate>& candidates) {
  std::string page;
  for (std::size_t i = 0; i < sweep.objectives.size(); ++i) {
    const bool up = sweep.objectives[i].maximise;
    const auto best = std::min_element(
        candidates.begin(), candidates.end(), [&](const Candidate& a, const Candidate& b) {
          return up ? a.values[i] > b.values[i] : a.values[i] < b.values[i];
        });
    page += fmt::format("{} {}:\n{}", up ? "highest" : "lowest", sweep.objectives[i].figure,
                        line_of(sweep, *best));
  }
  return page;
}

std::string front_lines(const Sweep& sweep, const std::vector<Candidate>& candidates) {
  if (sweep.objectives.size() < 2) return {};
  std::vector<std::vector<double>> rows;
  std::vector<bool> maximise;
  for (const Candidate& candidate : candidates) rows.push_back(candidate.values);
  for (const Objective& objective : sweep.objectives) maximise.push_back(objective.maximise);
  std::vector<std::size_t> front = pareto_front(rows, maximise);
  std::stable_sort(front.begin(), front.end(), [&](std::size_t a, std::size_t b) {
    return maximise[0] ? rows[a][0] > rows[b][0] : rows[a][0] < rows[b][0];
  });
  std::string page = fmt::format("Pareto front, {} of {} points:\n", front.size(), rows.size());
  for (std::size_t i = 0; i < std::min(front.size(), most_lines); ++i) {
    page += line_of(sweep, candidates[front[i]]);
  }
  if (front.size() > most_lines) {
    page += fmt::format("  and {} more\n", front.size() - most_lines);
  }
  return page;
}

/// The audits of all points as strata of one sample: means weigh by passes, errors add as
/// independent ones.
std::string audit_line(const std::vector<PointResult>& results) {
  double steps = 0, errors = 0, squares = 0;
  for (const PointResult& result : results) {
    if (result.result.empty()) continue;
    const Json audit = Json::parse(result.result)["steps"]["audit"];
    if (audit.is_null()) continue;
    const double own = audit["steps"];
    const double mean = audit["mean_error"];
    const double bound = audit["mean_error_bound"];
    steps += own;
    errors += own * mean;
    squares += std::pow(own * (bound - mean) / normal_95_percent, 2);
  }
  if (steps == 0) return {};
  return fmt::format("audit of {:.0f} interpolated passes: mean error {:.2f} %, at most {:.2f} %\n",
                     steps, 100 * errors / steps,
                     100 * (errors + normal_95_percent * std::sqrt(squares)) / steps);
}

std::string status_lines(const std::vector<PointResult>& results) {
  std::map<std::string, std::int64_t> counts;
  std::map<std::string, const PointResult*> first;
  std::int64_t violating = 0;
  for (const PointResult& result : results) {
    ++counts[result.status];
    first.try_emplace(result.status, &result);
    violating += result.violated.empty() ? 0 : 1;
  }
  std::string page = fmt::format("{} points: {} ok", results.size(), counts["ok"]);
  if (violating > 0) page += fmt::format(" ({} violate a constraint)", violating);
  for (const char* status : {"refused", "excluded", "pruned", "error"}) {
    if (counts[status] > 0) page += fmt::format(", {} {}", counts[status], status);
  }
  page += "\n";
  for (const char* status : {"refused", "excluded", "pruned", "error"}) {
    if (counts[status] == 0) continue;
    page +=
        fmt::format("first {}, point {}: {}\n", status, first[status]->point, first[status]->error);
  }
  return page;
}

/// Why no point is best.
std::string without_best(const std::vector<PointResult>& results) {
  const auto keeps = std::count_if(results.begin(), results.end(), [](const PointResult& result) {
    return result.status == "ok" && result.violated.empty();
  });
  return keeps == 0 ? "no point meets the constraints\n"
                    : fmt::format(
                          "of {} points that meet the constraints none has all figures of "
                          "the objectives\n",
                          keeps);
}

}  // namespace

std::vector<std::size_t> pareto_front(const std::vector<std::vector<double>>& rows,
                                      const std::vector<bool>& maximise) {
  std::vector<std::size_t> front;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const bool stays = std::none_of(rows.begin(), rows.end(), [&](const auto& other) {
      return is_beaten(rows[i], other, maximise);
    });
    if (stays) front.push_back(i);
  }
  return front;
}

std::string sweep_page(const Sweep& sweep, const std::vector<PointResult>& results) {
  std::string page = status_lines(results) + audit_line(results);
  if (sweep.objectives.empty()) return page;
  const std::vector<Candidate> candidates = candidates_of(sweep, results);
  if (candidates.empty()) return page + without_best(results);
  return page + best_lines(sweep, candidates) + front_lines(sweep, candidates);
}

}  // namespace tandem::entry
