// Fabrics: direct networks of chips, a list of levels.
#include <fmt/format.h>

#include "sim/config/build.hpp"
#include "sim/describe/fabric.hpp"

namespace tandem::config {
namespace {

const std::vector<std::pair<std::string, Wiring>> wirings = {{"complete", Wiring::Complete},
                                                             {"dragonfly", Wiring::Dragonfly},
                                                             {"ring", Wiring::Ring},
                                                             {"chain", Wiring::Chain}};

std::vector<std::string> names_in(const ParameterSchema& schema) {
  std::vector<std::string> names;
  for (const ParameterSpec& spec : schema) names.push_back(spec.name);
  return names;
}

FabricLevel build_level(const Tree& tree, const std::string& subject, ReadContext& context) {
  const MapReader reader(tree, fabric_level_section(), subject, context,
                         names_in(fabric_level_schema()));
  FabricLevel level;
  if (!tree.is_map()) return level;
  level.name = reader.text("name");
  level.wiring = reader.choice("wiring", wirings);
  level.parameters =
      build_parameters(tree, fabric_level_section(), fabric_level_schema(), subject, context);
  if (context.problems.size() > 0) return level;
  if (level.parameters.count("units") > level.parameters.count("most_units")) {
    context.problems.report(tree.place, fmt::format("{} has {} units; its ports allow {}", subject,
                                                    level.parameters.count("units"),
                                                    level.parameters.count("most_units")));
  }
  return level;
}

}  // namespace

Fabric build_fabric(const Tree& tree, const std::string& name, ReadContext& context) {
  const std::string subject = fmt::format("fabric '{}'", name);
  const MapReader reader(tree, fabric_section(), subject, context, names_in(fabric_schema()));
  Fabric fabric;
  fabric.name = name;
  if (!tree.is_map()) return fabric;
  fabric.chip = reader.text("chip");
  fabric.parameters = build_parameters(tree, fabric_section(), fabric_schema(), subject, context);
  const Tree* levels = reader.child("levels");
  if (levels == nullptr) return fabric;
  if (levels->items.empty()) {
    reader.report("levels", "'levels' needs a list with at least one level");
  }
  for (const Tree& level : levels->items) {
    fabric.levels.push_back(build_level(
        level, fmt::format("level {} of {}", fabric.levels.size() + 1, subject), context));
  }
  return fabric;
}

}  // namespace tandem::config
