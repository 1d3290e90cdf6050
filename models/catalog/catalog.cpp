#include "models/catalog/catalog.hpp"

#include "models/gpu/chip_model.hpp"
#include "models/gpu/shared_constants.hpp"
#include "models/link/collectives/collective_model.hpp"
#include "models/link/system_network.hpp"
#include "models/lpu/chip_check.hpp"
#include "models/lpu/chip_model.hpp"

namespace tandem {

Catalogue chip_catalogue() {
  return {gpu::gpu_entry(), lpu::lpu_entry()};
}

ParameterSet shared_constants(std::string_view chip_model) {
  return chip_model == "gpu" ? gpu::shared::constants() : ParameterSet();
}

std::vector<Diagnostic> chip_problems(const Chip& chip) {
  return chip.model == "lpu" ? lpu::shape_problems(chip) : std::vector<Diagnostic>();
}

NetworkFactory network_factory() {
  return {link::network_maker(), link::make_collectives};
}

}  // namespace tandem
