// The network of a described system behind the interface by which the engine knows links.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/link/network.hpp"
#include "sim/lower/network_model.hpp"

namespace tandem::link {

/// The network of a system: its topology by make_topology(), chips addressed by pool and index.
/// Wired when first asked: many owners never send anything. What is asked then throws ModelError
/// when the system cannot be wired.
class SystemNetwork : public NetworkModel {
 public:
  explicit SystemNetwork(const System& system, NetworkOptions options = {});
  MessageId send(Picoseconds at, const ChipAddress& from, const ChipAddress& to, Bytes size,
                 Payload payload) override;
  [[nodiscard]] std::optional<Picoseconds> next_delivery() override;
  Delivery pop_delivery() override;
  [[nodiscard]] Picoseconds floor(const ChipAddress& from, const ChipAddress& to,
                                  Bytes size) const override;
  [[nodiscard]] std::vector<std::string> path(const ChipAddress& from,
                                              const ChipAddress& to) const override;
  [[nodiscard]] std::map<std::string, LinkUse> usage() const override;
  [[nodiscard]] const Network& network() const { return wired(); }

 private:
  [[nodiscard]] Network& wired() const;

  System system_;
  NetworkOptions options_;
  mutable std::unique_ptr<Network> network_;
  mutable std::vector<std::string> classes_;   ///< of links, each once
  mutable std::vector<std::size_t> class_of_;  ///< by link
};

/// Makes a SystemNetwork; the NetworkFactory of the engine.
[[nodiscard]] std::unique_ptr<NetworkModel> make_network(const System& system);

}  // namespace tandem::link
