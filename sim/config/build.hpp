// Trees to values: every key checked, every number typed. All complaints go to the context.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/config/map_reader.hpp"
#include "sim/describe/fabric.hpp"
#include "sim/describe/scenario.hpp"

namespace tandem::config {

/// Reads all numbers of a map against a schema into a set; keys of `section` are not numbers.
/// A name with `*` in the schema matches any one word at each level of nested maps.
[[nodiscard]] ParameterSet build_parameters(const Tree& tree, const Section& section,
                                            const ParameterSchema& schema,
                                            const std::string& subject, ReadContext& context);

[[nodiscard]] Chip build_chip(const Tree& tree, const std::string& name,
                              const std::vector<std::string>& files, ReadContext& context);
[[nodiscard]] Link build_link(const Tree& tree, const std::string& name, ReadContext& context);
[[nodiscard]] Fabric build_fabric(const Tree& tree, const std::string& name, ReadContext& context);
/// `system`: the scenario's, whose chips may be of its own; null for a price book alone.
[[nodiscard]] Prices build_prices(const Tree& tree, const std::string& name, const System* system,
                                  ReadContext& context);
[[nodiscard]] Software build_software(const Tree& tree, const std::string& name,
                                      ReadContext& context);
/// `chip_files`: the files of each chip. The system's chips and links stand in its tree.
[[nodiscard]] System build_system(const Tree& tree, const std::string& name,
                                  const std::map<std::string, std::vector<std::string>>& chip_files,
                                  ReadContext& context);
[[nodiscard]] NeuralNetwork build_network(const Tree& tree, const std::string& name,
                                          ReadContext& context);
[[nodiscard]] Placement build_placement(const Tree& tree, ReadContext& context);
/// `tree` may be null: all defaults.
[[nodiscard]] Precision build_precision(const Tree* tree, ReadContext& context);
/// Keys of speculative decoding, which stand beside `mode: drafter`.
[[nodiscard]] Speculation build_speculation(const MapReader& reader, ReadContext& context);
/// The section of speculative decoding on the pool that verifies.
void build_speculation_in_place(const Tree& tree, Placement& placement, ReadContext& context);
/// Reports keys of `mode: drafter` beside another mode.
void refuse_speculation(const MapReader& reader, const std::string& mode, ReadContext& context);
[[nodiscard]] Planner build_planner(const Tree& tree, ReadContext& context);
[[nodiscard]] Serving build_serving(const Tree& tree, ReadContext& context);
[[nodiscard]] Traffic build_traffic(const Tree& tree, ReadContext& context);
/// A deployment `on` the chips of one before it, with its own precision.
void build_tier(const MapReader& reader, const Tree& tree, const Scenario& mix,
                Deployment& deployment, ReadContext& context);
/// Tells the pools of deployments which tiers stand on their chips.
void join_tiers(Scenario& mix);
/// Of a mix of models.
[[nodiscard]] ModelRouting build_routing(const Tree& tree, ReadContext& context);
/// Requests of a trace beyond the model's context: complains, or drops them where `tree`, the
/// traffic's, says so.
void fit_trace(Scenario& scenario, const Tree& tree, ReadContext& context);
[[nodiscard]] Slo build_slo(const Tree& tree, ReadContext& context);

}  // namespace tandem::config
