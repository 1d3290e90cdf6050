#include "models/link/network_module.hpp"

namespace tandem::link {

NetworkModule::NetworkModule(Session& session, sc_core::sc_module_name name, Network& network)
    : Module(session, name), network_(network) {}

void NetworkModule::attach(NodeId node, Mailbox<Delivery>& mailbox) {
  mailboxes_[node] = &mailbox;
}

MessageId NetworkModule::send(NodeId from, NodeId to, Bytes size, Payload payload) {
  const MessageId id = network_.send(now(), from, to, size, std::move(payload));
  // The send may change when the next delivery is; a wake that is no longer due finds nothing.
  wake_at(*network_.next_delivery());
  return id;
}

void NetworkModule::on_wake() {
  while (const auto next = network_.next_delivery()) {
    if (*next > now()) {
      wake_at(*next);
      return;
    }
    Delivery delivery = network_.pop_delivery();
    const auto receiver = mailboxes_.find(delivery.to);
    if (receiver == mailboxes_.end()) {
      throw ModelError("network: nobody receives at '" +
                       network_.topology().node(delivery.to).name + "'");
    }
    receiver->second->post(now(), std::move(delivery));
  }
}

}  // namespace tandem::link
