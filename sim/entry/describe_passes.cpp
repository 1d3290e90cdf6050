#include "sim/entry/describe_passes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/describe_page.hpp"
#include "sim/lower/role_totals.hpp"

namespace tandem::entry {
namespace {

constexpr std::int64_t most_sequences = 1'000'000;
constexpr std::int64_t usual_length = 2048;

std::string moved_text(Bytes bytes) {
  return si_text(static_cast<double>(bytes.count()), "B");
}

std::string count_text(Flops operations) {
  return operations.count() == 0 ? "-" : si_text(static_cast<double>(operations.count()), "");
}

void add_row(const RoleTotal& total, std::string& page) {
  const KernelWork& work = total.work;
  page += fmt::format("    {:<27}{:>6}{:>12}{:>12}{:>12}{:>13}{:>13}{:>13}{:>11.4g}\n", total.role,
                      total.kernels, count_text(work.matrix), count_text(work.vector),
                      count_text(work.special), moved_text(work.weight_bytes),
                      moved_text(work.read_bytes), moved_text(work.write_bytes), total.intensity());
}

void merge(const std::vector<RoleTotal>& more, std::vector<RoleTotal>& totals) {
  for (const RoleTotal& role : more) {
    const auto found = std::ranges::find(totals, role.role, &RoleTotal::role);
    if (found == totals.end()) {
      totals.push_back(role);
    } else {
      found->kernels += role.kernels;
      found->work += role.work;
    }
  }
}

/// Totals of a pass through the whole network. Layer by layer: kernels list every sequence of the
/// batch, and those of all layers at once would fill gigabytes.
std::vector<RoleTotal> totals_of_pass(const NeuralNetwork& network, const Batch& batch) {
  Stage part = whole_model(network, Precision{});
  const std::int64_t head_end = part.head_end;
  part.layers = 1;
  std::vector<RoleTotal> totals;
  for (std::int64_t i = 0; i < network.layers(); ++i) {
    part.first_layer = i;
    part.has_embedding = i == 0;
    part.head_end = i + 1 == network.layers() ? head_end : part.head_begin;
    merge(totals_by_role(lower(part, batch)), totals);
  }
  return totals;
}

void add_pass(const std::string& title, const NeuralNetwork& network, const Batch& batch,
              std::string& page) {
  page += fmt::format("\n  {}\n", title);
  page += fmt::format("    {:<27}{:>6}{:>12}{:>12}{:>12}{:>13}{:>13}{:>13}{:>11}\n", "role",
                      "count", "matrix", "vector", "special", "weights", "read", "written", "op/B");
  const std::vector<RoleTotal> roles = totals_of_pass(network, batch);
  for (const RoleTotal& role : roles) add_row(role, page);
  add_row(total_of(roles), page);
  if (network.mtp.modules == 0) return;
  RoleTotal module = total_of(totals_by_role(lower_mtp(whole_model(network, Precision{}), batch)));
  module.role = "on top: 1 prediction module";
  add_row(module, page);
}

Batch decode_batch(std::int64_t sequences, std::int64_t context) {
  Batch batch;
  for (std::int64_t i = 0; i < sequences; ++i) batch.slices.push_back({i, context - 1, 1, true});
  return batch;
}

std::int64_t checked_length(std::optional<std::int64_t> given, const NeuralNetwork& network,
                            std::string_view option) {
  const std::int64_t length = given.value_or(std::min(usual_length, network.max_context));
  if (length < 1 || length > network.max_context) {
    throw ConfigError(fmt::format("{} {}: must be between 1 and {}, the context of {}", option,
                                  length, network.max_context, network.name));
  }
  return length;
}

/// Throws where the totals of a pass could leave 64 bits. Its work is at most that of `tokens`
/// passes of one token each over `context` tokens; the other forms that prefill takes (chunks,
/// naive latent attention) do less than twice as much.
void check_size(const NeuralNetwork& network, std::int64_t tokens, std::int64_t context,
                std::string_view options) {
  constexpr double most = 4e18;
  const KernelWork work = total_of(totals_of_pass(network, decode_batch(1, context))).work;
  const auto operations = static_cast<double>(work.matrix.count()) +
                          static_cast<double>(work.vector.count()) +
                          static_cast<double>(work.special.count());
  const double larger = std::max(operations, static_cast<double>(work.bytes().count()));
  if (larger * static_cast<double>(tokens) > most) {
    throw ConfigError(fmt::format(
        "{}: the pass may have more than {:g} operations or bytes; ask for less", options, most));
  }
}

struct PassLengths {
  std::int64_t context = 0;
  std::int64_t prompt = 0;
};

PassLengths checked_lengths(const NeuralNetwork& network, const DescribedPasses& passes) {
  if (passes.batch < 1 || passes.batch > most_sequences) {
    throw ConfigError(
        fmt::format("--batch {}: must be between 1 and {}", passes.batch, most_sequences));
  }
  const std::int64_t context = checked_length(passes.context, network, "--context");
  const std::int64_t prompt = checked_length(passes.prompt, network, "--prompt");
  check_size(network, passes.batch, context, "--batch and --context");
  check_size(network, prompt, prompt, "--prompt");
  return {context, prompt};
}

}  // namespace

PassTotals totals_of_passes(const NeuralNetwork& network, const DescribedPasses& passes) {
  const auto [context, prompt] = checked_lengths(network, passes);
  return {totals_of_pass(network, Batch{{{0, 0, prompt, true}}}),
          totals_of_pass(network, decode_batch(passes.batch, context))};
}

std::string describe_passes(const NeuralNetwork& network, const DescribedPasses& passes) {
  const auto [context, prompt] = checked_lengths(network, passes);
  const Precision precision;
  std::string page = fmt::format(
      "\n  operations and compulsory bytes; weights in {}, activations in {}, KV in {}, without "
      "prediction\n  modules; op/B: matrix, vector and special operations over all bytes\n",
      name_of(precision.weights), name_of(precision.activations), name_of(precision.kv_cache));
  add_pass(fmt::format("prefill of {} token{}", prompt, prompt == 1 ? "" : "s"), network,
           Batch{{{0, 0, prompt, true}}}, page);
  add_pass(fmt::format("decode of {} sequence{} at {} token{}", passes.batch,
                       passes.batch == 1 ? "" : "s", context, context == 1 ? "" : "s"),
           network, decode_batch(passes.batch, context), page);
  return page;
}

}  // namespace tandem::entry
