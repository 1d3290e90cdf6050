// What the points of a sweep say together: the best of each objective, the Pareto front, the audit.
#pragma once

#include <string>
#include <vector>

#include "sim/config/sweep.hpp"
#include "sim/entry/sweeps/sweep_tasks.hpp"

namespace tandem::entry {

/// Indices of the rows that no other row beats: none is as good in every objective and better in
/// one. Each row has one value per objective; of equal rows all stay. In the order of the rows.
[[nodiscard]] std::vector<std::size_t> pareto_front(const std::vector<std::vector<double>>& rows,
                                                    const std::vector<bool>& maximise);

/// The page printed behind a sweep: how many points came to what, the first message of those that
/// did not run, the audit of all points together, and of the points that are ok and violate nothing
/// the best of each objective and the Pareto front.
[[nodiscard]] std::string sweep_page(const Sweep& sweep, const std::vector<PointResult>& results);

}  // namespace tandem::entry
