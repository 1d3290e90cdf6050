#include "sim/lower/collective.hpp"

#include "sim/core/diagnostics.hpp"

namespace tandem {

std::unique_ptr<CollectiveModel> NetworkFactory::collectives(const System& system,
                                                             const Software& software) const {
  if (!collectives_) throw ModelError("these networks run no collectives");
  return collectives_(system, software);
}

std::string_view name_of(CollectiveOp op) {
  switch (op) {
    case CollectiveOp::AllReduce:
      return "all_reduce";
    case CollectiveOp::AllGather:
      return "all_gather";
    case CollectiveOp::ReduceScatter:
      return "reduce_scatter";
    case CollectiveOp::AllToAll:
      return "all_to_all";
    case CollectiveOp::SendRecv:
      return "send_recv";
    case CollectiveOp::MoeDispatch:
      return "moe_dispatch";
    case CollectiveOp::MoeCombine:
      return "moe_combine";
  }
  return "";
}

}  // namespace tandem
