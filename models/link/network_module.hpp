// Hangs a network in a SystemC session. Includes SystemC: only for writers of modules.
#pragma once

#include <map>

#include "models/link/network.hpp"
#include "sim/kernel/module.hpp"

namespace tandem::link {

/// The module of a network: other modules send through it, and what arrives is in the receiver's
/// mailbox at its exact time. Deliveries to a node that nobody receives for are an error.
class NetworkModule : public Module {
 public:
  /// `network` must outlive the module.
  NetworkModule(Session& session, sc_core::sc_module_name name, Network& network);
  /// Deliveries to `node` go to `mailbox`, which must outlive the run.
  void attach(NodeId node, Mailbox<Delivery>& mailbox);
  /// Sends at the present time.
  MessageId send(NodeId from, NodeId to, Bytes size, Payload payload = nullptr);

 private:
  void on_wake() override;

  Network& network_;
  std::map<NodeId, Mailbox<Delivery>*> mailboxes_;
};

}  // namespace tandem::link
