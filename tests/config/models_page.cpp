// Prints docs/models.md: the networks of workloads/models with the sizes that follow from them.
#include <fmt/format.h>

#include <cstdio>
#include <string>

#include "sim/config/loader.hpp"
#include "sim/describe/tensors.hpp"
#include "tests/config/zoo.hpp"

namespace tandem {
namespace {

constexpr const char* opening = R"(# Networks

Made by `models_page` (tests/config) from the files in workloads/models; do not edit. Every number but the published ones follows from the list of a network's tensors (sim/describe/tensors.hpp).

- **total**: all parameters of the text decoder, without modules of multi-token prediction and without vision towers.
- **active**: parameters that a token touches: of routed experts the `top_k` ones, the LM head once, the input table not at all, since one row of it is read. Where the head is tied to the input table, the table counts, as the head.
- **published**: as the maker rounds it; **diff** is total against it.
- **KV**: bytes in bfloat16 that a token adds to the cache, in layers that see all tokens; in brackets those of layers with a window, which stop growing at `window` tokens. Latent attention: its latent and the rotated key. Index keys of sparse attention come on top.
- **state**: Gated DeltaNet's recurrent state in fp32 plus its convolution's inputs in bfloat16, per sequence, whatever its length.
- **layers**: L Gated DeltaNet, F attention over all tokens, S attention over a window.

| network | layers | total | published | diff | active | published | KV B/token | state MiB/sequence | notes |
|---|---|---:|---:|---:|---:|---:|---:|---:|---|
)";

/// "(LLLF) x 10", or the letters themselves where they do not repeat.
std::string pattern_of(const NeuralNetwork& network) {
  std::string letters;
  for (std::int64_t i = 0; i < network.layers(); ++i) letters += letter_of(network.layer(i));
  for (std::size_t period = 1; period <= letters.size(); ++period) {
    bool repeats = true;
    for (std::size_t i = period; i < letters.size(); ++i) {
      repeats = repeats && letters[i] == letters[i - period];
    }
    if (!repeats) continue;
    const std::string unit = letters.substr(0, period);
    const std::size_t rest = letters.size() % period;
    const std::string times =
        fmt::format("{} x {}", period == 1 ? unit : "(" + unit + ")", letters.size() / period);
    return rest == 0 ? times : times + " + " + unit.substr(0, rest);
  }
  return letters;
}

/// Four digits with a unit: "34.66 B".
std::string billions(std::int64_t parameters) {
  const double value = static_cast<double>(parameters) / 1e9;
  return fmt::format("{:.{}f} B", value, value >= 100 ? 1 : value >= 1 ? 2 : 3);
}

std::string notes_of(const NeuralNetwork& network, const zoo::Entry& entry) {
  std::string notes(entry.note);
  const auto add = [&](const std::string& note) { notes += (notes.empty() ? "" : "; ") + note; };
  if (const std::int64_t index = index_elements_per_token(network); index > 0) {
    add(fmt::format("{} B/token of index keys", 2 * index));
  }
  if (network.mtp.modules > 0 && entry.note.find("multi-token") == std::string_view::npos) {
    add(fmt::format("{} module{} of multi-token prediction, {}", network.mtp.modules,
                    network.mtp.modules > 1 ? "s" : "", billions(count_parameters(network).mtp)));
  }
  if (network.tied_embeddings) add("tied head");
  return notes;
}

std::string row_of(const NeuralNetwork& network, const zoo::Entry& entry) {
  const ParameterCount count = count_parameters(network);
  std::int64_t windowed = 0;
  for (std::int64_t i = 0; i < network.layers(); ++i) {
    const LayerKind& kind = network.layer(i);
    if (cache_window(kind) > 0) windowed += 2 * kv_elements_per_token(kind);
  }
  const std::int64_t state =
      4 * recurrent_state_elements(network) + 2 * conv_state_elements(network);
  const double difference = 100 * (static_cast<double>(count.total) / entry.published - 1);
  return fmt::format("| {} | {} | {} | {} | {:+.2f} % | {} | {} | {}{} | {} | {} |\n", network.name,
                     pattern_of(network), billions(count.total), entry.published_text, difference,
                     billions(count.active_without_embedding), entry.published_active,
                     2 * kv_elements_per_token(network),
                     windowed > 0 ? fmt::format(" ({})", windowed) : "",
                     state > 0 ? fmt::format("{:.2f}", static_cast<double>(state) / (1 << 20)) : "",
                     notes_of(network, entry));
}

std::string models_page() {
  const Loader loader(find_roots(), {});
  std::string page = opening;
  for (const zoo::Entry& entry : zoo::networks) {
    page += row_of(loader.network(std::string(entry.name)), entry);
  }
  return page;
}

}  // namespace
}  // namespace tandem

int main() {
  std::fputs(tandem::models_page().c_str(), stdout);
}
