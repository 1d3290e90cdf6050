// The reference page of the description files, made from the declarations that check them.
#include <fmt/format.h>

#include <iterator>
#include <vector>

#include "sim/config/keys.hpp"
#include "sim/config/loader.hpp"
#include "sim/config/unit_text.hpp"
#include "sim/describe/fabric.hpp"
#include "sim/describe/schemas.hpp"

namespace tandem {
namespace {

using config::Form;
using config::KeySpec;
using config::Section;

/// `|` would end a cell of the table.
std::string cell(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string type_of(const KeySpec& key) {
  switch (key.form) {
    case Form::Number:
      return std::string(name_of(key.dimension));
    case Form::Text:
      return "text";
    case Form::Choice:
      return fmt::format("{}", fmt::join(key.choices, ", "));
    case Form::Flag:
      return "true, false";
    case Form::Map:
      return "name or keys";
    case Form::Keys:
      return "keys";
  }
  return "text";
}

std::string default_of(const KeySpec& key) {
  if (key.is_required) return "required";
  return key.fallback;
}

void write_section(std::string& page, const Section& section) {
  fmt::format_to(std::back_inserter(page), "\n### {}\n\n{}\n\n", section.name, section.doc);
  page += "| key | type | default | meaning |\n|---|---|---|---|\n";
  for (const KeySpec& key : section.keys) {
    fmt::format_to(std::back_inserter(page), "| `{}` | {} | {} | {} |\n", key.name,
                   cell(type_of(key)), default_of(key), cell(key.doc));
  }
  if (!section.later.empty()) {
    fmt::format_to(std::back_inserter(page), "\nNot supported yet: {}.\n",
                   fmt::join(section.later, ", "));
  }
}

void write_numbers(std::string& page, const ParameterSchema& schema) {
  page += "\n| number | dimension | default | range | meaning |\n|---|---|---|---|---|\n";
  constexpr double unbounded = 1e30;
  for (const ParameterSpec& spec : schema) {
    const std::string fallback =
        spec.fallback ? print_number(*spec.fallback, spec.dimension) : "required";
    const std::string high =
        spec.maximum >= unbounded ? std::string{} : print_number(spec.maximum, spec.dimension);
    fmt::format_to(std::back_inserter(page), "| `{}` | {} | {} | {} to {} | {} |\n", spec.name,
                   name_of(spec.dimension), fallback, print_number(spec.minimum, spec.dimension),
                   high, cell(spec.doc));
  }
}

constexpr Dimension dimensions[] = {
    Dimension::Scalar,     Dimension::Count,           Dimension::Size,
    Dimension::Bandwidth,  Dimension::ComputeRate,     Dimension::Frequency,
    Dimension::Time,       Dimension::Power,           Dimension::Energy,
    Dimension::Money,      Dimension::MoneyRate,       Dimension::EnergyPrice,
    Dimension::Carbon,     Dimension::CarbonIntensity, Dimension::Fraction,
    Dimension::RequestRate};

void write_units(std::string& page) {
  page += "\n## Units\n\n| dimension | units | example |\n|---|---|---|\n";
  for (const Dimension dimension : dimensions) {
    fmt::format_to(std::back_inserter(page), "| {} | {} | `{}` |\n", name_of(dimension),
                   fmt::join(units_of(dimension), ", "), example_of(dimension));
  }
}

constexpr const char* opening =
    "# Reference of the description files\n\n"
    "Made from the declarations in the code; do not edit. Every file opens with `kind:`; `name:` "
    "may be left out.\n\n"
    "A number of a chip, link, system, price or software carries its origin: `{value: 3.35 TB/s, "
    "source: nvidia-h100-datasheet, basis: datasheet, range: [3.2 TB/s, 3.4 TB/s]}`. `source` is a "
    "key of hw_configs/sources.yaml; `basis` is datasheet, measured, published, derived, fitted or "
    "assumed; `range` may be left out. `extends: NAME` takes everything from another file of the "
    "kind and changes what it names; `null` removes a key. `--set path=value` changes one value; "
    "the path starts at the scenario: `traffic.concurrency=8`, `system.groups.gpu.count=4`, "
    "`system.chips.h100_sxm.hbm_bandwidth='4 TB/s'`.\n";

std::vector<Section> workload_sections() {
  return {config::scenario_section(),
          config::deployment_section(),
          config::routing_section(),
          config::placement_section(),
          config::pool_section(),
          config::speculation_section(),
          config::precision_section(),
          config::weight_override_section(),
          config::serving_section(),
          config::eviction_section(),
          config::planner_section(),
          config::traffic_section(),
          config::trace_section(),
          config::slo_section(),
          config::model_section(),
          config::norm_section(),
          config::attention_section(),
          config::sliding_attention_section(),
          config::latent_attention_section(),
          config::indexer_section(),
          config::gated_delta_section(),
          config::rope_section(),
          config::rope_scaling_section("llama3"),
          config::rope_scaling_section("yarn"),
          config::rope_scaling_section("linear"),
          config::ffn_section(),
          config::experts_section(),
          config::router_section(),
          config::mtp_section()};
}

}  // namespace

std::string config_reference(const ModelSchemas& schemas) {
  std::string page = opening;
  write_units(page);
  page += "\n## Workloads\n";
  for (const Section& section : workload_sections()) {
    write_section(page, section);
  }
  page += "\n## Hardware\n";
  write_section(page, config::system_section());
  write_numbers(page, system_schema());
  write_section(page, config::group_section());
  write_section(page, config::bridge_section());
  write_section(page, config::link_section());
  write_numbers(page, link_schema());
  write_section(page, config::fabric_section());
  write_numbers(page, fabric_schema());
  write_section(page, config::fabric_level_section());
  write_numbers(page, fabric_level_schema());
  write_section(page, config::chip_section());
  for (const auto& [name, schema] : schemas) {
    fmt::format_to(std::back_inserter(page), "\n#### Numbers of `model: {}`\n", name);
    write_numbers(page, schema);
  }
  write_section(page, config::prices_section());
  write_numbers(page, prices_schema());
  write_section(page, config::software_section());
  write_numbers(page, software_schema());
  write_section(page, config::source_section());
  page += "\n## Studies\n";
  for (const Section& section :
       {config::sweep_section(), config::plan_section(), config::plan_limits_section(),
        config::grid_section(), config::sample_section(), config::range_section()}) {
    write_section(page, section);
  }
  return page;
}

}  // namespace tandem
