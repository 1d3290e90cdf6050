// What drafts on the chips that verify: a smaller network, or the model's own modules of
// multi-token prediction. Real numbers and time from the same passes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sim/step/functional_pool.hpp"
#include "sim/step/verification.hpp"

namespace tandem {

/// Contract: use() comes first; draft() is called once per round, with all tokens known by then;
/// the model has computed all of them but the last. Pools must outlive the drafter.
class Drafter {
 public:
  virtual ~Drafter() = default;
  /// Goes on with these pools, one per network, which hold what the ones before them held.
  virtual void use(std::vector<FunctionalPool*> pools) = 0;
  /// Computes all of `known` that it will ever need before the next token, without drafting.
  virtual Drafts keep_up(std::span<const std::int32_t> known, Picoseconds start) = 0;
  /// Of the tokens that the model has computed last, `first` and those behind it: the hidden states
  /// [tokens, hidden] that it handed on.
  virtual void learn(std::int64_t first, const Tensor& hidden) = 0;
  /// Drafts of what follows `known`, `count` deep or less; passes begin at `start`.
  virtual Drafts draft(std::span<const std::int32_t> known, std::int64_t count,
                       Picoseconds start) = 0;
};

/// A network of its own, which reads the text as the model does.
class ModelDrafter final : public Drafter {
 public:
  /// `tree`: candidates that follow each draft, by depth; empty: a chain.
  ModelDrafter(std::vector<std::int64_t> tree, const GenerateOptions& options)
      : tree_(std::move(tree)), choice_(options) {}
  void use(std::vector<FunctionalPool*> pools) override { pool_ = pools.front(); }
  Drafts keep_up(std::span<const std::int32_t> known, Picoseconds start) override;
  void learn(std::int64_t, const Tensor&) override {}
  Drafts draft(std::span<const std::int32_t> known, std::int64_t count, Picoseconds start) override;

 private:
  void grow_tree(std::span<const float> logits, std::int64_t depth, Drafts& drafts);

  FunctionalPool* pool_ = nullptr;
  std::vector<std::int64_t> tree_;
  DraftChoice choice_;
  std::vector<std::int32_t> computed_;  ///< tokens whose KV the pool holds
};

/// Modules of multi-token prediction. Module m goes on from the hidden states of the one before it
/// (the first from the model's) and the token m + 1 places behind each; draft i is module i's, and
/// the last module's again and again, from its own hidden states, where there are fewer. A tree is
/// grown by one module: each draft goes on from the hidden state of the one that it follows.
class ModuleDrafter final : public Drafter {
 public:
  /// `tree` as of ModelDrafter; of one module.
  ModuleDrafter(std::size_t modules, std::vector<std::int64_t> tree, const GenerateOptions& options)
      : modules_(modules), tree_(std::move(tree)), choice_(options), hidden_(modules + 1) {}
  void use(std::vector<FunctionalPool*> pools) override;
  Drafts keep_up(std::span<const std::int32_t> known, Picoseconds start) override;
  void learn(std::int64_t first, const Tensor& hidden) override;
  Drafts draft(std::span<const std::int32_t> known, std::int64_t count, Picoseconds start) override;

 private:
  struct Module {
    FunctionalPool* pool = nullptr;
    std::int64_t computed = 0;  ///< positions whose KV stands for tokens of the text
  };
  std::vector<float> run(Module& module, std::span<const std::vector<float>> given,
                         std::int64_t first, std::span<const std::int32_t> tokens, Drafts& drafts);
  void store(std::size_t source, std::int64_t first, const Tensor& hidden);
  void grow_tree(std::span<const float> logits, std::int64_t computed, std::int64_t depth,
                 Drafts& drafts);

  std::vector<Module> modules_;
  std::vector<std::int64_t> tree_;
  DraftChoice choice_;
  /// Hidden states by position: the model's, then those of each module.
  std::vector<std::vector<std::vector<float>>> hidden_;
};

/// Drafts from the text itself: what followed the last tokens where they stood before.
class LookupDrafter final : public Drafter {
 public:
  explicit LookupDrafter(const PromptLookup& lookup) : lookup_(lookup) {}
  void use(std::vector<FunctionalPool*>) override {}
  Drafts keep_up(std::span<const std::int32_t>, Picoseconds start) override {
    return {{}, {}, start, Picoseconds(0)};
  }
  void learn(std::int64_t, const Tensor&) override {}
  Drafts draft(std::span<const std::int32_t> known, std::int64_t count, Picoseconds start) override;

 private:
  PromptLookup lookup_;
};

}  // namespace tandem
