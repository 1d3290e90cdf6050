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

bool is_matrix(const TensorSpec& tensor) {
  return tensor.shape.size() > 1 && tensor.name.find("_bias") == std::string::npos;
}

/// Bytes of all weights, or of all but those of the prediction modules, when matrices of layers are
/// stored in a precision and the rest (tables, head, norms, routers, vectors) in bfloat16.
std::int64_t weight_bytes(const NeuralNetwork& network, const formats::Precision& precision,
                          bool experts_only, bool with_modules) {
  std::int64_t total = 0;
  for (const TensorSpec& tensor : tensors_of(network)) {
    if (!with_modules && tensor.name.starts_with("mtp.")) continue;
    const bool in_layers =
        tensor.role == TensorRole::Expert ||
        (!experts_only && (tensor.role == TensorRole::Mixing || tensor.role == TensorRole::Ffn ||
                           tensor.role == TensorRole::Indexer));
    if (precision.weight && !(in_layers && is_matrix(tensor))) {
      total += tensor.elements() * bytes_of(ElementType::Bfloat16);
      continue;
    }
    const std::int64_t columns = tensor.shape.back();
    const std::int64_t rows = tensor.shape.size() == 2 ? tensor.shape.front() : 0;
    // Experts are matrices of their own; a vector is one row.
    const bool stacked = tensor.shape.size() == 3;
    const std::int64_t matrices = stacked ? tensor.shape.front() : 1;
    total += matrices *
             formats::weight_bytes(
                 precision, stacked ? tensor.shape[1] : std::max<std::int64_t>(rows, 1), columns);
  }
  return total;
}

void add_weights(const NeuralNetwork& network, std::string& page) {
  page += network.mtp.modules > 0 ? "  weights, without multi-token prediction\n" : "  weights\n";
  for (const char* name : {"bfloat16", "fp8_block", "int8_wo", "int4_wo", "nvfp4", "mxfp4"}) {
    page +=
        fmt::format("    {:<18}{}\n", name,
                    size_text(weight_bytes(network, formats::find_precision(name), false, false)));
  }
  const std::string& published = network.checkpoint_format;
  if (published.empty() || published == "bfloat16") return;
  formats::Precision precision = formats::find_precision("bfloat16");
  if (published == "fp8_e4m3_block128x128") {
    precision = formats::find_precision("fp8_block");
  } else if (published == "mxfp4_experts") {
    precision = formats::find_precision("mxfp4");
  } else if (published == "int4_group32_experts") {
    precision.weight = formats::find_quant_format("int4_g32");
  } else {
    precision = formats::find_precision(published);
  }
  const bool experts_only = published.ends_with("_experts");
  page += fmt::format("    {:<18}{} (as published: {})\n", "checkpoint",
                      size_text(weight_bytes(network, precision, experts_only, false)), published);
  if (network.mtp.modules > 0) {
    page += fmt::format("    {:<18}{} with multi-token prediction in the same formats\n", "",
                        size_text(weight_bytes(network, precision, experts_only, true)));
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
