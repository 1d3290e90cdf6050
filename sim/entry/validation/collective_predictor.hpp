// Predicts measured rows of collectives: finds a system for a table and asks its collectives.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/entry/context.hpp"
#include "sim/entry/validation/figures.hpp"
#include "sim/entry/validation/measured_rows.hpp"
#include "sim/lower/collective.hpp"

namespace tandem::entry {

/// Contract: answers depend only on the context's files, the overrides and the arguments.
class CollectivePredictor {
 public:
  /// `overrides`: those of the form links.NAME.KEY are applied to systems with that link class.
  CollectivePredictor(const Context& context, std::vector<Override> overrides, bool is_cycle);
  ~CollectivePredictor();

  /// All rows in order, in milliseconds. A row without a prediction says why. The system is the
  /// first with one pool of the table's chips whose wires are the table's `fabric`: intra_node or
  /// rdma_400g (nodes of one chip). Kernels in graphs are the framework's own; tables of
  /// de-duplicated rows (`dedup`) are bulk exchanges.
  [[nodiscard]] std::vector<ScoredRow> predict(const ManifestTable& table,
                                               const std::vector<MeasuredRow>& rows);

 private:
  struct Bench;
  /// None when no system has such chips and wires.
  Bench* bench_of(const std::string& chip, const std::string& fabric);
  [[nodiscard]] System resolved(const std::string& name) const;
  void answer(Bench& bench, const ManifestTable& table, const MeasuredRow& row,
              ScoredRow& scored) const;

  const Context& context_;
  std::vector<Override> overrides_;
  bool is_cycle_;
  std::map<std::string, std::unique_ptr<Bench>> benches_;
};

}  // namespace tandem::entry
