#include "tests/conformance/operators.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "sim/core/overloaded.hpp"
#include "sim/describe/kv_slots.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem::conformance {
namespace {

using Names = std::vector<std::string>;

const char* name_of(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::Silu:
      return "silu";
    case ActivationKind::Gelu:
      return "gelu";
    case ActivationKind::GeluTanh:
      return "gelu by tanh";
    case ActivationKind::ClampedSwiglu:
      return "clamped swiglu";
  }
  return "";
}

const char* name_of(ElementwiseKind kind) {
  switch (kind) {
    case ElementwiseKind::SigmoidGate:
      return "gate of attention";
    case ElementwiseKind::TokenGate:
      return "gate of the shared expert";
    case ElementwiseKind::Scale:
      return "scaled embedding";
    case ElementwiseKind::Softcap:
      return "soft cap of logits";
    case ElementwiseKind::Add:
      return "sum of branches";
  }
  return "";
}

const char* name_of(ops::RouterRule rule) {
  switch (rule) {
    case ops::RouterRule::SoftmaxTopk:
      return "the largest of a softmax";
    case ops::RouterRule::TopkSoftmax:
      return "a softmax of the largest";
    case ops::RouterRule::SigmoidBias:
      return "sigmoids";
  }
  return "";
}

/// `base`, and `base with x` for what is there.
Names variants(const std::string& base, const std::vector<std::pair<bool, std::string>>& extras) {
  Names names{base};
  for (const auto& [is_there, extra] : extras) {
    if (is_there) names.push_back(base + " " + extra);
  }
  return names;
}

Names names_of(const NormKernel& s) {
  return variants(s.kind == NormKind::Rms ? "RMS norm" : "LayerNorm",
                  {{!s.weighted, "without weights"},
                   {s.gated, "with a gate"},
                   {s.adds_residual, "before the residual"}});
}
Names names_of(const GemmKernel& s) {
  return variants("product", {{s.bias, "with a bias"}, {s.precision != nullptr, "of formats"}});
}
Names names_of(const BatchedGemmKernel& s) {
  return variants("product per head", {{s.precision != nullptr, "of formats"}});
}
Names names_of(const GroupedGemmKernel& s) {
  return variants("product per expert",
                  {{s.bias, "with a bias"}, {s.precision != nullptr, "of formats"}});
}
Names names_of(const RopeKernel& s) {
  return variants("rotation and cache",
                  {{s.rotated_dims() == 0, "without rotation"},
                   {s.rotated_dims() > 0 && s.rotated_dims() < s.head_dim, "of a part of heads"},
                   {s.extra > 0, "of latents"},
                   {s.slots.is_coded(), "in slots"}});
}
Names names_of(const CacheReadKernel& s) {
  return variants("cached rows of prompts", {{s.slots.is_coded(), "in slots"}});
}
Names names_of(const AttentionKernel& s) {
  return variants("attention", {{s.window > 0, "over a window"},
                                {s.sinks, "with sinks"},
                                {s.softcap, "with a soft cap"},
                                {s.shared_key_dim > 0, "over keys made of latents"},
                                {s.slots.is_coded(), "over slots"},
                                {s.sums_keys, "with sums for H2O"}});
}
Names names_of(const LatentAttentionKernel& s) {
  return variants("latent attention", {{s.selected > 0, "over chosen keys"},
                                       {s.slots.is_coded(), "over slots"},
                                       {s.sums_keys, "with sums for H2O"}});
}
Names names_of(const GatedDeltaKernel& s) {
  return {s.phase == DeltaPhase::Chunked ? "gated delta rule in chunks"
                                         : "gated delta rule by token"};
}
Names names_of(const RouterKernel& s) {
  Names names = variants(fmt::format("router by {}", name_of(s.router.rule)),
                         {{s.router.bias, "with a bias"}, {s.router.groups > 1, "with groups"}});
  if (s.expert_scale) names.push_back("router with a factor per expert");
  return names;
}
Names names_of(const CombineKernel& s) {
  return variants("sum of experts", {{s.shared, "with the shared one"}});
}
Names names_of(const ActivationKernel& s) {
  return {fmt::format("{}{}", name_of(s.kind), s.gated ? " times up" : "")};
}
Names names_of(const ElementwiseKernel& s) {
  return {name_of(s.kind)};
}
Names names_of(const EmbeddingKernel&) {
  return {"embedding"};
}
Names names_of(const IndexerKernel&) {
  return {"indexer"};
}
Names names_of(const ShortConvolutionKernel&) {
  return {"short convolution"};
}
Names names_of(const DeltaGateKernel&) {
  return {"gates of the delta rule"};
}
Names names_of(const DispatchKernel&) {
  return {"rows to experts"};
}
Names names_of(const SampleKernel&) {
  return {"sampling"};
}
Names names_of(const QuantiseKernel&) {
  return {"rows into a format"};
}
Names names_of(const ExpertSortKernel&) {
  return {"sort by expert"};
}
Names names_of(const StateSpaceScanKernel&) {
  return {"state-space scan"};
}

