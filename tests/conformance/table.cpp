#include "tests/conformance/table.hpp"

#include <fmt/format.h>

#include "sim/describe/kv_slots.hpp"
#include "tests/conformance/operators.hpp"
#include "tests/conformance/same_tokens.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem::conformance {
namespace {

using formats::CodeType;
using formats::QuantFormat;

/// Sums in other orders and softmax by blocks, over the layers of a small network.
constexpr double float_tolerance = 2e-5;
/// Operands in float16 with sums in float, over the same.
constexpr double float16_tolerance = 2e-2;
constexpr double bfloat16_tolerance = 5e-2;

bool is_float(const QuantFormat& format) {
  return format.code == CodeType::Fp8E4m3 || format.code == CodeType::Fp8E5m2 ||
         format.code == CodeType::E2m1;
}

void add_products(std::string& page) {
  page +=
      "## Products on GPUs\n\nEvery operator's matrix with every pair of formats: a dot product of "
      "the kernel against `linear_quantised()` and `linear_weight_only()` (docs/formats.md).\n\n"
      "| weights | kept rows |";
  for (const QuantFormat* rows : row_formats()) {
    if (rows != nullptr) page += fmt::format(" {} |", rows->name);
  }
  page += "\n|---|---|";
  for (const QuantFormat* rows : row_formats()) page += rows == nullptr ? "" : "---|";
  page += "\n";
  for (const QuantFormat* weights : weight_formats()) {
    page += fmt::format("| {} |", weights->name);
    for (const QuantFormat* rows : row_formats()) {
      page += fmt::format(" {} |", text_of(product_on_gpu(*weights, rows)));
    }
    page += "\n";
  }
  page += "\nRefused when the scenario is read:\n\n";
  page += fmt::format(
      "- {}\n- {}\n",
      product_on_gpu(formats::find_quant_format("int2_g32"), &formats::find_quant_format("int8"))
          .refused,
      product_on_gpu(formats::find_quant_format("mxfp4"), &formats::find_quant_format("int8"))
          .refused);
}

void add_networks(std::string& page) {
  page +=
      "\n## Operators in networks\n\nLogits of a prompt and of tokens behind it, the operator's "
      "weights in each of the formats above, against the reference model with what the format "
      "leaves of them. GPU: rows kept in float32. LPU: `expand: load`, float16.\n\n"
      "| operator | network | GPU | LPU |\n|---|---|---|---|\n";
  for (const Operator& op : operators()) {
    page += fmt::format("| {} | {} | {} | {} |\n", op.name, op.network.name,
                        text_of(network_on_gpu(op)), text_of(network_on_lpu(op)));
  }
  page += "\nRefused by the chip:\n\n";
  page += fmt::format("- LPU, codes in SRAM: {}\n", codes_on_lpu().refused);
  for (const Operator& op : operators()) {
    for (const auto& [chip, promise] :
         {std::pair("GPU", network_on_gpu(op)), std::pair("LPU", network_on_lpu(op))}) {
      if (!promise.refused.empty())
        page += fmt::format("- {}, {}: {}\n", chip, op.name, promise.refused);
    }
  }
}

void add_caches(std::string& page) {
  page +=
      "\n## Formats of the KV cache\n\nA token behind a prompt whose slots came from another chip, "
      "against the chip that made them: elements on both kinds of chip, formats on GPUs; "
      "activations of GPUs in float32, of LPUs in float16.\n\n| format |";
  for (const NeuralNetwork& network : cached_networks()) page += fmt::format(" {} |", network.name);
  page += "\n|---|";
  for (std::size_t i = 0; i < cached_networks().size(); ++i) page += "---|";
  page += "\n";
  for (const ElementType type : cache_elements()) {
    page += fmt::format("| {} |", type == ElementType::Fp8E4m3 ? "fp8" : name_of(type));
    for (const NeuralNetwork& network : cached_networks()) {
      page += fmt::format(" {}, LPU {} |", text_of(cache_on_gpu(type, network)),
                          text_of(cache_on_lpu(type, network)));
    }
    page += "\n";
  }
  for (const formats::KvFormat& format : formats::kv_formats()) {
    page += fmt::format("| {} |", format.name);
    for (const NeuralNetwork& network : cached_networks()) {
      page += fmt::format(" {} |", text_of(cache_on_gpu(format, network)));
    }
    page += "\n";
  }
  page += fmt::format("\nRefused by the LPU: formats: {}; int8: {}\n", cache_on_lpu().refused,
                      cache_on_lpu(ElementType::Int8, dense_network()).refused);
}

}  // namespace

std::string text_of(const Promise& promise) {
  if (!promise.refused.empty()) return "refused";
  return promise.tolerance == 0 ? "bits" : fmt::format("{}", promise.tolerance);
}

std::vector<NeuralNetwork> cached_networks() {
  return {dense_network(), test::dsv3_tiny(), test::qwen35_tiny(), test::dsv32_tiny()};
}

