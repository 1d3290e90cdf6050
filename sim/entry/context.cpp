#include "sim/entry/context.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "models/catalog/catalog.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::entry {

ModelSchemas schemas_of(const Catalogue& catalogue) {
  ModelSchemas schemas;
  for (const ChipModelEntry& entry : catalogue) schemas[entry.name] = entry.schema;
  return schemas;
}

namespace {

Context context_with(const Catalogue& catalogue) {
  return {catalogue, network_factory(), Loader(find_roots(), schemas_of(catalogue), chip_problems)};
}

}  // namespace

Context make_context() {
  return context_with(chip_catalogue());
}

Context make_call_context() {
  static const Catalogue catalogue = chip_catalogue();
  return context_with(catalogue);
}

std::vector<Override> parse_overrides(const std::vector<std::string>& arguments) {
  DiagnosticSink sink;
  std::vector<Override> overrides;
  for (const std::string& argument : arguments) {
    const std::size_t equals = argument.find('=');
    if (equals == std::string::npos || equals == 0) {
      sink.report({}, fmt::format("--set '{}' is not of the form path=value; write e.g. "
                                  "--set traffic.concurrency=8",
                                  argument));
      continue;
    }
    overrides.push_back({argument.substr(0, equals), argument.substr(equals + 1)});
  }
  sink.throw_if_any();
  return overrides;
}

void require_one_model(const Scenario& scenario) {
  if (!scenario.is_mix()) return;
  throw ConfigError(scenario.deployments.front().place,
                    fmt::format("scenario '{}' has several models, which 'run' and 'capacity' "
                                "take; name a scenario of one model",
                                scenario.name));
}

void write_output(const std::string& path, const std::function<void(std::ostream&)>& write) {
  std::ostringstream text;
  write(text);
  write_outputs({{path, text.str()}});
}

void write_outputs(const std::vector<Output>& outputs) {
  std::vector<std::pair<std::string, std::string>> renames;  // partial, final
  std::string refused;
  for (const Output& output : outputs) {
    if (output.path.empty() || output.path == "-" || !refused.empty()) continue;
    const std::string partial = fmt::format("{}.partial.{}", output.path, ::getpid());
    std::ofstream file(partial, std::ios::binary);
    if (file) file << output.text;
    file.close();
    renames.emplace_back(partial, output.path);
    if (!file || std::filesystem::is_directory(output.path)) refused = output.path;
  }
  std::error_code failure;
  for (const auto& [partial, path] : renames) {
    if (!refused.empty()) break;
    std::filesystem::rename(partial, path, failure);
    if (failure) refused = path;
  }
  if (!refused.empty()) {
    for (const auto& [partial, path] : renames) std::filesystem::remove(partial, failure);
    throw ConfigError(fmt::format("cannot write '{}'", refused));
  }
  for (const Output& output : outputs) {
    if (output.path == "-") std::cout << output.text << std::flush;
  }
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file) throw ConfigError(fmt::format("cannot read '{}'", path));
  return text.str();
}

Progress::Progress(std::string label)
    : label_(std::move(label)), is_terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (is_terminal_) std::fputs("\r\033[K", stderr);
}

void Progress::update(std::string_view text) {
  if (is_terminal_) fmt::print(stderr, "\r\033[K{}: {}", label_, text);
}

}  // namespace tandem::entry
