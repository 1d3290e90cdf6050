// Do blocks of evicted tokens go back to the scheduler?
#include <gtest/gtest.h>

#include "sim/service/batch_scheduler.hpp"

namespace tandem {
namespace {

TEST(EvictionService, BlocksAreThoseOfKeptAndNewTokens) {
  Request request;
  request.prompt = 100;
  request.output = 4;
  Serving serving;
  serving.max_batch_tokens = 40;
  serving.max_sequences = 4;
  serving.kv_block_tokens = 16;
  serving.eviction = {EvictionPolicy::StreamingLlm, 32, 4};
  const auto owned = make_scheduler(serving, 5);
  BatchScheduler& scheduler = *owned;
  scheduler.add(request, false);
  // 40 new; 32 kept + 40 = 72; 32 + 20 = 52; then 32 + 1: in blocks of 16.
  for (const std::int64_t blocks : {3, 5, 4, 3}) {
    const ScheduledStep step = scheduler.schedule();
    ASSERT_EQ(step.batch.slices.size(), 1U);
    EXPECT_EQ(scheduler.kv().used(), blocks);
    if (BatchScheduler::complete(*step.sequences[0], step.batch.slices[0])) ++request.generated;
  }
  EXPECT_EQ(scheduler.kv().peak(), 5);
  scheduler.finish(request);
  EXPECT_EQ(scheduler.kv().used(), 0);
}

}  // namespace
}  // namespace tandem
