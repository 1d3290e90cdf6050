#include "models/catalog/catalog.hpp"

#include "models/gpu/chip_model.hpp"
#include "models/link/system_network.hpp"
#include "models/lpu/chip_model.hpp"

namespace tandem {

Catalogue chip_catalogue() {
  return {gpu::gpu_entry(), lpu::lpu_entry()};
}

NetworkFactory network_factory() {
  return link::make_network;
}

}  // namespace tandem
