#include "sim/service/system_agenda.hpp"

#include <map>
#include <tuple>

#include "sim/kernel/module.hpp"

namespace tandem {

class SystemAgenda::Impl {
 public:
  /// The module of one component.
  class Shell final : public Module {
   public:
    Shell(Impl& agenda, Component& component, const std::string& name)
        : Module(agenda.session_, name.c_str()), agenda_(agenda), component_(component) {}

   private:
    // Acts as long as it is this component's turn. Where another module's event of this instant
    // comes first, this one asks to be called again after it.
    void on_wake() override {
      while (agenda_.is_next(component_, now())) {
        const Phase phase = std::get<1>(agenda_.wishes_.begin()->first);
        agenda_.wishes_.erase(agenda_.wishes_.begin());
        agenda_.forget(component_, now());
        if (agenda_.poll_) agenda_.poll_();
        component_.act(now(), phase);
      }
      if (agenda_.pending_[&component_].contains(now())) wake_at(now());
    }

    Impl& agenda_;
    Component& component_;
  };

  [[nodiscard]] bool is_next(const Component& component, Picoseconds now) const {
    return !wishes_.empty() && std::get<0>(wishes_.begin()->first) == now &&
           wishes_.begin()->second == &component;
  }
  void forget(Component& component, Picoseconds now) {
    auto& wishes = pending_[&component];
    const auto found = wishes.find(now);
    if (--found->second == 0) wishes.erase(found);
  }

  Session session_;
  std::function<void()> poll_;
  /// (time, phase, order of the wish) -> component.
  std::map<std::tuple<Picoseconds, Phase, std::uint64_t>, Component*> wishes_;
  std::uint64_t next_wish_ = 0;
  /// Number of wishes by time; never iterated.
  std::map<const Component*, std::map<Picoseconds, int>> pending_;
  std::map<const Component*, std::unique_ptr<Shell>> shells_;
};

SystemAgenda::SystemAgenda() : impl_(std::make_unique<Impl>()) {}
SystemAgenda::~SystemAgenda() = default;

void SystemAgenda::add(Component& component, const std::string& name) {
  impl_->shells_[&component] = std::make_unique<Impl::Shell>(*impl_, component, name);
}

void SystemAgenda::wake(Component& component, Picoseconds time, Phase phase) {
  impl_->wishes_.emplace(std::make_tuple(time, phase, impl_->next_wish_++), &component);
  ++impl_->pending_[&component][time];
  impl_->shells_.at(&component)->wake_at(time);
}

void SystemAgenda::run(const std::function<void()>& poll) {
  impl_->poll_ = poll;
  impl_->session_.run();
}

}  // namespace tandem
