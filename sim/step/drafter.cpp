#include "sim/step/drafter.hpp"

#include <algorithm>

#include "sim/core/integers.hpp"

namespace tandem {

Drafts ModelDrafter::draft(std::span<const std::int32_t> known, std::int64_t count,
                           Picoseconds start) {
  Drafts drafts{{}, {}, start, Picoseconds(0)};
  const auto same = std::mismatch(computed_.begin(), computed_.end(), known.begin(), known.end());
  computed_.erase(same.first, computed_.end());
  pool_->keep(static_cast<std::int64_t>(computed_.size()));
  std::vector<std::int32_t> fed(same.second, known.end());
  for (std::int64_t i = 0; i < count; ++i) {
    const PoolPass pass = pool_->run(fed, static_cast<std::int64_t>(computed_.size()), drafts.end);
    computed_.insert(computed_.end(), fed.begin(), fed.end());
    drafts.end = pass.end;
    drafts.floor += pass.floor;
    choice_.choose(pass.logits, drafts);
    fed = {drafts.tokens.back()};
  }
  return drafts;
}

Drafts ModelDrafter::keep_up(std::span<const std::int32_t> known, Picoseconds start) {
  Drafts passes{{}, {}, start, Picoseconds(0)};
  computed_.assign(known.begin(), known.end() - 1);
  const PoolPass pass = pool_->run(computed_, 0, start);
  passes.end = pass.end;
  passes.floor = pass.floor;
  return passes;
}

void ModuleDrafter::use(std::vector<FunctionalPool*> pools) {
  for (std::size_t i = 0; i < modules_.size(); ++i) modules_[i].pool = pools[i];
}

Drafts ModuleDrafter::keep_up(std::span<const std::int32_t> known, Picoseconds start) {
  Drafts passes{{}, {}, start, Picoseconds(0)};
  const auto computed = static_cast<std::int64_t>(known.size()) - 1;
  Module& module = modules_.front();
  (void)run(module, hidden_.front(), 0, known.subspan(1), passes);
  module.computed = computed;
  return passes;
}

void ModuleDrafter::store(std::size_t source, std::int64_t first, const Tensor& hidden) {
  const std::int64_t width = hidden.dim(1);
  auto& rows = hidden_[source];
  rows.resize(index_of(first));
  for (std::int64_t row = 0; row < hidden.dim(0); ++row) {
    std::vector<float> values(index_of(width));
    for (std::int64_t i = 0; i < width; ++i) values[index_of(i)] = hidden.load(row * width + i);
    rows.push_back(std::move(values));
  }
}

void ModuleDrafter::learn(std::int64_t first, const Tensor& hidden) {
  store(0, first, hidden);
}

/// One pass of a module from position `first` on over as many tokens and hidden states from `given`
/// on; returns the last one's logits.
std::vector<float> ModuleDrafter::run(Module& module, std::span<const std::vector<float>> given,
                                      std::int64_t first, std::span<const std::int32_t> tokens,
                                      Drafts& drafts) {
  const auto count = static_cast<std::int64_t>(tokens.size());
  const auto width = static_cast<std::int64_t>(given.front().size());
  Tensor hidden(ElementType::Float32, {count, width});
  for (std::int64_t row = 0; row < count; ++row) {
    std::ranges::copy(given[index_of(row)], hidden.floats().begin() + row * width);
  }
  module.pool->keep(first);
  PoolPass pass = module.pool->run(tokens, first, drafts.end, 0, std::move(hidden));
  drafts.end = pass.end;
  drafts.floor += pass.floor;
  store(static_cast<std::size_t>(&module - modules_.data()) + 1, first, pass.hidden);
  return std::move(pass.logits);
}

Drafts ModuleDrafter::draft(std::span<const std::int32_t> known, std::int64_t count,
                            Picoseconds start) {
  Drafts drafts{{}, {}, start, Picoseconds(0)};
  std::vector<std::int32_t> text(known.begin(), known.end());
  const auto computed = static_cast<std::int64_t>(known.size()) - 1;  // positions of the model
  for (std::int64_t i = 0; i < count; ++i) {
    const auto last = static_cast<std::int64_t>(modules_.size()) - 1;
    Module& module = modules_[index_of(std::min(i, last))];
    const bool is_again = i > last;
    const std::int64_t first = is_again ? computed + i - last - 1 : module.computed;
    const std::int64_t end = is_again ? first + 1 : computed;
    // Its own state is of the position before, that of the draft which this one follows.
    const auto given = std::span(hidden_[index_of(is_again ? last + 1 : i)])
                           .subspan(index_of(is_again ? first - 1 : first));
    const std::int64_t ahead = std::min(i, last) + 1;
    const auto from = text.begin() + first + ahead;
    const std::vector<std::int32_t> tokens(from, from + (end - first));
    choice_.choose(run(module, given, first, tokens, drafts), drafts);
    // Behind these positions stand drafts: they are computed again when the text is known.
    if (!is_again) module.computed = std::max<std::int64_t>(0, computed - i);
    text.push_back(drafts.tokens.back());
  }
  return drafts;
}

}  // namespace tandem
