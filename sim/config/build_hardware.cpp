// Chips, links, systems, prices and software.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sim/config/build.hpp"
#include "sim/config/check_prices.hpp"
#include "sim/config/power_cap.hpp"
#include "sim/describe/schemas.hpp"

namespace tandem::config {
namespace {

const std::vector<std::pair<std::string, Basis>> basis_names = {
    {"datasheet", Basis::Datasheet}, {"measured", Basis::Measured}, {"published", Basis::Published},
    {"derived", Basis::Derived},     {"fitted", Basis::Fitted},     {"assumed", Basis::Assumed}};

/// Names of numbers and head keys together, for a section whose numbers are read apart.
std::vector<std::string> number_names(const ParameterSchema& schema) {
  std::vector<std::string> names;
  for (const ParameterSpec& spec : schema) {
    names.push_back(spec.name.substr(0, spec.name.find('.')));
  }
  return names;
}

/// Numbers of a description whose other keys are those of `section`.
ParameterSet numbers_of(const Tree& tree, const Section& section, const ParameterSchema& schema,
                        const std::string& subject, ReadContext& context) {
  if (!tree.is_map()) {
    const MapReader complains(tree, section, subject, context);
    return {};
  }
  return build_parameters(tree, section, schema, subject, context);
}

using Multipliers = std::map<std::string, std::int64_t>;

/// Adds the counts of the system that the entries of a section name as `times:`.
void read_multipliers(const Tree& tree, const char* section, Multipliers& multipliers,
                      ReadContext& context) {
  const Tree* entries = tree.find(section);
  if (entries == nullptr) return;
  for (const TreeEntry& entry : entries->entries) {
    const Tree* times = entry.value.find("times");
    if (times == nullptr || !times->is_scalar() || multipliers.contains(times->text)) continue;
    const Tree* written = tree.find(times->text);
    if (written == nullptr) {
      context.problems.report(times->place, fmt::format("the system has no number '{}'; write "
                                                        "'{}: 1' in it",
                                                        times->text, times->text));
      continue;
    }
    const ParameterSpec spec{times->text, Dimension::Count, {}, std::nullopt, 1, 1e6};
    const auto number = read_parameter(*written, spec, false, context);
    multipliers[times->text] = number ? static_cast<std::int64_t>(number->value) : 1;
  }
}

/// The count of the system that an entry names as `times:`, or 1.
std::int64_t times_of(const MapReader& reader, const Multipliers& multipliers) {
  const auto times = multipliers.find(reader.text("times"));
  return times == multipliers.end() ? 1 : times->second;
}

ChipGroup build_group(const TreeEntry& entry, const Multipliers& multipliers,
                      ReadContext& context) {
  const MapReader reader(entry.value, group_section(), fmt::format("group '{}'", entry.key),
                         context);
  ChipGroup group;
  group.pool = entry.key;
  if (!entry.value.is_map()) return group;
  group.chip = reader.text("chip");
  group.count = reader.count("count") * times_of(reader, multipliers);
  group.chips_per_node = reader.count("chips_per_node");
  group.link = reader.text("link");
  group.scale_out = reader.has("scale_out") ? reader.text("scale_out") : group.link;
  group.switch_kind = reader.choice_word("topology");
  group.source = reader.source("source");
  group.basis = reader.choice("basis", basis_names);
  if (group.chips_per_node > group.count) {
    reader.report("chips_per_node", fmt::format("'chips_per_node' is {}, more than the {} chips of "
                                                "group '{}'",
                                                group.chips_per_node, group.count, entry.key));
  }
  return group;
}

Bridge build_bridge(const TreeEntry& entry, const System& system, const Multipliers& multipliers,
                    ReadContext& context) {
  const MapReader reader(entry.value, bridge_section(), fmt::format("bridge '{}'", entry.key),
                         context);
  Bridge bridge;
  if (!entry.value.is_map()) return bridge;
  std::vector<std::string> pools;
  for (const ChipGroup& group : system.groups) pools.push_back(group.pool);
  for (const char* end : {"from", "to"}) {
    const std::string pool = reader.text(end);
    (end == std::string("from") ? bridge.from : bridge.to) = pool;
    if (reader.has(end) && std::find(pools.begin(), pools.end(), pool) == pools.end()) {
      reader.report(end,
                    fmt::format("the system has no pool '{}'{}", pool, suggestion(pool, pools)));
    }
  }
  if (const Tree* links = reader.child("links")) {
    for (const Tree& link : links->items) bridge.links.push_back(link.text);
    if (bridge.links.empty()) {
      reader.report("links", "'links' needs at least one link class, e.g. [ethernet_400g]");
    }
  }
  bridge.lanes = reader.count("lanes") * times_of(reader, multipliers);
  bridge.source = reader.source("source");
  bridge.basis = reader.choice("basis", basis_names);
  return bridge;
}

/// Complains about a change to a part that the system does not use.
void report_unused_part(const TreeEntry& entry, const char* kind,
                        const std::vector<std::string>& used, ReadContext& context) {
  context.problems.report(entry.key_place,
                          fmt::format("the system has no {} '{}'; it has {}{}", kind, entry.key,
                                      fmt::join(used, ", "), suggestion(entry.key, used)));
}

/// The parts that stand in place under `folder`; they carry the `kind:` of their file.
template <class Part, class Build>
std::map<std::string, Part> build_parts(const Tree& tree, const char* folder, const char* kind,
                                        ReadContext& context, Build build) {
  std::map<std::string, Part> parts;
  const Tree* all = tree.find(folder);
  if (all == nullptr) return parts;
  std::vector<std::string> used;
  for (const TreeEntry& entry : all->entries) {
    if (entry.value.find("kind") != nullptr) used.push_back(entry.key);
  }
  for (const TreeEntry& entry : all->entries) {
    if (entry.value.find("kind") == nullptr) {
      report_unused_part(entry, kind, used, context);
    } else {
      parts.emplace(entry.key, build(entry));
    }
  }
  return parts;
}

void build_groups(const Tree& tree, System& system, const Multipliers& multipliers,
                  ReadContext& context) {
  const Tree* groups = tree.find("groups");
  if (groups == nullptr || !groups->is_map() || groups->entries.empty()) {
    if (groups != nullptr) {
      context.problems.report(groups->place, "'groups' needs at least one group, by pool name");
    }
    return;
  }
  for (const TreeEntry& entry : groups->entries) {
    system.groups.push_back(build_group(entry, multipliers, context));
  }
  // The order of keys in the file must not reach any result.
  std::sort(system.groups.begin(), system.groups.end(),
            [](const ChipGroup& a, const ChipGroup& b) { return a.pool < b.pool; });
}

void build_bridges(const Tree& tree, System& system, const Multipliers& multipliers,
                   ReadContext& context) {
  const Tree* bridges = tree.find("bridges");
  if (bridges == nullptr) return;
  std::map<std::string, Bridge> by_name;
  for (const TreeEntry& entry : bridges->entries) {
    by_name.emplace(entry.key, build_bridge(entry, system, multipliers, context));
  }
  for (auto& [name, bridge] : by_name) system.bridges.push_back(std::move(bridge));
}

}  // namespace

Chip build_chip(const Tree& tree, const std::string& name, const std::vector<std::string>& files,
                ReadContext& context) {
  Chip chip;
  chip.name = name;
  chip.extends = files;
  const std::string subject = fmt::format("chip '{}'", name);
  const Tree* model = tree.find("model");
  std::vector<std::string> models;
  for (const auto& [known, schema] : context.schemas) models.push_back(known);
  if (model == nullptr || !model->is_scalar()) {
    context.problems.report(
        model == nullptr ? tree.place : model->place,
        fmt::format("{} needs the key 'model': one of {}", subject, fmt::join(models, ", ")));
    return chip;
  }
  chip.model = model->text;
  const auto schema = context.schemas.find(chip.model);
  if (schema == context.schemas.end()) {
    context.problems.report(model->place,
                            fmt::format("no hardware model '{}'; there are {}{}", chip.model,
                                        fmt::join(models, ", "), suggestion(chip.model, models)));
    return chip;
  }
  chip.parameters = numbers_of(tree, chip_section(), schema->second, subject, context);
  return chip;
}

Link build_link(const Tree& tree, const std::string& name, ReadContext& context) {
  return {name,
          numbers_of(tree, link_section(), link_schema(), fmt::format("link '{}'", name), context)};
}

Prices build_prices(const Tree& tree, const std::string& name, const System* system,
                    ReadContext& context) {
  check_prices(tree, system, context);
  return {name, numbers_of(tree, prices_section(), prices_schema(),
                           fmt::format("prices '{}'", name), context)};
}

Software build_software(const Tree& tree, const std::string& name, ReadContext& context) {
  return {name, numbers_of(tree, software_section(), software_schema(),
                           fmt::format("software '{}'", name), context)};
}

System build_system(const Tree& tree, const std::string& name,
                    const std::map<std::string, std::vector<std::string>>& chip_files,
                    ReadContext& context) {
  System system;
  system.name = name;
  const ParameterSchema schema = system_schema();
  std::vector<std::string> extra = number_names(schema);
  Multipliers multipliers;
  for (const char* section : {"groups", "bridges"}) {
    read_multipliers(tree, section, multipliers, context);
  }
  for (const auto& [word, count] : multipliers) extra.push_back(word);
  const MapReader reader(tree, system_section(), fmt::format("system '{}'", name), context, extra);
  if (!tree.is_map()) return system;
  build_groups(tree, system, multipliers, context);
  build_bridges(tree, system, multipliers, context);
  Tree numbers = tree;
  std::erase_if(numbers.entries, [&](const TreeEntry& entry) {
    const std::vector<std::string> known = number_names(schema);
    return std::find(known.begin(), known.end(), entry.key) == known.end();
  });
  system.parameters = build_parameters(numbers, system_section(), schema,
                                       fmt::format("system '{}'", name), context);
  system.chips = build_parts<Chip>(tree, "chips", "chip", context, [&](const TreeEntry& entry) {
    const auto files = chip_files.find(entry.key);
    return build_chip(entry.value, entry.key,
                      files == chip_files.end() ? std::vector<std::string>{} : files->second,
                      context);
  });
  system.links = build_parts<Link>(tree, "links", "link", context, [&](const TreeEntry& entry) {
    return build_link(entry.value, entry.key, context);
  });
  share_power_cap(tree, system, context);
  return system;
}

}  // namespace tandem::config
