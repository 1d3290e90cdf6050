#include "sim/config/manifest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <span>

#include "sim/config/tree.hpp"
#include "sim/config/unit_text.hpp"
#include "sim/config/yaml_reader.hpp"

namespace tandem {
namespace {

using config::Problems;
using config::Tree;
using config::TreeEntry;
using Names = std::vector<std::string>;

const Names& table_keys() {
  static const Names keys = {
      "id",       "file",    "op",    "chip",    "software", "target", "measured",
      "unit",     "columns", "fixed", "filters", "rows",     "note",   "bytes_per_element",
      "sustained"};
  return keys;
}

const Names& system_keys() {
  static const Names keys = {"file", "row", "columns", "fixed", "measured", "rows", "note"};
  return keys;
}

/// Factors to milliseconds and to watts.
struct ColumnUnit {
  const char* name;
  double scale;
};
constexpr ColumnUnit time_units[] = {{"s", 1e3}, {"ms", 1}, {"us", 1e-3}, {"ns", 1e-6}};
constexpr ColumnUnit power_units[] = {{"W", 1}, {"mW", 1e-3}, {"kW", 1e3}};

/// Reads the parts of a manifest, collecting complaints.
class ManifestReader {
 public:
  ManifestReader(Manifest& manifest, Problems& problems)
      : manifest_(manifest), problems_(problems) {}

  void read(const Tree& root) {
    if (!root.is_map()) {
      problems_.report(root.place, "a manifest is a map with the keys format, tables");
      return;
    }
    const Tree* format = root.find("format");
    if (format == nullptr || format->text != "1") {
      problems_.report(format == nullptr ? root.place : format->place,
                       "a manifest starts with 'format: 1', the only format known");
    }
    for (const Tree& item : items_of(root, "tables", true)) {
      if (is_map(item, "a table")) manifest_.tables.push_back(table(item));
    }
    for (const Tree& item : items_of(root, "system_tables", false)) {
      if (is_map(item, "a system table")) manifest_.system_tables.push_back(system_table(item));
    }
    check_names(root, {"format", "tables", "system_tables", "unused"}, "the manifest");
    check_ids();
  }

 private:
  ManifestTable table(const Tree& tree) {
    check_names(tree, table_keys(), "a table");
    ManifestTable table;
    table.place = tree.place;
    table.id = text(tree, "id");
    table.file = text(tree, "file");
    table.file_place = place_of(tree, "file");
    table.op = text(tree, "op");
    table.chip = text(tree, "chip");
    table.software = text(tree, "software");
    table.measured = text(tree, "measured");
    table.unit = text(tree, "unit");
    table.rows = rows(tree);
    read_target(tree, table);
    table.columns = pairs(tree, "columns", true);
    table.fixed = pairs(tree, "fixed", false);
    const Tree* sustained = tree.find("sustained");
    table.sustained = sustained != nullptr && sustained->text == "true";
    for (const auto& [name, value] : table.fixed) {
      const auto same = [&](const auto& column) { return column.first == name; };
      if (std::any_of(table.columns.begin(), table.columns.end(), same)) {
        problems_.report(place_of(tree, "fixed"),
                         fmt::format("'{}' is in 'columns' and in 'fixed'; keep one", name));
      }
    }
    for (const Tree& filter : items_of(tree, "filters", false)) add_filter(filter, table.filters);
    return table;
  }

  void read_target(const Tree& tree, ManifestTable& table) {
    const std::string target = text(tree, "target");
    if (target != "latency" && target != "power" && !target.empty()) {
      problems_.report(place_of(tree, "target"),
                       fmt::format("'target' is '{}'; write latency or power", target));
      return;
    }
    table.target = target == "power" ? ManifestTarget::Power : ManifestTarget::Latency;
    std::vector<std::string> known;
    const auto look_up = [&](const auto& units) {
      for (const ColumnUnit& unit : units) {
        known.emplace_back(unit.name);
        if (table.unit == unit.name) table.scale = unit.scale;
      }
    };
    if (table.target == ManifestTarget::Power) {
      look_up(power_units);
    } else {
      look_up(time_units);
    }
    if (!table.unit.empty() && std::find(known.begin(), known.end(), table.unit) == known.end()) {
      problems_.report(place_of(tree, "unit"),
                       fmt::format("unit of {} is '{}'; write one of {}", target, table.unit,
                                   fmt::join(known, ", ")));
    }
  }

  ManifestSystemTable system_table(const Tree& tree) {
    check_names(tree, system_keys(), "a system table");
    ManifestSystemTable table;
    table.place = tree.place;
    table.file = text(tree, "file");
    table.file_place = place_of(tree, "file");
    table.rows = rows(tree);
    for (const auto& [name, column] : pairs(tree, "columns", false)) {
      table.columns[name] = column;
      if (name == "system") table.system_column = column;
    }
    for (const auto& [name, value] : pairs(tree, "fixed", false)) {
      table.fixed[name] = value;
      if (name == "system") table.system = value;
      if (name == "software") table.software = value;
    }
    const Tree* measured = tree.find("measured");
    if (measured == nullptr || !measured->is_map() || measured->entries.empty()) {
      problems_.report(measured == nullptr ? tree.place : measured->place,
                       "a system table needs 'measured': {metric: [column, unit]}");
      return table;
    }
    for (const TreeEntry& entry : measured->entries) {
      if (entry.value.is_sequence() && entry.value.items.size() == 2) {
        table.metrics.push_back({entry.key, entry.value.items[0].text, entry.value.items[1].text});
      } else {
        problems_.report(entry.value.place, fmt::format("'{}' needs [column, unit]", entry.key));
      }
    }
    return table;
  }

