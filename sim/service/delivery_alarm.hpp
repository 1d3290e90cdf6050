// Wakes a component when something of its network arrives.
#pragma once

#include <optional>

#include "sim/lower/network_model.hpp"
#include "sim/service/component.hpp"

namespace tandem {

/// The next wish of a component that waits for deliveries; more of them would only pile up.
class DeliveryAlarm {
 public:
  DeliveryAlarm(Agenda& agenda, Component& owner) : agenda_(agenda), owner_(owner) {}

  /// Sees to it that the owner acts at the network's next delivery, or at `other` if that is
  /// earlier.
  void set(NetworkModel& network, std::optional<Picoseconds> other = {}) {
    std::optional<Picoseconds> next = network.next_delivery();
    if (other && (!next || *other < *next)) next = other;
    if (!next || (set_for_ && *set_for_ <= *next)) return;
    set_for_ = next;
    agenda_.wake(owner_, *next, Phase::Complete);
  }

  /// The owner acts at `now`.
  void went_off(Picoseconds now) {
    if (set_for_ && *set_for_ <= now) set_for_.reset();
  }

 private:
  Agenda& agenda_;
  Component& owner_;
  std::optional<Picoseconds> set_for_;
};

/// Hands over everything that has arrived by `now`, in the order of its times.
template <class Deliver>
void take_deliveries(NetworkModel& network, Picoseconds now, const Deliver& deliver) {
  while (true) {
    const std::optional<Picoseconds> next = network.next_delivery();
    if (!next || *next > now) return;
    deliver(network.pop_delivery());
  }
}

}  // namespace tandem
