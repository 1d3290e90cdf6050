// Rows sorted by expert, and sums over a token's experts.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "models/gpu/execute/pass_state.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {

/// Sorts places by expert; those of one expert stay in the order in which they came.
class ExpertSorter {
 public:
  explicit ExpertSorter(std::int64_t experts) : places_(index_of(experts)) {}
  void add(std::int64_t expert, ExpertRows::Place place) {
    places_[index_of(expert)].push_back(place);
  }
  [[nodiscard]] ExpertRows take() const {
    ExpertRows rows;
    rows.first.push_back(0);
    for (const auto& expert : places_) {
      rows.places.insert(rows.places.end(), expert.begin(), expert.end());
      rows.first.push_back(static_cast<std::int64_t>(rows.places.size()));
    }
    return rows;
  }

 private:
  std::vector<std::vector<ExpertRows::Place>> places_;
};

/// sum of weight * row in the order in which they come: a float that starts at zero. What joins it
/// afterwards is added and rounded one by one.
class ExpertSum {
 public:
  explicit ExpertSum(std::int64_t width) : values_(index_of(width)) {}
  void add(float weight, std::span<const float> row) {
    for (std::size_t i = 0; i < values_.size(); ++i) values_[i] += weight * row[i];
  }
  void round(ElementType type) {
    for (float& value : values_) value = round_to(type, value);
  }
  void join(std::span<const float> row, ElementType type) {
    add(1, row);
    round(type);
  }
  [[nodiscard]] const std::vector<float>& values() const { return values_; }

 private:
  std::vector<float> values_;
};

}  // namespace tandem::gpu