Promise cache_on_gpu(const formats::KvFormat& format, const NeuralNetwork& network) {
  Precision precision;
  precision.kv_format = &format;
  return {0, kv_problem(network, precision)};
}

std::vector<ElementType> cache_elements() {
  return {ElementType::Float16, ElementType::Bfloat16, ElementType::Fp8E4m3, ElementType::Int8};
}

Promise cache_on_gpu(ElementType, const NeuralNetwork& network) {
  return {0, network.name == "dsv32-tiny" ? "keys of an indexer do not move between chips" : ""};
}

Promise cache_on_lpu(ElementType type, const NeuralNetwork& network) {
  const Promise in_float16 = network_on_lpu(network, ElementType::Float16);
  if (!in_float16.refused.empty() || type != ElementType::Int8) {
    return {0, in_float16.refused};
  }
  return {0, "programs have no weights and KV in int8 yet; use float16, bfloat16 or fp8"};
}

Promise cache_on_lpu() {
  return {0, "keeps keys and values as elements that its planes multiply"};
}

std::vector<Operator> operators() {
  const NeuralNetwork delta = test::qwen35_tiny();
  const NeuralNetwork latent = test::dsv3_tiny();
  const NeuralNetwork experts = test::gptoss_tiny();
  return {{"dense product", dense_network(), WeightPart::FeedForward, "down_projection",
           "layers.0.ffn.down", 0},
          {"attention's projections", dense_network(), WeightPart::Mixers, "output_projection",
           "layers.0.attention.output", 0},
          {"experts' products", experts, WeightPart::Experts, "expert_down_projection",
           "layers.0.experts.down", 0},
          {"shared expert", latent, WeightPart::FeedForward, "shared_down_projection",
           "layers.1.shared.down", 1},
          {"latent attention's projections", latent, WeightPart::Mixers, "query_up_projection",
           "layers.0.attention.query_up", 0},
          {"gated delta projections", delta, WeightPart::Mixers, "output_projection",
           "layers.0.delta.output", 0},
          {"LM head", dense_network(), WeightPart::Head, "lm_head", "head", -1},
          {"prediction module's projection", module_of(latent), WeightPart::Mixers, "mtp_combine",
           "combine", 0}};
}

std::vector<const QuantFormat*> weight_formats() {
  std::vector<const QuantFormat*> list;
  for (const QuantFormat& format : formats::quant_formats()) {
    const bool is_of_caches = format.name == "fp8_kv";
    const bool has_whole_groups = format.whole_groups;  // rows of small networks are no multiples
    if (!is_of_caches && !has_whole_groups) list.push_back(&format);
  }
  return list;
}

std::vector<const QuantFormat*> row_formats() {
  std::vector<const QuantFormat*> list{nullptr};
  for (const char* name : {"fp8_channel", "fp8_group", "int8", "mxfp8", "mxfp4", "nvfp4"}) {
    list.push_back(&formats::find_quant_format(name));
  }
  return list;
}

Promise product_on_gpu(const QuantFormat& weights, const QuantFormat* rows) {
  if (rows == nullptr) return {};
  const bool rows_are_int8 = rows->code == CodeType::Int8;
  if (rows_are_int8 ? is_float(weights) : weights.code == CodeType::Int8) {
    return {0, fmt::format("no pipe takes codes of {} with rows in {}", weights.name, rows->name)};
  }
  if (weights.has_zero_point()) {
    return {0,
            fmt::format("codes of {} have zero points and are not multiplied with quantised rows",
                        weights.name)};
  }
  return {};
}

Promise network_on_gpu(const Operator&) {
  return {float_tolerance, ""};
}

Promise network_on_lpu(const Operator&) {
  return {float16_tolerance, ""};
}

Promise codes_on_lpu() {
  return {0, "multiply float16, bfloat16 or fp8, one of them for all weights"};
}

std::vector<ElementType> element_types() {
  return {ElementType::Float32, ElementType::Bfloat16, ElementType::Float16};
}

Promise elements_on_gpu(ElementType type) {
  if (type == ElementType::Float32) return {float_tolerance, ""};
  return {type == ElementType::Float16 ? float16_tolerance : bfloat16_tolerance, ""};
}

Promise elements_on_lpu(ElementType type) {
  if (type == ElementType::Float32) {
    return {0, "programs have no weights and KV in float32 yet; use float16, bfloat16 or fp8"};
  }
  return elements_on_gpu(type);
}

NeuralNetwork dense_network() {
  return test::dense_tiny();
}

std::string page() {
  std::string page =
      "# Conformance\n\nMade by `conformance_page` (tests/conformance) from the table that "
      "`conformance_test` checks cell by cell; do not edit. \"bits\": equal to the last bit. A "
      "number: largest difference as a share of the largest value of the reference. \"refused\": "
      "an "
      "error that says so, which is tested too. q4_0 is left out here: rows of these networks are "
      "no multiples of its 32 (`product_formats_test` has it).\n\n";
  add_products(page);
  add_networks(page);
  page += operators_page();
  add_caches(page);
  page += same_tokens_page();
  return page;
}

}  // namespace tandem::conformance
