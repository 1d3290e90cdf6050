// The interface through which the engine knows links and switches. Implemented in models/link.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/describe/scenario.hpp"

namespace tandem {

/// A chip of a system: pool name and index within the pool.
struct ChipAddress {
  std::string pool;
  std::int64_t index = 0;
  auto operator<=>(const ChipAddress&) const = default;
};

/// What the links of one class did, for the `links` key of a result.
struct LinkUse {
  Bytes bytes;                  ///< payload carried, summed over the links of the class
  Picoseconds busy;             ///< time the busiest link of the class was serialising
  std::int64_t peak_queue = 0;  ///< most messages waiting at one link
};

/// Moves messages between chips over a system's links, with serialisation, latency and contention.
///
/// Contract:
///  - sends come in the order of their times; a delivery is never earlier than floor() after its
///    send; deliveries pop in (time, id) order.
///  - the payload delivered is the payload sent, byte for byte; a null payload is timing only.
class NetworkModel {
 public:
  using MessageId = std::int64_t;
  using Payload = std::shared_ptr<const std::vector<std::byte>>;
  struct Delivery {
    MessageId id = 0;
    Picoseconds time;
    Payload payload;
  };
  virtual ~NetworkModel() = default;
  virtual MessageId send(Picoseconds at, const ChipAddress& from, const ChipAddress& to, Bytes size,
                         Payload payload) = 0;
  /// Time of the next delivery, given the sends so far; none when nothing is under way.
  [[nodiscard]] virtual std::optional<Picoseconds> next_delivery() = 0;
  virtual Delivery pop_delivery() = 0;
  /// Smallest possible time from send to delivery, computed apart from the simulation.
  [[nodiscard]] virtual Picoseconds floor(const ChipAddress& from, const ChipAddress& to,
                                          Bytes size) const = 0;
  /// Link classes of one of the shortest ways between two chips.
  [[nodiscard]] virtual std::vector<std::string> path(const ChipAddress& from,
                                                      const ChipAddress& to) const = 0;
  [[nodiscard]] virtual std::map<std::string, LinkUse> usage() const = 0;
};

class CollectiveModel;

/// Makes the network of a system and what runs collectives on it; handed to the engine by
/// sim/entry, as the catalogue is.
class NetworkFactory {
 public:
  using Collectives =
      std::function<std::unique_ptr<CollectiveModel>(const System&, const Software&)>;
  template <std::invocable<const System&> Make>
  NetworkFactory(Make make, Collectives collectives = nullptr)  // NOLINT: a function is a factory
      : make_(std::move(make)), collectives_(std::move(collectives)) {}
  [[nodiscard]] std::unique_ptr<NetworkModel> operator()(const System& system) const {
    return make_(system);
  }
  [[nodiscard]] bool has_collectives() const { return collectives_ != nullptr; }
  /// Throws ModelError where the factory has none.
  [[nodiscard]] std::unique_ptr<CollectiveModel> collectives(const System& system,
                                                             const Software& software) const;

 private:
  std::function<std::unique_ptr<NetworkModel>(const System&)> make_;
  Collectives collectives_;
};

}  // namespace tandem
