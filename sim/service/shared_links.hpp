// The links of a system where the transfers of several models share them.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/lower/network_model.hpp"
#include "sim/service/component.hpp"
#include "sim/service/delivery_alarm.hpp"

namespace tandem {

class SharedLinks;

/// What one of several users of a network sees of it: its own messages, slowed down by the others.
class LinkView final : public NetworkModel {
 public:
  explicit LinkView(SharedLinks& links) : links_(links) {}
  /// Who is woken when something arrives.
  void connect(Component& owner) { owner_ = &owner; }
  MessageId send(Picoseconds at, const ChipAddress& from, const ChipAddress& to, Bytes size,
                 Payload payload) override;
  /// Of those that have arrived: the owner is woken for each.
  [[nodiscard]] std::optional<Picoseconds> next_delivery() override;
  Delivery pop_delivery() override;
  [[nodiscard]] Picoseconds floor(const ChipAddress& from, const ChipAddress& to,
                                  Bytes size) const override;
  [[nodiscard]] std::vector<std::string> path(const ChipAddress& from,
                                              const ChipAddress& to) const override;
  /// Bytes of its own messages, times the links that each crosses; no times.
  [[nodiscard]] std::map<std::string, LinkUse> usage() const override { return own_; }

 private:
  friend class SharedLinks;
  SharedLinks& links_;
  Component* owner_ = nullptr;
  std::deque<Delivery> arrived_;
  std::map<std::string, LinkUse> own_;
};

/// One network under several users: takes what arrives and hands it to whom it belongs.
///
/// Contract: views are no longer used once it is gone.
class SharedLinks final : public Component {
 public:
  SharedLinks(std::unique_ptr<NetworkModel> network, Agenda& agenda)
      : network_(std::move(network)), agenda_(agenda), alarm_(agenda, *this) {}
  [[nodiscard]] std::unique_ptr<LinkView> open() { return std::make_unique<LinkView>(*this); }
  void act(Picoseconds now, Phase phase) override;
  /// Of all users together.
  [[nodiscard]] std::map<std::string, LinkUse> usage() const { return network_->usage(); }

 private:
  friend class LinkView;
  std::unique_ptr<NetworkModel> network_;
  Agenda& agenda_;
  DeliveryAlarm alarm_;
  std::map<NetworkModel::MessageId, LinkView*> sender_of_;  ///< messages under way
};

}  // namespace tandem
