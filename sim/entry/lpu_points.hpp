// `tandem lpu published`: tokens/s that vendors and third parties state for LPUs, beside the closed
// form of `tandem lpu fit`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/lpu/partition/partition.hpp"
#include "sim/entry/context.hpp"

namespace tandem::entry {

/// A published speed of one user, and the system it is assumed to come from.
struct PublishedPoint {
  std::string id;
  std::string model;
  std::string fabric;
  int tensor = 1;
  std::optional<std::int64_t> chips;  ///< none: as few as hold the model
  lpu::FitQuestion fit;
  double tokens_per_s = 0;
  std::string mark;  ///< "vendor" or "third party"
  std::string source;
  std::string note;
  SourcePlace model_place, fabric_place, tensor_place;  ///< cells
};

/// Points of a table with the columns id, model, fabric, tensor, chips, context, weight_bytes,
/// kv_bytes, tokens_per_s, mark, source, note. Throws ConfigError with every broken cell.
[[nodiscard]] std::vector<PublishedPoint> read_points(const std::string& file,
                                                      std::string_view text);

/// The closed form's answer for a point. `fabric` and `chip` may differ from what its files say.
[[nodiscard]] lpu::PartitionChoice predict(const PublishedPoint& point,
                                           const NeuralNetwork& network, const Fabric& fabric,
                                           const Chip& chip);

/// Seconds of a step at worst and at best when every number of chip and fabric that has a range
/// moves to an end of it, one at a time; partitions that become impossible do not count.
struct StepRange {
  double low = 0;
  double high = 0;
};
[[nodiscard]] StepRange step_range(const PublishedPoint& point, const NeuralNetwork& network,
                                   const Fabric& fabric, const Chip& chip);

/// Whether a chip is an estimate: its planes, their weight paths or its slices are assumed. What
/// else separates such a chip from a service is not fitted; its assumptions are swept instead.
[[nodiscard]] bool is_estimate(const Chip& chip);

/// A page: every point beside its prediction, with and without one software time per layer (fitted
/// on the first point of a known chip alone), and every assumed number of
/// chips that are estimates swept over its range. Throws ConfigError with the cells of points that
/// cannot be.
[[nodiscard]] std::string points_page(const Context& context, const std::string& file);

}  // namespace tandem::entry
