#include "sim/lower/collective.hpp"

#include "sim/core/diagnostics.hpp"

namespace tandem {

std::unique_ptr<CollectiveModel> NetworkFactory::collectives(const System& system,
                                                             const Software& software) const {
  if (!collectives_) throw ModelError("these networks run no collectives");
  return collectives_(system, software);
}

}  // namespace tandem
