#include "sim/describe/speculation.hpp"

#include <algorithm>

namespace tandem {
namespace {

/// Neighbours that are averaged.
struct Block {
  double sum = 0;
  std::int64_t count = 0;
  [[nodiscard]] double mean() const { return sum / static_cast<double>(count); }
};

/// The non-rising sequence nearest to `values` (pool adjacent violators), then none below 0; the
/// sum stays.
std::vector<double> falling(const std::vector<double>& values) {
  std::vector<Block> blocks;
  const auto merge_last = [&] {
    const Block last = blocks.back();
    blocks.pop_back();
    blocks.back().sum += last.sum;
    blocks.back().count += last.count;
  };
  for (const double value : values) {
    blocks.push_back({value, 1});
    while (blocks.size() > 1 && blocks.back().mean() > blocks[blocks.size() - 2].mean()) {
      merge_last();
    }
  }
  while (blocks.size() > 1 && blocks.back().mean() < 0) merge_last();
  std::vector<double> result;
  for (const Block& block : blocks) {
    result.insert(result.end(), static_cast<std::size_t>(block.count), block.mean());
  }
  return result;
}

}  // namespace

std::int64_t Speculation::drafts_at(std::int64_t depth) const {
  std::int64_t count = 1;
  for (std::size_t i = 0; i <= static_cast<std::size_t>(depth) && i < tree.size(); ++i) {
    count *= tree[i];
  }
  return count;
}

std::int64_t Speculation::drafted() const {
  std::int64_t total = 0;
  for (std::int64_t depth = 0; depth < drafts; ++depth) total += drafts_at(depth);
  return total;
}

std::vector<double> acceptance_of_lengths(const std::vector<double>& lengths, std::int64_t drafts) {
  std::vector<double> steps;
  double before = 1;
  for (std::int64_t i = 0; i < drafts; ++i) {
    const double length = lengths[static_cast<std::size_t>(i)];
    steps.push_back(length - before);
    before = length;
  }
  std::vector<double> acceptance;
  double reached = 1;
  for (const double step : falling(steps)) {
    acceptance.push_back(reached > 0 ? std::clamp(step / reached, 0.0, 1.0) : 0.0);
    reached = step;
  }
  return acceptance;
}

double acceptance_of_length(double length, std::int64_t drafts) {
  const auto tokens = [&](double a) {
    double sum = 1;
    for (std::int64_t i = 0; i < drafts; ++i) sum = 1 + a * sum;
    return sum;
  };
  double low = 0;
  double high = 1;
  // Halved until neighbours: the sum rises with the probability.
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (tokens(middle) < length ? low : high) = middle;
  }
  return high;
}

}  // namespace tandem
