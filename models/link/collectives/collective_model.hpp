// Collectives of a described system behind the interface by which the engine knows them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "models/link/collectives/candidates.hpp"
#include "sim/lower/collective.hpp"

namespace tandem::link {

/// Times every algorithm that may run and takes the fastest, as libraries' tuners do. Equal
/// questions are answered from memory.
class SystemCollectives : public CollectiveModel {
 public:
  explicit SystemCollectives(const System& system) : system_(system) {}
  [[nodiscard]] CollectiveCost cost(const std::vector<ChipAddress>& ranks,
                                    const Collective& collective) override;
  [[nodiscard]] Picoseconds floor(const std::vector<ChipAddress>& ranks,
                                  const Collective& collective) override;
  [[nodiscard]] std::vector<Tensor> exchange(const std::vector<ChipAddress>& ranks,
                                             const Collective& collective,
                                             const std::vector<Tensor>& inputs) override;

 private:
  struct Choice {
    CollectiveCost cost;
    std::size_t candidate = 0;
  };
  const Fabric& fabric_of(const std::vector<ChipAddress>& ranks);
  const Choice& choice_of(const std::vector<ChipAddress>& ranks, const Collective& collective);

  System system_;
  std::map<std::vector<ChipAddress>, std::unique_ptr<Fabric>> fabrics_;
  std::map<std::pair<std::vector<ChipAddress>, std::uint64_t>, Choice> known_;
};

/// Makes a SystemCollectives; what the NetworkFactory of the engine makes.
[[nodiscard]] std::unique_ptr<CollectiveModel> make_collectives(const System& system,
                                                                const Software& software);

}  // namespace tandem::link
