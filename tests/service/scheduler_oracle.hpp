// Steps of the schedulers, worked out by hand from the engines' rules. A step is written as the
// requests in it with their tokens ("0+8 1+2"), behind them "!1" for a preempted request and "&1"
// for one that got room for KV to come.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <deque>

#include "sim/service/batch_scheduler.hpp"

namespace tandem::oracle {

struct Arrival {
  int step = 1;
  std::int64_t prompt = 0;
  std::int64_t output = 1;
  std::vector<SharedPart> shared = {};
  std::int64_t priority = 0;
  bool comes_with_kv = false;
};

/// Plays requests through a scheduler until all are answered; ids are the order of arrival.
class Play {
 public:
  Play(const Serving& serving, std::int64_t blocks, std::vector<Arrival> arrivals)
      : scheduler_(make_scheduler(serving, blocks)), arrivals_(std::move(arrivals)) {}

  std::vector<std::string> steps() {
    std::vector<std::string> texts;
    while (answered_ < arrivals_.size() && texts.size() < 40) {
      deliver(static_cast<int>(texts.size()) + 1);
      texts.push_back(one_step());
    }
    if (answered_ == arrivals_.size()) {
      EXPECT_EQ(scheduler_->kv().used(), 0) << "blocks are left behind";
    }
    return texts;
  }

 private:
  void deliver(int step) {
    for (Request* request : inbound_) scheduler_->arrive(*request);
    inbound_.clear();
    for (; requests_.size() < arrivals_.size(); scheduler_->add(requests_.back(), with_kv())) {
      const Arrival& next = arrivals_[requests_.size()];
      if (next.step > step) return;
      Request request;
      request.id = static_cast<std::int64_t>(requests_.size());
      request.arrival = Picoseconds(next.step);
      request.prompt = next.prompt;
      request.output = next.output;
      request.shared = next.shared;
      request.priority = next.priority;
      request.generated = next.comes_with_kv ? 1 : 0;
      requests_.push_back(request);
    }
  }

  [[nodiscard]] bool with_kv() const { return arrivals_[requests_.size() - 1].comes_with_kv; }

  std::string one_step() {
    const ScheduledStep step = scheduler_->schedule();
    std::string text;
    const auto add = [&](const std::string& word) { text += (text.empty() ? "" : " ") + word; };
    for (std::size_t i = 0; i < step.sequences.size(); ++i) {
      add(fmt::format("{}+{}", step.sequences[i]->request->id, step.batch.slices[i].new_tokens));
    }
    for (const Request* request : step.preempted) add(fmt::format("!{}", request->id));
    for (Request* request : step.reserved) {
      add(fmt::format("&{}", request->id));
      inbound_.push_back(request);
    }
    for (std::size_t i = 0; i < step.sequences.size(); ++i) {
      Request& request = *step.sequences[i]->request;
      if (!BatchScheduler::complete(*step.sequences[i], step.batch.slices[i])) continue;
      ++request.generated;
      if (!request.is_done()) continue;
      scheduler_->finish(request);
      ++answered_;
    }
    return text;
  }

  std::unique_ptr<BatchScheduler> scheduler_;
  std::vector<Arrival> arrivals_;
  std::deque<Request> requests_;
  std::vector<Request*> inbound_;
  std::size_t answered_ = 0;
};

using Steps = std::vector<std::string>;

/// vLLM with blocks of four tokens.
inline Serving vllm(std::int64_t tokens = 100) {
  Serving serving;
  serving.max_batch_tokens = tokens;
  serving.max_sequences = 16;
  serving.kv_block_tokens = 4;
  return serving;
}

inline Serving without_cache(Serving serving) {
  serving.prefix_cache = false;
  return serving;
}

/// SGLang with pages of one token.
inline Serving sglang(std::int64_t chunk = 100, double conservativeness = 1) {
  Serving serving = vllm(chunk);
  serving.policy = "sglang";
  serving.kv_block_tokens = 1;
  serving.conservativeness = conservativeness;
  return serving;
}

inline Steps play(const Serving& serving, std::int64_t blocks, std::vector<Arrival> arrivals) {
  return Play(serving, blocks, std::move(arrivals)).steps();
}

}  // namespace tandem::oracle
