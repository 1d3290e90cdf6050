// The SystemC agenda wakes components exactly as the plain calendar does.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/service/system_agenda.hpp"

namespace tandem {
namespace {

using namespace literals;

/// Notes every act; on its first one makes wishes for itself and for a partner.
class Noter final : public Component {
 public:
  Noter(Agenda& agenda, std::string name, std::vector<std::string>& log)
      : agenda_(agenda), name_(std::move(name)), log_(log) {}
  Noter* partner = nullptr;
  void act(Picoseconds now, Phase phase) override {
    log_.push_back(name_ + std::to_string(now.count()) + "/" +
                   std::to_string(static_cast<int>(phase)));
    if (is_started_) return;
    is_started_ = true;
    agenda_.wake(*this, now, Phase::Issue);
    agenda_.wake(*partner, now, Phase::Complete);
    agenda_.wake(*this, now + 5_ps, Phase::Issue);
    agenda_.wake(*partner, now + 5_ps, Phase::Release);
  }

 private:
  Agenda& agenda_;
  std::string name_;
  std::vector<std::string>& log_;
  bool is_started_ = false;
};

template <class SomeAgenda, class Prepare>
std::vector<std::string> log_of(Prepare prepare) {
  std::vector<std::string> log;
  SomeAgenda agenda;
  Noter a(agenda, "a", log);
  Noter b(agenda, "b", log);
  a.partner = &b;
  b.partner = &a;
  prepare(agenda, a, b);
  agenda.wake(b, 7_ps, Phase::Issue);
  agenda.wake(a, 3_ps, Phase::Release);
  agenda.run();
  return log;
}

TEST(SystemAgenda, ActsInTheOrderOfTimePhaseAndWish) {
  const auto plain = log_of<CalendarAgenda>([](auto&, auto&, auto&) {});
  const auto system = log_of<SystemAgenda>([](SystemAgenda& agenda, Noter& a, Noter& b) {
    agenda.add(b, "b");
    agenda.add(a, "a");
  });
  EXPECT_EQ(system, plain);
  // a starts at 3: its own Issue waits for b's Complete of the same instant, which starts b.
  ASSERT_GE(plain.size(), 3u);
  EXPECT_EQ(plain[0], "a3/1");
  EXPECT_EQ(plain[1], "b3/0");
  EXPECT_EQ(plain[2], "a3/0");
}

class Thrower final : public Component {
 public:
  void act(Picoseconds, Phase) override { throw ModelError("from inside"); }
};

TEST(SystemAgenda, WhatAComponentThrowsComesOut) {
  for (int round = 0; round < 2; ++round) {
    SystemAgenda agenda;
    Thrower thrower;
    agenda.add(thrower, "thrower");
    agenda.wake(thrower, 1_ns, Phase::Issue);
    EXPECT_THROW(agenda.run(), ModelError);
  }
}

}  // namespace
}  // namespace tandem