Precision elements(ElementType type) {
  return {type, type, type};
}

/// A network whose layers attend as the first does, as programs of LPUs need it.
NeuralNetwork one_attention(NeuralNetwork network) {
  network.name += ", one attention";
  for (LayerKind& kind : network.kinds) kind.mixer = network.kinds.front().mixer;
  return network;
}

/// gpt3-tiny with the approximation of GELU that GPT-2 has.
NeuralNetwork approximate_gelu() {
  NeuralNetwork network = test::gpt3_tiny();
  network.name = "gpt3-tiny, gelu by tanh";
  for (LayerKind& kind : network.kinds) kind.ffn.activation = ActivationKind::GeluTanh;
  return network;
}

/// Operands of three bits behind the point, through the layers of a small network.
constexpr double fp8_tolerance = 0.2;

}  // namespace

Names operators_of(const Kernel& kernel) {
  return std::visit([](const auto& shape) { return names_of(shape); }, kernel.shape);
}

Names operators_of(const Stage& stage) {
  std::set<std::string> names;
  const SequenceSlice prompt{0, 0, 5, true}, chunk{1, 5, 3, true}, token{2, 8, 1, true};
  for (const Batch& batch :
       {Batch{{prompt}}, Batch{{chunk}}, Batch{{token}}, Batch{{prompt, chunk, token}}}) {
    for (const Kernel& kernel : lower(stage, batch).kernels) {
      for (const std::string& name : operators_of(kernel)) names.insert(name);
    }
  }
  return {names.begin(), names.end()};
}

Names measured_alone() {
  return {"sort by expert", "state-space scan"};
}

std::vector<NeuralNetwork> operator_networks() {
  std::vector<NeuralNetwork> networks{dense_network()};
  for (const NeuralNetwork& network : test::tiny_networks()) networks.push_back(network);
  for (NeuralNetwork& network :
       std::vector{test::gemma4_tiny(), test::gemma3_tiny(), test::minimax_tiny()}) {
    networks.push_back(one_attention(std::move(network)));
  }
  networks.push_back(approximate_gelu());
  return networks;
}

Promise network_on_gpu(const NeuralNetwork&, ElementType type) {
  return elements_on_gpu(type);
}

Promise network_on_lpu(const NeuralNetwork& network, ElementType type) {
  static const std::map<std::string, std::string> refused = {
      {"gemma4-tiny", "attention of different shapes"},
      {"gemma3-tiny", "attention of different shapes"},
      {"minimax-tiny", "attention of different shapes"},
      {"gpt3-tiny", "the exact GELU, which needs erf"},
      {"dsv32-tiny", "sparse attention"}};
  const auto found = refused.find(network.name);
  return found != refused.end() ? Promise{0, found->second} : elements_on_lpu(type);
}

Promise network_in_fp8_on_lpu(const NeuralNetwork& network) {
  const Promise in_float16 = network_on_lpu(network, ElementType::Float16);
  if (!in_float16.refused.empty()) return in_float16;
  const bool has_states =
      network.name == "qwen35-tiny";  // the reference in the chip's order has none
  return {has_states ? fp8_tolerance : 0, ""};
}

