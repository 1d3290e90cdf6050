#include "sim/step/drafter.hpp"

#include <algorithm>

#include "sim/core/integers.hpp"
#include "sim/numerics/ops/prompt_lookup.hpp"

namespace tandem {
namespace {

/// [rows, width], one vector each.
std::vector<std::vector<float>> rows_of(const Tensor& tensor) {
  const std::int64_t width = tensor.dim(1);
  std::vector<std::vector<float>> rows;
  for (std::int64_t row = 0; row < tensor.dim(0); ++row) {
    rows.emplace_back(index_of(width));
    for (std::int64_t i = 0; i < width; ++i)
      rows.back()[index_of(i)] = tensor.load(row * width + i);
  }
  return rows;
}

Tensor tensor_of(std::span<const std::vector<float>> rows) {
  const auto width = static_cast<std::int64_t>(rows.front().size());
  Tensor tensor(ElementType::Float32, {static_cast<std::int64_t>(rows.size()), width});
  auto to = tensor.floats().begin();
  for (const std::vector<float>& row : rows) to = std::ranges::copy(row, to).out;
  return tensor;
}

/// The drafts from `begin` on as a pass over a tree behind `root` tokens.
struct TreePass {
  TreePass(const Drafts& drafts, std::int64_t begin, std::int64_t behind)
      : tokens(drafts.tokens.begin() + begin, drafts.tokens.end()),
        context(behind + begin),
        tree{behind, drafts.parents} {}
  std::vector<std::int32_t> tokens;
  std::int64_t context;
  TokenTree tree;
};

}  // namespace

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
    if (!tree_.empty()) {
      grow_tree(pass.logits, count, drafts);
      break;
    }
    choice_.choose(pass.logits, drafts);
    fed = {drafts.tokens.back()};
  }
  return drafts;
}

/// Depth by depth, one pass each over all drafts of the depth before.
void ModelDrafter::grow_tree(std::span<const float> logits, std::int64_t depth, Drafts& drafts) {
  choice_.choose(logits, tree_.front(), -1, drafts);
  std::int64_t begin = 0;
  for (std::int64_t level = 1; level < depth; ++level) {
    const std::int64_t end = drafts.count();
    TreePass next(drafts, begin, static_cast<std::int64_t>(computed_.size()));
    const PoolPass pass = pool_->run(next.tokens, next.context, drafts.end, end - begin - 1, {},
                                     std::move(next.tree));
    drafts.end = pass.end;
    drafts.floor += pass.floor;
    for (std::int64_t node = begin; node < end; ++node) {
      choice_.choose(pass.rows[index_of(node - begin)], tree_[index_of(level)], node, drafts);
    }
    begin = end;
  }
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
  auto& rows = hidden_[source];
  rows.resize(index_of(first));
  for (std::vector<float>& row : rows_of(hidden)) rows.push_back(std::move(row));
}

void ModuleDrafter::learn(std::int64_t first, const Tensor& hidden) {
  store(0, first, hidden);
}

/// One pass of a module from position `first` on over as many tokens and hidden states from `given`
/// on; returns the last one's logits.
std::vector<float> ModuleDrafter::run(Module& module, std::span<const std::vector<float>> given,
                                      std::int64_t first, std::span<const std::int32_t> tokens,
                                      Drafts& drafts) {
  module.pool->keep(first);
  PoolPass pass =
      module.pool->run(tokens, first, drafts.end, 0, tensor_of(given.first(tokens.size())));
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
    const std::vector<float> logits = run(module, given, first, tokens, drafts);
    if (!tree_.empty()) {
      module.computed = computed;
      grow_tree(logits, computed, count, drafts);
      break;
    }
    choice_.choose(logits, drafts);
    // Behind these positions stand drafts: they are computed again when the text is known.
    if (!is_again) module.computed = std::max<std::int64_t>(0, computed - i);
    text.push_back(drafts.tokens.back());
  }
  return drafts;
}

/// As ModelDrafter's, with hidden states: those behind the text for the first drafts, each draft's
/// own for what follows it.
void ModuleDrafter::grow_tree(std::span<const float> logits, std::int64_t computed,
                              std::int64_t depth, Drafts& drafts) {
  choice_.choose(logits, tree_.front(), -1, drafts);
  std::vector<std::vector<float>> behind;  // by draft
  std::int64_t begin = 0;
  for (std::int64_t level = 1; level < depth; ++level) {
    const std::int64_t end = drafts.count();
    TreePass next(drafts, begin, computed);
    std::vector<std::vector<float>> given;
    for (std::int64_t node = begin; node < end; ++node) {
      const std::int64_t parent = drafts.parents[index_of(node)];
      given.push_back(parent < 0 ? hidden_.back()[index_of(computed - 1)]
                                 : behind[index_of(parent)]);
    }
    PoolPass pass =
        modules_.front().pool->run(next.tokens, next.context, drafts.end, end - begin - 1,
                                   tensor_of(given), std::move(next.tree));
    drafts.end = pass.end;
    drafts.floor += pass.floor;
    const std::vector<std::vector<float>> rows = rows_of(pass.hidden);
    behind.insert(behind.end(), rows.begin(), rows.end());
    for (std::int64_t node = begin; node < end; ++node) {
      choice_.choose(pass.rows[index_of(node - begin)], tree_[index_of(level)], node, drafts);
    }
    begin = end;
  }
}

Drafts LookupDrafter::draft(std::span<const std::int32_t> known, std::int64_t count,
                            Picoseconds start) {
  return {ops::look_up(known, lookup_.shortest, lookup_.longest, count), {}, start, Picoseconds(0)};
}

}  // namespace tandem
