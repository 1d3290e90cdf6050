#include "sim/entry/describe_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "sim/describe/tensors.hpp"
#include "sim/entry/describe_layer.hpp"
#include "sim/entry/describe_page.hpp"
#include "sim/numerics/formats/quant_format.hpp"

namespace tandem::entry {
namespace {

std::string size_text(std::int64_t bytes) {
  return si_text(static_cast<double>(bytes), "B");
}

/// Smallest period of a pattern that repeats at least twice; 0: none.
std::size_t period_of(const std::vector<std::int32_t>& pattern) {
  for (std::size_t period = 1; 2 * period <= pattern.size(); ++period) {
    if (std::equal(pattern.begin() + static_cast<std::ptrdiff_t>(period), pattern.end(),
                   pattern.begin())) {
      return period;
    }
  }
  return 0;
}

std::string runs_text(const NeuralNetwork& network) {
  const std::vector<std::int32_t>& pattern = network.pattern;
  std::string text;
  for (std::size_t i = 0; i < pattern.size();) {
    std::size_t end = i;
    while (end < pattern.size() && pattern[end] == pattern[i]) ++end;
    text += fmt::format("{}{} x {}", text.empty() ? "" : ", ", kind_label(network, pattern[i]),
                        end - i);
    i = end;
  }
  return text;
}

void add_kinds(const NeuralNetwork& network, std::string& page) {
  for (std::size_t i = 0; i < network.kinds.size(); ++i) {
    const auto kind = static_cast<std::int32_t>(i);
    const auto layers = std::count(network.pattern.begin(), network.pattern.end(), kind);
    const bool predicts = network.mtp.modules > 0 && network.mtp.kind == kind;
    if (layers == 0 && !predicts) continue;
    page += fmt::format("  {:<4}{} layer{}{}\n", kind_label(network, kind), layers,
                        layers == 1 ? "" : "s", predicts ? " and multi-token prediction" : "");
    page += fmt::format("      {}\n", mixer_text(network.kinds[i]));
    for (const std::string& line : ffn_lines(network.kinds[i].ffn)) {
      page += fmt::format("      {}\n", line);
    }
  }
}

std::string parameter_text(std::int64_t parameters) {
  if (parameters < 100'000'000) return std::to_string(parameters);
  return fmt::format("{:.4g} G ({})", static_cast<double>(parameters) / 1e9, parameters);
}

void add_parameters(const NeuralNetwork& network, std::string& page) {
  const ParameterCount count = count_parameters(network);
  page += fmt::format("  parameters          {}\n", parameter_text(count.total));
  page += fmt::format("    active per token  {}\n", parameter_text(count.active));
  page += fmt::format("    of that, without the input table  {}\n",
                      parameter_text(count.active_without_embedding));
  page += fmt::format("    embedding tables  {}\n", parameter_text(count.embedding));
  if (count.mtp > 0) {
    page += fmt::format("    multi-token prediction, on top  {}\n", parameter_text(count.mtp));
  }
}

/// Bytes of all weights, or of all but those of the prediction modules.
std::int64_t weight_bytes(const NeuralNetwork& network, const Precision& precision,
                          bool with_modules) {
  std::int64_t total = 0;
  for (const TensorSpec& tensor : tensors_of(network)) {
    if (!with_modules && tensor.name.starts_with("mtp.")) continue;
    total += stored_bytes(tensor, precision.storage_of(part_of(tensor), layer_of(tensor)));
  }
  return total;
}

Precision in_format(const formats::QuantFormat& format) {
  Precision precision;
  precision.weight_format = &format;
  return precision;
}

/// Whether every matrix of layers is made of whole groups where a format asks for them.
bool stores(const formats::QuantFormat& format, const NeuralNetwork& network) {
  if (!format.whole_groups) return true;
  const Precision precision = in_format(format);
  return std::ranges::all_of(tensors_of(network), [&](const TensorSpec& tensor) {
    const bool has_format =
        precision.storage_of(part_of(tensor), layer_of(tensor)).format != nullptr;
    return !has_format || tensor.shape.back() % format.granularity.cols == 0;
  });
}

/// What the name of a published checkpoint's format says.
Precision published_precision(const std::string& name) {
  if (name == "fp8_e4m3_block128x128") return in_format(formats::find_quant_format("fp8_block"));
  const bool is_mxfp4 = name == "mxfp4_experts";
  if (is_mxfp4 || name == "int4_group32_experts") {
    Precision precision;
    WeightOverride experts;
    experts.part = WeightPart::Experts;
    experts.weights.format = &formats::find_quant_format(is_mxfp4 ? "mxfp4" : "int4_g32");
    precision.overrides.push_back(experts);
    return precision;
  }
  Precision precision;
  precision.weights = formats::find_precision(name).element;
  return precision;
}

void add_weights(const NeuralNetwork& network, std::string& page) {
  page += fmt::format("  weights{}, matrices of layers in a format, the rest in bfloat16\n",
                      network.mtp.modules > 0 ? " without multi-token prediction" : "");
  const auto add = [&](const std::string& name, std::int64_t bytes, const std::string& note) {
    page += fmt::format("    {:<18}{}{}\n", name, size_text(bytes), note);
  };
  add("bfloat16", weight_bytes(network, {}, false), "");
  for (const formats::QuantFormat& format : formats::quant_formats()) {
    if (format.name == "fp8_kv" || !stores(format, network))
      continue;  // fp8_kv: no name of weights
    add(std::string(format.name), weight_bytes(network, in_format(format), false), "");
  }
  const std::string& published = network.checkpoint_format;
  if (published.empty() || published == "bfloat16") return;
  const Precision precision = published_precision(published);
  add("checkpoint", weight_bytes(network, precision, false),
      fmt::format(" (as published: {})", published));
  if (network.mtp.modules > 0) {
    add("", weight_bytes(network, precision, true),
        " with multi-token prediction in the same formats");
  }
}

void add_caches(const NeuralNetwork& network, std::string& page) {
  constexpr std::int64_t width = 2;
  const std::int64_t kv = kv_elements_per_token(network);
  page += fmt::format("  KV per token        {} B in bfloat16 ({} elements)\n", kv * width, kv);
  if (const std::int64_t index = index_elements_per_token(network); index > 0) {
    page += fmt::format("  index keys per token {} B in bfloat16\n", index * width);
  }
  std::int64_t windows = 0;
  for (const std::int32_t kind : network.pattern) {
    const LayerKind& layer = network.kinds[static_cast<std::size_t>(kind)];
    windows += cache_window(layer) * kv_elements_per_token(layer);
  }
  if (windows > 0) {
    page += fmt::format("  window caches       {} per sequence at most, in bfloat16\n",
                        size_text(windows * width));
  }
  if (const std::int64_t state = recurrent_state_elements(network); state > 0) {
    page += fmt::format(
        "  state per sequence  {} B recurrent in float32, {} B convolution in "
        "bfloat16\n",
        4 * state, width * conv_state_elements(network));
  }
}

}  // namespace

std::string pattern_text(const NeuralNetwork& network) {
  const std::vector<std::int32_t>& pattern = network.pattern;
  const std::size_t period = period_of(pattern);
  if (period <= 1) return runs_text(network);
  const auto piece = [&](std::size_t begin, std::size_t end) {
    std::string text;
    for (std::size_t i = begin; i < end; ++i) {
      const std::string label = kind_label(network, pattern[i]);
      text += (text.empty() || label.size() == 1 ? "" : " ") + label;
    }
    return text;
  };
  const std::size_t whole = pattern.size() / period;
  std::string text = fmt::format("({}) x {}", piece(0, period), whole);
  if (whole * period < pattern.size()) text += ", " + piece(whole * period, pattern.size());
  return text;
}

std::string describe_network(const NeuralNetwork& network, const DescribedPasses& passes) {
  std::string page = fmt::format("{}   ({})\n", network.name, network.source);
  page += fmt::format("  {} layer{}: {}\n", network.layers(), network.layers() == 1 ? "" : "s",
                      pattern_text(network));
  page +=
      fmt::format("  hidden {}, vocabulary {}{}, context {}\n", network.hidden, network.vocabulary,
                  network.tied_embeddings ? " (tied)" : "", network.max_context);
  add_kinds(network, page);
  add_parameters(network, page);
  add_weights(network, page);
  add_caches(network, page);
  return page + describe_passes(network, passes);
}

}  // namespace tandem::entry
