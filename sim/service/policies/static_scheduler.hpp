// Static batching: what engines did before continuous batching, as a yardstick.
#pragma once

#include "sim/service/batch_scheduler.hpp"

namespace tandem {

/// Contract: requests that wait when nothing runs make a batch, as many as there are sequences and
/// room for prompts and whole answers. Their prompts are computed first, then all decode together;
/// nothing joins them before the last one is done.
class StaticScheduler final : public BatchScheduler {
 public:
  using BatchScheduler::BatchScheduler;

 private:
  void plan(ScheduledStep& step) override;
  void form_batch();
};

}  // namespace tandem
