#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "models/catalog/catalog.hpp"
#include "sim/config/yaml_reader.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/describe_network.hpp"
#include "sim/entry/describe_page.hpp"
#include "sim/entry/describe_prices.hpp"

namespace tandem::entry {
namespace {

using Json = nlohmann::ordered_json;

bool knows(const Loader& loader, const std::string& kind, const std::string& name) {
  const std::vector<std::string> names = loader.list(kind);
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// The list that a description file belongs to by its `kind:`; empty where it does not say.
std::string kind_of_file(const std::string& path) {
  if (path.ends_with(".json")) return "models";
  config::Problems ignored;  // whoever reads the file reports them
  const config::Tree tree = config::read_yaml(path, ignored);
  const config::Tree* word = tree.is_map() ? tree.find("kind") : nullptr;
  if (word == nullptr || !word->is_scalar()) return "";
  for (const char* kind : {"chip", "link", "system", "model"}) {
    if (word->text == kind) return word->text + "s";
  }
  return word->text == "scenario" ? "scenarios" : word->text;
}

/// What a name or path stands for: "chips", "models"; empty where it is unknown.
std::string kind_of(const Loader& loader, const std::string& name) {
  for (const char* kind :
       {"chips", "links", "prices", "software", "systems", "models", "scenarios"}) {
    if (knows(loader, kind, name)) return kind;
  }
  if (name.ends_with(".json") || name.ends_with(".yaml") || name.ends_with(".yml")) {
    const std::string kind = kind_of_file(name);
    return kind.empty() ? "scenarios" : kind;
  }
  std::error_code failure;
  const std::string here = name + ".yaml";
  return std::filesystem::is_regular_file(here, failure) ? kind_of_file(here) : "";
}

Json parameters_json(const ParameterSet& parameters, bool fitted_only) {
  Json json = Json::object();
  for (const auto& [key, parameter] : parameters.all()) {
    if (fitted_only && parameter.basis != Basis::Fitted) continue;
    json[key] = {{"value", parameter.value},
                 {"dimension", name_of(parameter.dimension)},
                 {"basis", name_of(parameter.basis)},
                 {"source", parameter.source},
                 {"low", parameter.low ? Json(*parameter.low) : Json(nullptr)},
                 {"high", parameter.high ? Json(*parameter.high) : Json(nullptr)}};
  }
  return json;
}

Json roles_json(const std::vector<RoleTotal>& roles) {
  Json list = Json::array();
  for (const RoleTotal& role : roles) {
    const KernelWork& work = role.work;
    list.push_back({{"role", role.role},
                    {"count", role.kernels},
                    {"matrix_flops", work.matrix.count()},
                    {"vector_flops", work.vector.count()},
                    {"special_flops", work.special.count()},
                    {"weight_bytes", work.weight_bytes.count()},
                    {"read_bytes", work.read_bytes.count()},
                    {"write_bytes", work.write_bytes.count()}});
  }
  return list;
}

/// A chip, link, price book or software layer.
template <class Described>
DescribeAnswer answer_of(const std::string& kind, const Described& described, bool fitted_only) {
  const Json json{{"kind", kind},
                  {"name", described.name},
                  {"parameters", parameters_json(described.parameters, fitted_only)}};
  return {describe_parameters(described.name, described.parameters, fitted_only), json.dump()};
}

DescribeAnswer chip_answer(const Context& context, const DescribeRequest& request) {
  const Chip chip = context.loader.chip(request.name);
  DescribeAnswer answer = answer_of("chip", chip, request.fitted_only);
  const ParameterSet shared = shared_constants(chip.model);
  if (request.fitted_only && !shared.all().empty()) {
    answer.page += describe_parameters("shared by all chips", shared, true);
  }
  return answer;
}

DescribeAnswer prices_answer(const Prices& prices, bool fitted_only) {
  DescribeAnswer answer = answer_of("prices", prices, fitted_only);
  if (!fitted_only) answer.page += describe_hours(prices);
  return answer;
}

DescribeAnswer model_answer(const Context& context, const DescribeRequest& request) {
  const NeuralNetwork network = context.loader.network(request.name);
  const std::string page = describe_network(network, request.passes);
  const PassTotals totals = totals_of_passes(network, request.passes);
  const Json json{
      {"kind", "model"},
      {"name", network.name},
      {"operators",
       {{"prefill", roles_json(totals.prefill)}, {"decode", roles_json(totals.decode)}}}};
  return {page, json.dump()};
}

/// What has a page and no table of values.
DescribeAnswer page_answer(const std::string& kind, const std::string& name, std::string page) {
  return {std::move(page), Json{{"kind", kind}, {"name", name}}.dump()};
}

[[noreturn]] void refuse_name(const Loader& loader, const std::string& name) {
  std::vector<std::string> all;
  for (const char* list : {"chips", "links", "systems", "models", "scenarios", "prices"}) {
    const std::vector<std::string> names = loader.list(list);
    all.insert(all.end(), names.begin(), names.end());
  }
  const std::string near = closest_match(name, all);
  throw ConfigError(fmt::format("nothing is called '{}'{}", name,
                                near.empty() ? "; see 'tandem list chips|systems|models|scenarios'"
                                             : fmt::format("; did you mean '{}'?", near)));
}

}  // namespace

DescribeAnswer describe_of(const Context& context, const DescribeRequest& request) {
  const Loader& loader = context.loader;
  const std::string& name = request.name;
  const bool fitted = request.fitted_only;
  const std::string kind = kind_of(loader, name);
  if (kind == "chips") return chip_answer(context, request);
  if (kind == "links") return answer_of("link", loader.link(name), fitted);
  if (kind == "prices") return prices_answer(loader.prices(name), fitted);
  if (kind == "software") return answer_of("software", loader.software(name), fitted);
  if (kind == "systems") return page_answer("system", name, describe_system(loader.system(name)));
  if (kind == "models") return model_answer(context, request);
  if (kind.empty()) refuse_name(loader, name);
  return page_answer("scenario", name, describe_scenario(loader.scenario(name), context.catalogue));
}

}  // namespace tandem::entry
