#include "sim/service/occupancy.hpp"

#include <algorithm>

#include "sim/core/timeline.hpp"

namespace tandem {
namespace {

/// A change of one replica's share of a sum.
struct Step {
  Picoseconds at;
  Occupancy by;
};

/// The end of the first `part` of `parts` of a time, without overflow.
Picoseconds edge(Picoseconds start, Picoseconds end, std::size_t part, std::size_t parts) {
  const std::int64_t span = (end - start).count();
  const auto all = static_cast<std::int64_t>(parts);
  const auto some = static_cast<std::int64_t>(part);
  return start + Picoseconds(span / all * some + span % all * some / all);
}

/// Adds what was held over [from, to) to bins of equal width.
class BinFiller {
 public:
  BinFiller(Picoseconds start, Picoseconds end, std::size_t bins)
      : start_(start), end_(end), bins_(bins) {
    for (auto* means : {&filled_.waiting, &filled_.running, &filled_.kv}) means->resize(bins);
    for (auto* peaks : {&filled_.waiting_peak, &filled_.running_peak, &filled_.kv_peak}) {
      peaks->resize(bins);
    }
  }
  /// Times may not fall.
  void add(const Occupancy& held, Picoseconds from, Picoseconds to) {
    from = std::max(from, start_);
    to = std::min(to, end_);
    while (from < to) {
      const Picoseconds bin_end = edge(start_, end_, bin_ + 1, bins_);
      const Picoseconds until = std::min(to, bin_end);
      if (from < until) add_to_bin(held, until - from);
      from = std::max(from, until);
      if (from >= bin_end) ++bin_;
    }
  }
  [[nodiscard]] OccupancyBins take() { return std::move(filled_); }

 private:
  void add_to_bin(const Occupancy& held, Picoseconds time) {
    const Picoseconds width = edge(start_, end_, bin_ + 1, bins_) - edge(start_, end_, bin_, bins_);
    const double share = time / width;
    filled_.waiting[bin_] += share * static_cast<double>(held.waiting);
    filled_.running[bin_] += share * static_cast<double>(held.running);
    filled_.kv[bin_] += share * static_cast<double>(held.kv);
    filled_.waiting_peak[bin_] = std::max(filled_.waiting_peak[bin_], held.waiting);
    filled_.running_peak[bin_] = std::max(filled_.running_peak[bin_], held.running);
    filled_.kv_peak[bin_] = std::max(filled_.kv_peak[bin_], held.kv);
  }

  Picoseconds start_, end_;
  std::size_t bins_;
  std::size_t bin_ = 0;
  OccupancyBins filled_;
};

}  // namespace

void OccupancyLog::note(Picoseconds at, const Occupancy& now) {
  if (changes_.empty() ? now == Occupancy() : changes_.back().now == now) return;
  if (!changes_.empty() && changes_.back().at == at) {
    changes_.back().now = now;
  } else {
    changes_.push_back({at, now});
  }
}

std::vector<OccupancyChange> sum_of(const std::vector<const OccupancyLog*>& logs) {
  std::vector<Step> steps;
  for (const OccupancyLog* log : logs) {
    Occupancy before;
    for (const OccupancyChange& change : log->changes()) {
      steps.push_back({change.at,
                       {change.now.waiting - before.waiting, change.now.running - before.running,
                        change.now.kv - before.kv}});
      before = change.now;
    }
  }
  std::ranges::stable_sort(steps, {}, &Step::at);
  std::vector<OccupancyChange> sums;
  Occupancy sum;
  for (const Step& step : steps) {
    sum.waiting += step.by.waiting;
    sum.running += step.by.running;
    sum.kv += step.by.kv;
    if (!sums.empty() && sums.back().at == step.at) {
      sums.back().now = sum;
    } else {
      sums.push_back({step.at, sum});
    }
  }
  return sums;
}

OccupancyBins in_bins(const std::vector<OccupancyChange>& changes, Picoseconds start,
                      Picoseconds end, std::size_t bins) {
  BinFiller filler(start, end, bins);
  for (std::size_t i = 0; i < changes.size(); ++i) {
    filler.add(changes[i].now, changes[i].at, i + 1 < changes.size() ? changes[i + 1].at : end);
  }
  return filler.take();
}

void record_occupancy(const std::vector<OccupancyChange>& changes, const std::string& group,
                      TimelineRecorder& timeline) {
  const auto record = [&](const char* name, std::int64_t Occupancy::*part) {
    const auto track = timeline.track(group, name);
    std::int64_t before = -1;
    for (const OccupancyChange& change : changes) {
      const std::int64_t value = change.now.*part;
      if (value == before) continue;
      timeline.counter(track, name, change.at, static_cast<double>(value));
      before = value;
    }
  };
  record("waiting", &Occupancy::waiting);
  record("running", &Occupancy::running);
  record("kv", &Occupancy::kv);
}

std::vector<std::int64_t> in_bins(const std::vector<TokenBurst>& bursts, Picoseconds start,
                                  Picoseconds end, std::size_t bins) {
  std::vector<std::int64_t> tokens(bins);
  std::size_t bin = 0;
  for (const TokenBurst& burst : bursts) {
    while (bin + 1 < bins && burst.at >= edge(start, end, bin + 1, bins)) ++bin;
    tokens[bin] += burst.tokens;
  }
  return tokens;
}

}  // namespace tandem
