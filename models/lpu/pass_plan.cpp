#include "models/lpu/pass_plan.hpp"

#include <algorithm>
#include <bit>
#include <map>

#include "models/lpu/compiler/layer_support.hpp"

namespace tandem::lpu {
namespace {

// The cheapest split of a number of tokens; answers are kept.
class Splitter {
 public:
  Splitter(int most_width, const PassTime& time) : most_width_(most_width), time_(time) {}

  /// Slots of the first pass.
  int first_pass(std::int64_t tokens) { return best(tokens).width; }

 private:
  struct Split {
    Picoseconds time;
    int width = 0;
  };

  // A pass that holds all tokens, or one that they fill; programs between are no cheaper.
  const Split& best(std::int64_t tokens) {
    const auto found = splits_.find(tokens);
    if (found != splits_.end()) return found->second;
    const auto all = static_cast<int>(std::bit_ceil(static_cast<std::uint64_t>(tokens)));
    const auto filled = static_cast<int>(std::bit_floor(static_cast<std::uint64_t>(tokens)));
    Split split = with(std::min(filled, most_width_), tokens);
    if (all > filled && all <= most_width_) {
      const Split one_pass = with(all, tokens);
      if (one_pass.time < split.time) split = one_pass;
    }
    return splits_.emplace(tokens, split).first->second;
  }

  Split with(int width, std::int64_t tokens) {
    Picoseconds time = time_(width);
    if (tokens > width) time += best(tokens - width).time;
    return {time, width};
  }

  int most_width_;
  const PassTime& time_;
  std::map<std::int64_t, Split> splits_;
};

bool may_share(const std::vector<PlannedToken>& pass, const PlannedToken& token,
               std::int64_t block) {
  return std::none_of(pass.begin(), pass.end(), [&](const PlannedToken& other) {
    return other.slice == token.slice && other.position / block != token.position / block;
  });
}

std::vector<PlannedToken> tokens_of(const Batch& batch) {
  std::vector<PlannedToken> tokens;
  for (std::size_t i = 0; i < batch.slices.size(); ++i) {
    const SequenceSlice& slice = batch.slices[i];
    for (std::int64_t t = 0; t < slice.new_tokens; ++t) tokens.push_back({i, slice.context + t});
  }
  return tokens;
}

}  // namespace

std::int64_t block_of(const Stage& stage, const Geometry& geometry) {
  constexpr std::int64_t beyond_any_request = std::int64_t{1} << 40;
  return only_feeds_forward(stage) ? beyond_any_request : geometry.lanes();
}

std::vector<PlannedPass> plan_passes(const Batch& batch, std::int64_t block, int most_width,
                                     const PassTime& time) {
  const std::vector<PlannedToken> tokens = tokens_of(batch);
  Splitter splitter(most_width, time);
  std::vector<PlannedPass> passes;
  std::size_t next = 0;
  while (next < tokens.size()) {
    PlannedPass pass;
    pass.width = splitter.first_pass(static_cast<std::int64_t>(tokens.size() - next));
    while (next < tokens.size() && pass.tokens.size() < static_cast<std::size_t>(pass.width) &&
           may_share(pass.tokens, tokens[next], block)) {
      pass.tokens.push_back(tokens[next++]);
    }
    pass.width = static_cast<int>(std::bit_ceil(pass.tokens.size()));
    passes.push_back(std::move(pass));
  }
  return passes;
}

}  // namespace tandem::lpu
