// The agenda of real runs: SystemC moves time, one module per component. Shows nothing of SystemC.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "sim/service/component.hpp"

namespace tandem {

/// Every component acts in the process of its own module, at the exact times it asked for. Within
/// one instant the modules take turns in the total order (phase, order of the wishes), so a run
/// equals one on a CalendarAgenda event by event.
///
/// Contract: components are added before run(), which may be called once.
class SystemAgenda final : public Agenda {
 public:
  /// Takes SystemC for this run: blocks while another thread has it.
  SystemAgenda();
  ~SystemAgenda() override;
  void add(Component& component, const std::string& name);
  void wake(Component& component, Picoseconds time, Phase phase) override;
  /// Runs until nobody has a wish; calls `poll`, if there is one, before every action. What
  /// components and `poll` throw comes out.
  void run(const std::function<void()>& poll = {});

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem
