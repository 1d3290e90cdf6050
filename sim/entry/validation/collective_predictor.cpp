#include "sim/entry/validation/collective_predictor.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/entry/rows/collective_rows.hpp"

namespace tandem::entry {

/// A system with its collectives.
struct CollectivePredictor::Bench {
  System system;
  std::unique_ptr<CollectiveModel> model;
};

namespace {

/// A constant of the table; empty where it has none.
std::string constant_of(const ManifestTable& table, const std::string& name) {
  for (const auto& [key, value] : table.fixed) {
    if (key == name) return value;
  }
  return {};
}

bool has_wires(const System& system, const std::string& chip, const std::string& fabric) {
  if (system.groups.size() != 1) return false;
  const ChipGroup& group = system.groups.front();
  if (group.chip != chip || group.count < 2) return false;
  return (group.chips_per_node == 1) == (fabric == "rdma_400g");
}

/// What a table's rows are unless they say otherwise.
CollectiveDefaults defaults_of(const ManifestTable& table) {
  CollectiveDefaults defaults;
  if (table.software.find("CUDA graph") != std::string::npos) {
    defaults.entry = CollectiveEntry::InGraph;
  }
  if (constant_of(table, "dedup") == "1") defaults.transport = MoeTransport::Bulk;
  return defaults;
}

}  // namespace

CollectivePredictor::CollectivePredictor(const Context& context, std::vector<Override> overrides,
                                         bool is_cycle)
    : context_(context), overrides_(std::move(overrides)), is_cycle_(is_cycle) {
  std::erase_if(overrides_,
                [](const Override& change) { return !change.path.starts_with("links."); });
}

CollectivePredictor::~CollectivePredictor() = default;

System CollectivePredictor::resolved(const std::string& name) const {
  System system = context_.loader.system(name);
  std::vector<Override> own;
  for (const Override& change : overrides_) {
    for (const auto& [link, numbers] : system.links) {
      if (change.path.starts_with("links." + link + ".")) own.push_back(change);
    }
  }
  return own.empty() ? system : context_.loader.system(name, own);
}

CollectivePredictor::Bench* CollectivePredictor::bench_of(const std::string& chip,
                                                          const std::string& fabric) {
  const std::string key = chip + "/" + fabric;
  const auto known = benches_.find(key);
  if (known != benches_.end()) return known->second.get();
  std::unique_ptr<Bench>& bench = benches_[key];
  for (const std::string& name : context_.loader.list("systems")) {
    if (!has_wires(context_.loader.system(name), chip, fabric)) continue;
    bench = std::make_unique<Bench>();
    bench->system = resolved(name);
    bench->model = context_.make_network.collectives(bench->system, Software{"none", {}});
    break;
  }
  return bench.get();
}

void CollectivePredictor::answer(Bench& bench, const ManifestTable& table, const MeasuredRow& row,
                                 ScoredRow& scored) const {
  DiagnosticSink sink;
  const CollectiveRow question =
      collective_row(table.op, row.inputs, bench.system, defaults_of(table), sink);
  try {
    sink.throw_if_any();
    const CollectiveCost cost = bench.model->cost(question.ranks, question.collective);
    scored.predicted = to_milliseconds(is_cycle_ ? cost.time : cost.floor);
    scored.floor = to_milliseconds(cost.floor);
    scored.bound = cost.bound;
  } catch (const ConfigError& error) {
    scored.reason = error.diagnostics().front().message;
  } catch (const ModelError& error) {
    scored.reason = error.what();
  }
}

std::vector<ScoredRow> CollectivePredictor::predict(const ManifestTable& table,
                                                    const std::vector<MeasuredRow>& rows) {
  std::vector<ScoredRow> scored(rows.size());
  const std::string fabric = constant_of(table, "fabric");
  Bench* bench = bench_of(table.chip, fabric);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    scored[i].measured = rows[i].measured;
    scored[i].reason = rows[i].problem;
    if (!scored[i].reason.empty()) continue;
    if (bench == nullptr) {
      scored[i].reason =
          fmt::format("no system in hw_configs/systems joins '{}' by '{}'", table.chip, fabric);
      continue;
    }
    answer(*bench, table, rows[i], scored[i]);
  }
  return scored;
}

}  // namespace tandem::entry