  void add_filter(const Tree& tree, std::vector<ManifestFilter>& filters) {
    if (!is_map(tree, "a filter")) return;
    bool any = false;
    for (const TreeEntry& entry : tree.entries) {
      if (entry.key == "reason") continue;
      any = true;
      if (entry.key != "keep" && entry.key != "drop" && entry.key != "min") {
        // Unlike other unknown keys: leaving a filter out would score rows that must not count.
        problems_.report(entry.key_place,
                         fmt::format("unknown filter '{}'; write keep, drop or min", entry.key));
      } else if (is_map(entry.value, "a filter's columns")) {
        for (const TreeEntry& column : entry.value.entries) {
          filters.push_back(filter(entry.key, column));
        }
      }
    }
    if (!any) problems_.report(tree.place, "a filter needs keep, drop or min");
  }

  ManifestFilter filter(const std::string& kind, const TreeEntry& column) {
    ManifestFilter filter;
    filter.column = column.key;
    filter.place = column.key_place;
    if (kind == "min") {
      filter.kind = ManifestFilter::Kind::Minimum;
      const auto bound = plain_number(column.value.text);
      if (!column.value.is_scalar() || !bound) {
        problems_.report(column.value.place,
                         fmt::format("'min' of '{}' needs a number", column.key));
      }
      filter.minimum = bound.value_or(0);
      return filter;
    }
    filter.kind = kind == "keep" ? ManifestFilter::Kind::Keep : ManifestFilter::Kind::Drop;
    if (!column.value.is_sequence() || column.value.items.empty()) {
      problems_.report(column.value.place,
                       fmt::format("'{}' of '{}' needs a list of values", kind, column.key));
    }
    for (const Tree& item : column.value.items) {
      if (!item.is_scalar())
        problems_.report(item.place, "a filter's value must be a single value");
      filter.values.push_back(item.text);
    }
    return filter;
  }

  std::vector<std::pair<std::string, std::string>> pairs(const Tree& tree, const char* key,
                                                         bool required) {
    std::vector<std::pair<std::string, std::string>> found;
    const Tree* map = tree.find(key);
    if (map == nullptr && !required) return found;
    if (map == nullptr || !map->is_map()) {
      problems_.report(map == nullptr ? tree.place : map->place,
                       fmt::format("'{}' must be a map of names to values", key));
      return found;
    }
    for (const TreeEntry& entry : map->entries) {
      if (!entry.value.is_scalar()) {
        problems_.report(entry.value.place,
                         fmt::format("'{}' of '{}' must be a single value", entry.key, key));
      }
      found.emplace_back(entry.key, entry.value.text);
    }
    return found;
  }

  /// The items of a list; none, after a complaint where it is required, when there is no list.
  std::span<const Tree> items_of(const Tree& tree, const char* key, bool required) {
    const Tree* list = tree.find(key);
    if (list == nullptr) {
      if (required) problems_.report(tree.place, fmt::format("a manifest needs '{}', a list", key));
      return {};
    }
    if (!list->is_sequence()) {
      problems_.report(list->place, fmt::format("'{}' must be a list", key));
      return {};
    }
    return list->items;
  }

  bool is_map(const Tree& tree, const char* what) {
    if (tree.is_map()) return true;
    problems_.report(tree.place, fmt::format("{} must be a map", what));
    return false;
  }

  /// A required text; empty after a complaint.
  std::string text(const Tree& tree, const char* key) {
    const Tree* value = tree.find(key);
    if (value != nullptr && value->is_scalar() && !value->text.empty()) return value->text;
    problems_.report(value == nullptr ? tree.place : value->place,
                     fmt::format("a table needs '{}', a single value", key));
    return {};
  }

  std::int64_t rows(const Tree& tree) {
    const Tree* value = tree.find("rows");
    if (value == nullptr) return 0;
    std::int64_t count = 0;
    const char* end = value->text.data() + value->text.size();
    const auto [stop, error] = std::from_chars(value->text.data(), end, count);
    if (error != std::errc{} || stop != end || count < 0) {
      problems_.report(value->place,
                       fmt::format("'rows' is '{}'; write a whole number", value->text));
    }
    return count;
  }

  static SourcePlace place_of(const Tree& tree, const char* key) {
    const Tree* value = tree.find(key);
    return value == nullptr ? tree.place : value->place;
  }

  void check_names(const Tree& tree, const Names& known, const char* what) {
    for (const TreeEntry& entry : tree.entries) {
      if (std::find(known.begin(), known.end(), entry.key) != known.end()) continue;
      manifest_.unknown_keys.push_back(
          {entry.key_place, fmt::format("unknown key '{}' in {}{}", entry.key, what,
                                        config::suggestion(entry.key, known))});
    }
  }

  void check_ids() {
    std::set<std::string> seen;
    for (const ManifestTable& table : manifest_.tables) {
      if (!table.id.empty() && !seen.insert(table.id).second) {
        problems_.report(table.place, fmt::format("id '{}' appears twice", table.id));
      }
    }
  }

  Manifest& manifest_;
  Problems& problems_;
};

}  // namespace

Manifest load_manifest(const std::string& folder) {
  Manifest manifest;
  manifest.folder = folder;
  Problems problems;
  const Tree root = config::read_yaml(folder + "/manifest.yaml", problems);
  problems.throw_if_any();
  ManifestReader(manifest, problems).read(root);
  problems.throw_if_any();
  for (ManifestTable& table : manifest.tables) {
    table.sustained |= std::any_of(
        manifest.tables.begin(), manifest.tables.end(), [&](const ManifestTable& other) {
          return other.file == table.file && other.target == ManifestTarget::Power;
        });
  }
  return manifest;
}

}  // namespace tandem
