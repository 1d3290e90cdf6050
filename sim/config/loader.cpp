#include "sim/config/loader.hpp"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "sim/config/assemble.hpp"
#include "sim/config/build.hpp"
#include "sim/config/read_scenario.hpp"
#include "sim/config/yaml_reader.hpp"

namespace tandem {
namespace {

using config::Assembled;
using config::Assembler;
using config::Problems;
using config::ReadContext;
using config::Tree;

std::map<std::string, Source> read_sources(const ConfigRoots& roots, Problems& problems) {
  const ModelSchemas no_schemas;
  const std::set<std::string> no_sources;
  ReadContext context{no_schemas, no_sources, problems};
  std::map<std::string, Source> sources;
  const Tree tree = config::read_yaml(roots.hw_configs + "/sources.yaml", problems);
  for (const config::TreeEntry& entry : tree.entries) {
    const config::MapReader reader(entry.value, config::source_section(),
                                   fmt::format("source '{}'", entry.key), context);
    if (!entry.value.is_map()) continue;
    sources[entry.key] = {reader.text("title"), static_cast<int>(reader.count("year")),
                          reader.choice_word("kind"), reader.text("note")};
  }
  return sources;
}

/// One load: what it may refer to, and what went wrong. Throws at the end.
class Load {
 public:
  Load(const ConfigRoots& roots, const ModelSchemas& schemas, config::FileMemory* memory,
       const std::vector<Override>& overrides)
      : library_(roots, memory),
        assembler_(library_, config::parse_overrides(overrides, problems_), problems_),
        context_{schemas, sources_, problems_, &library_} {
    for (const auto& [key, source] : sources_of(roots, memory)) sources_.insert(key);
  }
  [[nodiscard]] Assembler& assembler() { return assembler_; }
  [[nodiscard]] ReadContext& context() { return context_; }
  [[nodiscard]] Problems& problems() { return problems_; }

  /// Builds a description that refers to nothing.
  template <class Build>
  [[nodiscard]] auto plain(std::string_view kind, const std::string& name, Build build) {
    const auto assembled = assembler_.plain(kind, name);
    problems_.throw_if_any();
    auto value = build(*assembled);
    problems_.throw_if_any();
    return value;
  }

 private:
  std::map<std::string, Source> sources_of(const ConfigRoots& roots, config::FileMemory* memory) {
    if (memory != nullptr && memory->sources) return *memory->sources;
    std::map<std::string, Source> sources = read_sources(roots, problems_);
    if (memory != nullptr && problems_.empty()) memory->sources = sources;
    return sources;
  }

  Problems problems_;
  config::Library library_;
  Assembler assembler_;
  std::set<std::string> sources_;
  ReadContext context_;
};

}  // namespace

Loader::Loader(ConfigRoots roots, ModelSchemas schemas, ChipCheck check)
    : roots_(std::move(roots)), schemas_(std::move(schemas)), check_(std::move(check)) {}

Loader Loader::remembering() const {
  Loader other = *this;
  other.memory_ = std::make_shared<config::FileMemory>();
  return other;
}

void Loader::check_chips(const System& system) const {
  if (!check_) return;
  Problems problems;
  const config::CombinationChecks checks(problems);
  for (const auto& [name, chip] : system.chips) {
    for (const Diagnostic& d : check_(chip)) problems.report(d.place, d.message);
  }
  problems.throw_if_any();
}

Scenario Loader::scenario(const std::string& path_or_name,
                          const std::vector<Override>& overrides) const {
  Load load(roots_, schemas_, memory_.get(), overrides);
  const auto assembled = load.assembler().scenario(path_or_name);
  if (!assembled) load.problems().throw_if_any();
  Scenario scenario = config::read_scenario(*assembled, load.context());
  load.problems().throw_if_any();
  check_chips(scenario.system);
  scenario.config_hash = tandem::config_hash(scenario);
  return scenario;
}

Chip Loader::chip(const std::string& name, const std::vector<Override>& overrides) const {
  Load load(roots_, schemas_, memory_.get(), overrides);
  System alone;
  alone.chips[name] = load.plain("chip", name, [&](const Assembled& a) {
    return config::build_chip(a.tree, a.name, a.chip_files.at(a.name), load.context());
  });
  check_chips(alone);
  return alone.chips[name];
}

Link Loader::link(const std::string& name, const std::vector<Override>& overrides) const {
  Load load(roots_, schemas_, memory_.get(), overrides);
  return load.plain("link", name, [&](const Assembled& a) {
    return config::build_link(a.tree, a.name, load.context());
  });
}

Fabric Loader::fabric(const std::string& name, const std::vector<Override>& overrides) const {
  Load load(roots_, schemas_, memory_.get(), overrides);
  return load.plain("fabric", name, [&](const Assembled& a) {
    return config::build_fabric(a.tree, a.name, load.context());
  });
}

System Loader::system(const std::string& name, const std::vector<Override>& overrides) const {
  Load load(roots_, schemas_, memory_.get(), overrides);
  const auto assembled = load.assembler().system(name);
  if (!assembled) load.problems().throw_if_any();
  System system =
      config::build_system(assembled->tree, assembled->name, assembled->chip_files, load.context());
  load.problems().throw_if_any();
  check_chips(system);
  return system;
}

NeuralNetwork Loader::network(const std::string& name,
                              const std::vector<Override>& overrides) const {
  Load load(roots_, schemas_, memory_.get(), overrides);
  return load.plain("model", name, [&](const Assembled& a) {
    return config::build_network(a.tree, a.name, load.context());
  });
}

Prices Loader::prices(const std::string& name, const std::vector<Override>& overrides) const {
  Load load(roots_, schemas_, memory_.get(), overrides);
  return load.plain("prices", name, [&](const Assembled& a) {
    return config::build_prices(a.tree, a.name, nullptr, load.context());
  });
}

Software Loader::software(const std::string& name, const std::vector<Override>& overrides) const {
  Load load(roots_, schemas_, memory_.get(), overrides);
  return load.plain("software", name, [&](const Assembled& a) {
    return config::build_software(a.tree, a.name, load.context());
  });
}

std::vector<std::string> Loader::list(const std::string& kind) const {
  const config::FileKind* found = config::find_file_kind(kind);
  if (found == nullptr) {
    std::vector<std::string> known;
    for (const config::FileKind& file_kind : config::file_kinds) {
      known.emplace_back(file_kind.folder);
    }
    for (const char* studies : {"sweeps", "plans", "baselines"}) {
      if (kind == studies) return config::file_names(roots_.workloads + "/" + kind);
      known.emplace_back(studies);
    }
    throw ConfigError(fmt::format("there is no list of '{}'{}; lists are {}", kind,
                                  config::suggestion(kind, known), fmt::join(known, ", ")));
  }
  return config::Library(roots_).names(*found);
}

std::map<std::string, Source> load_sources(const ConfigRoots& roots) {
  Problems problems;
  auto sources = read_sources(roots, problems);
  problems.throw_if_any();
  return sources;
}

}  // namespace tandem