std::vector<ElementType> caches_of_fp8_on_lpu() {
  return {ElementType::Fp8E4m3, ElementType::Float16};
}

std::optional<Promise> network_in_fp8_on_gpu(const NeuralNetwork& network) {
  const std::set<std::string> choosing = {"qwen35-tiny", "dsv3-tiny", "gptoss-tiny", "dsv32-tiny"};
  if (choosing.contains(network.name)) return std::nullopt;
  return Promise{fp8_tolerance, ""};
}

std::vector<Stage> stages_in_techniques(const NeuralNetwork& network) {
  std::vector<Stage> stages;
  Precision quantised = elements(ElementType::Bfloat16);
  quantised.weight_format = quantised.activation_format =
      &formats::find_quant_format("fp8_channel");
  stages.push_back(whole_model(network, quantised));
  Precision coded = elements(ElementType::Bfloat16);
  coded.kv_format = formats::find_kv_format("fp8_channel");
  if (kv_problem(network, coded).empty()) stages.push_back(whole_model(network, coded));
  if (eviction_problem(network).empty()) {
    stages.push_back(whole_model(network, elements(ElementType::Bfloat16)));
    stages.back().eviction = {EvictionPolicy::HeavyHitters, 8, 0};
  }
  return stages;
}

std::string operators_page() {
  std::string page =
      "\n## Operators in element types\n\nLogits of a prompt, a chunk behind it and single tokens "
      "against the reference model with weights and operands rounded to the type, for networks "
      "that together run every operator. LPUs in fp8 (weights and the rows of products, caches in "
      "fp8 and in float16) "
      "against a reference that rounds and adds where their programs do. GPUs with all elements in "
      "fp8: \"-\" where rows so coarse choose other experts or keys.\n\n| network |";
  for (const char* chip : {"GPU", "LPU"}) {
    for (const ElementType type : element_types()) {
      page += fmt::format(" {} {} |", chip, tandem::name_of(type));
    }
  }
  page += " LPU fp8 | GPU fp8 |\n|---|---|---|---|---|---|---|---|---|\n";
  std::map<std::string, Names> networks_by_operator;
  for (const NeuralNetwork& network : operator_networks()) {
    page += fmt::format("| {} |", network.name);
    for (const ElementType type : element_types()) {
      page += fmt::format(" {} |", text_of(network_on_gpu(network, type)));
    }
    for (const ElementType type : element_types()) {
      page += fmt::format(" {} |", text_of(network_on_lpu(network, type)));
    }
    const std::optional<Promise> on_gpu = network_in_fp8_on_gpu(network);
    page += fmt::format(" {} | {} |\n", text_of(network_in_fp8_on_lpu(network)),
                        on_gpu ? text_of(*on_gpu) : "-");
    for (const std::string& name : operators_of(whole_model(network, {}))) {
      networks_by_operator[name].push_back(network.name);
    }
  }
  page += "\nRefused by the LPU:\n\n";
  for (const NeuralNetwork& network : operator_networks()) {
    const Promise promise = network_on_lpu(network, ElementType::Bfloat16);
    if (!promise.refused.empty()) page += fmt::format("- {}: {}\n", network.name, promise.refused);
  }
  page += "\n| operator | networks, of which LPUs run the ones in bold |\n|---|---|\n";
  for (const auto& [name, networks] : networks_by_operator) {
    Names marked;
    for (const NeuralNetwork& network : operator_networks()) {
      if (std::ranges::find(networks, network.name) == networks.end()) continue;
      const bool runs = network_on_lpu(network, ElementType::Bfloat16).refused.empty();
      marked.push_back(runs ? "**" + network.name + "**" : network.name);
    }
    page += fmt::format("| {} | {} |\n", name, fmt::join(marked, "; "));
  }
  page += fmt::format(
      "\nProducts of formats, slots and sums for H2O have tables above and below, or "
      "`eviction_reference_test`. Kernels of measured rows alone: {}.\n",
      fmt::join(measured_alone(), ", "));
  return page;
}

}  // namespace tandem::conformance
