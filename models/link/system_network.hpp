// The network of a described system behind the interface by which the engine knows links.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/link/busy_periods.hpp"
#include "sim/lower/network_model.hpp"

namespace tandem::link {

/// What networks of systems remember, by what they are wired like: a memory that is full makes way
/// for an empty one. For networks of one thread.
class PeriodMemories {
 public:
  [[nodiscard]] std::shared_ptr<PeriodMemory> of(const Topology& topology);

 private:
  std::map<std::uint64_t, std::shared_ptr<PeriodMemory>> memories_;
};

/// The network of a system: its topology by make_topology(), chips addressed by pool and index.
/// Wired when first asked: many owners never send anything. What is asked then throws ModelError
/// when the system cannot be wired.
class SystemNetwork : public NetworkModel {
 public:
  /// `memories`: of other networks; null begins anew.
  explicit SystemNetwork(const System& system, std::shared_ptr<PeriodMemories> memories = nullptr);
  MessageId send(Picoseconds at, const ChipAddress& from, const ChipAddress& to, Bytes size,
                 Payload payload) override;
  [[nodiscard]] std::optional<Picoseconds> next_delivery() override;
  Delivery pop_delivery() override;
  [[nodiscard]] Picoseconds floor(const ChipAddress& from, const ChipAddress& to,
                                  Bytes size) const override;
  [[nodiscard]] std::vector<std::string> path(const ChipAddress& from,
                                              const ChipAddress& to) const override;
  [[nodiscard]] std::map<std::string, LinkUse> usage() const override;

 private:
  [[nodiscard]] RememberingNetwork& wired() const;
  [[nodiscard]] const Network& still() const { return wired().network(); }

  System system_;
  std::shared_ptr<PeriodMemories> memories_;
  mutable std::unique_ptr<RememberingNetwork> network_;
  mutable std::vector<std::string> classes_;   ///< of links, each once
  mutable std::vector<std::size_t> class_of_;  ///< by link
};

/// Makes SystemNetworks that share what they remember; the NetworkFactory of the engine.
[[nodiscard]] std::function<std::unique_ptr<NetworkModel>(const System&)> network_maker();

}  // namespace tandem::link
