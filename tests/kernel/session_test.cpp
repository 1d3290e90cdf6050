// Sessions one after another, after failures, and from two threads; modules and mailboxes.
#include "sim/kernel/session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>
#include <vector>

#include "sim/kernel/module.hpp"
#include "sim/kernel/time.hpp"

namespace tandem {
namespace {

using namespace tandem::literals;
using testing::ElementsAre;

/// Notes what it receives and when; a negative value makes it throw.
class Recorder : public Module {
 public:
  Recorder(Session& session, const char* name) : Module(session, name), inbox(*this) {}
  std::vector<std::pair<Picoseconds, int>> seen;
  std::vector<Picoseconds> wakes;
  Mailbox<int> inbox;

 private:
  void on_wake() override {
    wakes.push_back(now());
    while (const auto value = inbox.take(now())) {
      if (*value < 0) throw ModelError("recorder: negative value");
      seen.emplace_back(now(), *value);
    }
  }
};

/// Sends n, n-1, ... to a peer, each `period` after the last.
class Sender : public Module {
 public:
  Sender(Session& session, Recorder& peer, int count)
      : Module(session, "sender"), peer_(peer), left_(count) {
    wake_at(0_ps);
  }

 private:
  void on_wake() override {
    peer_.inbox.post(now() + 350_ns, left_);
    if (--left_ > 0) wake_at(now() + 7_ps);
  }
  Recorder& peer_;
  int left_;
};

std::vector<std::pair<Picoseconds, int>> run_once(int count) {
  Session session;
  Recorder recorder(session, "recorder");
  Sender sender(session, recorder, count);
  session.run();
  return recorder.seen;
}

TEST(Time, ConvertsExactly) {
  Session session;
  for (const std::int64_t ps : {0L, 1L, 999L, 1'000'001L, 9'000'000'000'000'001L}) {
    EXPECT_EQ(from_sc_time(to_sc_time(Picoseconds(ps))).count(), ps);
  }
  EXPECT_EQ(to_sc_time(350_ns), sc_core::sc_time(350, sc_core::SC_NS));
}

TEST(Mailbox, DeliversAtExactTimesInOrderOfTimeThenPosting) {
  Session session;
  Recorder recorder(session, "recorder");
  recorder.inbox.post(20_ps, 1);
  recorder.inbox.post(10_ps, 2);
  recorder.inbox.post(20_ps, 3);
  recorder.inbox.post(10_ps, 4);
  session.run();
  using Seen = std::pair<Picoseconds, int>;
  EXPECT_THAT(recorder.seen,
              ElementsAre(Seen(10_ps, 2), Seen(10_ps, 4), Seen(20_ps, 1), Seen(20_ps, 3)));
  EXPECT_THAT(recorder.wakes, ElementsAre(10_ps, 20_ps));
}

TEST(Module, CannotWakeInThePast) {
  Session session;
  Recorder recorder(session, "recorder");
  session.run_until(5_ns);
  EXPECT_EQ(session.now(), 5_ns);
  EXPECT_THROW(recorder.wake_at(4_ns), ModelError);
}

TEST(Module, TwoOfOneNameAreAnError) {
  Session session;
  Recorder first(session, "recorder");
  EXPECT_THROW(Recorder(session, "recorder"), ModelError);
}

TEST(Session, ChainOfMessagesTakesTheTimeItShould) {
  // Sent at 0, 7 and 14 ps, each 350 ns under way.
  using Seen = std::pair<Picoseconds, int>;
  EXPECT_THAT(run_once(3), ElementsAre(Seen(350000_ps, 3), Seen(350007_ps, 2), Seen(350014_ps, 1)));
}

std::int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t total = 0;
  std::int64_t resident = 0;
  statm >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

TEST(Session, TwoHundredRunsAreEqualAndDoNotGrow) {
  const auto expected = run_once(50);
  for (int i = 0; i < 20; ++i) run_once(50);  // allocators warm up
  const std::int64_t before = resident_bytes();
  for (int i = 0; i < 200; ++i) ASSERT_EQ(run_once(50), expected) << "run " << i;
  // A context takes about 50 kB; 200 that leak would be 10 MB.
  EXPECT_LT(resident_bytes() - before, 1 << 20);
}

TEST(Session, FailedRunThrowsItsOwnErrorAndDoesNotPoisonTheNext) {
  const auto expected = run_once(5);
  {
    Session session;
    Recorder recorder(session, "recorder");
    recorder.inbox.post(10_ps, 1);
    recorder.inbox.post(20_ps, -1);
    recorder.inbox.post(30_ps, 2);
    try {
      session.run();
      ADD_FAILURE() << "did not throw";
    } catch (const ModelError& error) {
      EXPECT_STREQ(error.what(), "recorder: negative value");
    }
    EXPECT_EQ(recorder.seen.size(), 1U);
    EXPECT_THROW(session.run(), ModelError);
  }
  EXPECT_EQ(run_once(5), expected);
}

TEST(Session, SecondOnTheSameThreadIsAnErrorNotADeadlock) {
  Session session;
  EXPECT_THROW(Session(), ModelError);
}

TEST(Session, ThreadsQueueOnTheLock) {
  const auto expected = run_once(50);
  std::atomic<int> equal = 0;
  std::atomic<int> inside = 0;
  std::atomic<bool> overlapped = false;
  const auto work = [&] {
    for (int i = 0; i < 25; ++i) {
      {
        Session session;
        if (++inside > 1) overlapped = true;
        std::this_thread::yield();
        --inside;
      }
      if (run_once(50) == expected) ++equal;
    }
  };
  std::thread first(work);
  std::thread second(work);
  first.join();
  second.join();
  EXPECT_EQ(equal, 50);
  EXPECT_FALSE(overlapped);
}

}  // namespace
}  // namespace tandem
