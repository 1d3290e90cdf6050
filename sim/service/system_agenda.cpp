#include "sim/service/system_agenda.hpp"

#include <functional>
#include <queue>
#include <unordered_map>
#include <vector>

#include "sim/core/calendar_queue.hpp"
#include "sim/kernel/module.hpp"

namespace tandem {

class SystemAgenda::Impl {
 public:
  /// The module of one component.
  class Shell final : public Module {
   public:
    Shell(Impl& agenda, Component& component, const std::string& name)
        : Module(agenda.session_, name.c_str()), agenda_(agenda), component_(component) {}
    void wish(Picoseconds time, Phase phase) {
      wake_at(time);
      times_.push(time);
      agenda_.wishes_.push(time, phase, this);
    }

   private:
    // Acts as long as it is this component's turn. Where another module's event of this instant
    // comes first, this one asks to be called again after it.
    void on_wake() override {
      CalendarQueue<Shell*>& wishes = agenda_.wishes_;
      while (!wishes.empty() && wishes.front().event == this && wishes.next_time() == now()) {
        const Phase phase = wishes.pop().phase();
        times_.pop();
        if (agenda_.poll_) agenda_.poll_();
        component_.act(now(), phase);
      }
      if (!times_.empty() && times_.top() == now()) wake_at(now());
    }

    Impl& agenda_;
    Component& component_;
    /// Of this component's wishes.
    std::priority_queue<Picoseconds, std::vector<Picoseconds>, std::greater<>> times_;
  };

  Session session_;
  std::function<void()> poll_;
  CalendarQueue<Shell*> wishes_;
  std::unordered_map<const Component*, std::unique_ptr<Shell>> shells_;
};

SystemAgenda::SystemAgenda() : impl_(std::make_unique<Impl>()) {}
SystemAgenda::~SystemAgenda() = default;

void SystemAgenda::add(Component& component, const std::string& name) {
  impl_->shells_[&component] = std::make_unique<Impl::Shell>(*impl_, component, name);
}

void SystemAgenda::wake(Component& component, Picoseconds time, Phase phase) {
  impl_->shells_.at(&component)->wish(time, phase);
}

void SystemAgenda::run(const std::function<void()>& poll) {
  impl_->poll_ = poll;
  impl_->session_.run();
}

}  // namespace tandem
