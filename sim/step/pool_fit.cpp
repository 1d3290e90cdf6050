#include "sim/step/pool_fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "sim/core/diagnostics.hpp"
#include "sim/core/hash.hpp"
#include "sim/core/integers.hpp"
#include "sim/describe/kv_slots.hpp"

namespace tandem {
namespace {

constexpr double bytes_per_megabyte = 1e6;

std::string megabytes(Bytes bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes.count()) / bytes_per_megabyte);
}

// Of a token's KV, or of a request's state where there is no KV.
std::string kept_text(const Fit& fit) {
  if (fit.state_per_sequence.count() > 0) return megabytes(fit.state_per_sequence) + " state";
  return fmt::format("{} B", fit.kv_per_token.count());
}

std::string describe_stage(const Stage& stage) {
  std::string text;
  if (stage.layers > 0) {
    text = fmt::format("layers {}-{}", stage.first_layer, stage.first_layer + stage.layers - 1);
  }
  if (stage.has_embedding) text += " + embedding";
  if (stage.has_head()) {
    text += fmt::format("{}head rows {}-{}", text.empty() ? "" : " + ", stage.head_begin,
                        stage.head_end - 1);
  }
  return text;
}

// One of each kind: stages in the middle of a pipeline are alike.
std::vector<Stage> distinct(const std::vector<Stage>& stages) {
  std::map<std::uint64_t, Stage> kinds;
  for (const Stage& stage : stages) kinds.emplace(stage.key(), stage);
  std::vector<Stage> result;
  for (const auto& [key, stage] : kinds) result.push_back(stage);
  return result;
}

// What drafts beside the stage, where it ends the model.
std::optional<Neighbours> neighbours_of(const FitQuestion& question, const Stage& stage) {
  if (!question.drafting || stage.head_end < stage.network.vocabulary) return std::nullopt;
  const NeuralNetwork& network = *question.drafting;
  const Precision precision = network.joins_hidden
                                  ? precision_of_module(stage.precision, stage.network.layers())
                                  : stage.precision;
  Stage beside = whole_model(network, precision);
  beside.tensor = stage.tensor;
  beside.shard = stage.shard;
  beside.revocable = stage.revocable;
  beside.hands_on_hidden = stage.hands_on_hidden;
  beside.longest_request = stage.longest_request;
  return Neighbours{beside, question.drafting_copies};
}

Fit fit_of(const FitQuestion& question, const Stage& stage, std::int64_t sequences) {
  Fit fit = fit_on_chip(question, stage, sequences, neighbours_of(question, stage));
  for (const Precision& tier : question.tiers) {
    Stage copy = stage;
    copy.precision = tier;
    fit.weights += fit_on_chip(question, copy, sequences).weights;
  }
  const auto kept = static_cast<double>(fit.capacity.count()) * (1 - question.memory_reserve);
  fit.capacity = Bytes(static_cast<std::int64_t>(kept));
  return fit;
}

// What the stage with the least room has; nothing fits where one does not hold its weights.
KvRoom worst_room(const FitQuestion& question, const std::vector<Stage>& stages,
                  std::int64_t sequences) {
  constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();
  KvRoom room{unlimited, unlimited};
  for (const Stage& stage : stages) {
    const Fit fit = fit_of(question, stage, sequences);
    if (!fit.holds_weights()) return {};
    room.sequences = std::min(room.sequences, fit.sequences(question.max_context));
    room.tokens = std::min(room.tokens, fit.kv_tokens());
  }
  return room;
}

// Most requests of full length that fit at once. More requests need more workspace and leave less
// for KV, so what fits is a prefix of 1..max_sequences.
KvRoom room_of(const FitQuestion& question, const std::vector<Stage>& stages) {
  const auto holds = [&](std::int64_t sequences) {
    return worst_room(question, stages, sequences).sequences >= sequences;
  };
  std::int64_t low = 0;
  std::int64_t high = ceil_div(question.max_sequences, stages.front().shard.of.attention_data);
  while (low < high) {
    const std::int64_t middle = low + (high - low + 1) / 2;
    if (holds(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  // Every attention group has room of its own.
  const std::int64_t groups = stages.front().shard.of.attention_data;
  const std::int64_t planned = question.chip.batch_limit() > 0
                                   ? std::max<std::int64_t>(low, 1)
                                   : ceil_div(question.max_sequences, groups);
  const KvRoom room = worst_room(question, stages, planned);
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  return {.sequences = room.sequences > 0 ? groups * std::max<std::int64_t>(low, 1) : 0,
          .tokens = room.tokens > most / groups ? most : groups * room.tokens};
}

PoolFit fit_with_heads(FitQuestion question, const PoolPlacement& placement,
                       std::int64_t head_chips) {
  for (const Precision& tier : placement.tiers) {
    PoolPlacement copy = placement;
    copy.precision = tier;
    question.tiers.push_back(executed_precision(question.chip, copy));
  }
  PoolFit result;
  result.head_chips = head_chips;
  result.stages = stages_of(question.chip, question.network, placement, head_chips);
  if (question.chip.batch_limit() > 0) {
    for (Stage& stage : result.stages) stage.longest_request = question.max_context;
  }
  // Chips with dynamic schedules keep the workspace of max_sequences whatever is in flight.
  const std::int64_t planned = question.chip.batch_limit() > 0 ? 1 : question.max_sequences;
  for (const Stage& stage : result.stages) {
    result.rows.push_back({describe_stage(stage), fit_of(question, stage, planned)});
  }
  result.room = room_of(question, distinct(result.stages));
  return result;
}

bool layers_fit(const PoolFit& fit, std::int64_t max_context) {
  return std::all_of(fit.rows.begin(), fit.rows.end(), [&](const FitRow& row) {
    return row.stage.starts_with("head") ||
           (row.fit.holds_weights() && row.fit.sequences(max_context) > 0);
  });
}

// Missing bytes of the stage that misses most, for one request of full length.
std::pair<const FitRow*, Bytes> worst_row(const PoolFit& fit, std::int64_t max_context) {
  const FitRow* worst = nullptr;
  Bytes most{0};
  for (const FitRow& row : fit.rows) {
    const Bytes missing = row.fit.bytes_of_sequence(max_context) - row.fit.free_for_kv();
    if (worst == nullptr || missing > most) {
      worst = &row;
      most = missing;
    }
  }
  return {worst, most};
}

// Of a pipeline of several stages the first is among the longest and never holds the head.
bool may_hold_longest(const FitQuestion& question, const PoolPlacement& placement) {
  const Stage longest = stages_of(question.chip, question.network, placement, 0).front();
  return question.chip.may_hold(longest, question.max_context);
}

std::string advice(const FitQuestion& question, PoolPlacement placement) {
  const bool drafts_on_one_stage = question.drafting && question.chip.batch_limit() == 0;
  if (drafts_on_one_stage) return "share the layers by more 'tensor', or draft with less";
  while (++placement.pipeline <= question.network.layers()) {
    if (!may_hold_longest(question, placement)) continue;
    const PoolFit fit = fit_pool(question, placement);
    if (!fit.fits()) continue;
    return fmt::format("the smallest that would do is pipeline: {} ({} chips per replica)",
                       placement.pipeline,
                       placement.gang() * static_cast<std::int64_t>(fit.stages.size()));
  }
  return fmt::format("no pipeline of up to {} chips would do", question.network.layers());
}

// What has no room: the model, or what drafts where the model alone would have it.
std::string misfit_text(const FitQuestion& question, const PoolPlacement& placement) {
  const std::string& model = question.network.name;
  if (!question.drafting) return model + " does not fit";
  FitQuestion alone = question;
  alone.drafting = std::nullopt;
  if (!fit_pool(alone, placement).fits()) return model + " does not fit";
  return fmt::format("'{}', which drafts, does not fit beside {}", question.drafting->name, model);
}

}  // namespace

Sharding sharding_of(const PoolPlacement& placement) {
  return {placement.tensor, placement.context, placement.attention_data, placement.expert,
          placement.redundant_experts};
}

Precision executed_precision(const ChipModel& chip, const PoolPlacement& placement) {
  try {
    return chip.executed(placement.precision);
  } catch (const ModelError& error) {
    throw ConfigError(placement.place, error.what());
  }
}

namespace {

/// What a network's layers make of the formats and the eviction of a placement.
void check_cache(const NeuralNetwork& network, const Precision& precision,
                 const PoolPlacement& placement) {
  const std::string problem = kv_problem(network, precision);
  if (!problem.empty()) throw ConfigError(placement.place, problem);
  if (!placement.eviction.is_on()) return;
  const std::string unevictable = eviction_problem(network);
  if (!unevictable.empty()) throw ConfigError(placement.place, unevictable);
}

}  // namespace

std::vector<Stage> stages_of(const ChipModel& chip, const NeuralNetwork& network,
                             const PoolPlacement& placement, std::int64_t head_chips) {
  const bool as_a_whole = chip.runs_gangs();
  const Precision precision = executed_precision(chip, placement);
  check_cache(network, precision, placement);
  std::vector<Stage> stages = partition_pipeline(network, precision, placement.pipeline, head_chips,
                                                 as_a_whole ? placement.tensor : 1);
  for (Stage& stage : stages) {
    stage.hands_on_hidden = placement.hands_on_hidden && stage.has_head();
    stage.revocable = placement.revocable;
  }
  if (as_a_whole) return stages;
  const Sharding sharding = sharding_of(placement);
  const std::vector<std::string> problems = sharding_problems(network, sharding);
  if (!problems.empty())
    throw ConfigError(placement.place, fmt::format("{}", fmt::join(problems, "; ")));
  for (Stage& stage : stages) {
    stage.shard.of = sharding;
    stage.eviction = placement.eviction;
  }
  return stages;
}

void require_mixers_pool(const ChipModel& chip, const PoolPlacement& placement) {
  if (!chip.runs_gangs() && placement.pipeline == 1) return;
  throw ConfigError(placement.place,
                    "the attention pool of attention_ffn is one stage of GPUs: 'pipeline: 1'");
}

Fit fit_on_chip(const FitQuestion& question, const Stage& stage, std::int64_t sequences,
                const std::optional<Neighbours>& neighbours) {
  const auto ask = [&] {
    return neighbours
               ? question.chip.fit_beside(stage, *neighbours, sequences, question.max_context)
               : question.chip.fit(stage, sequences, question.max_context);
  };
  if (question.store == nullptr) return ask();
  Hasher hash;
  hash.add("fit").add(question.chip_key).add(stage.key()).add(sequences).add(question.max_context);
  if (neighbours) hash.add("beside").add(neighbours->stage.key()).add(neighbours->copies);
  const std::uint64_t key = hash.value();
  if (const std::optional<Fit> known = question.store->find_fit(key)) return *known;
  const Fit fit = ask();
  question.store->put_fit(key, fit);
  return fit;
}

std::int64_t most_cached(const Scenario& scenario) {
  const std::int64_t longest = longest_request(scenario.traffic);
  const Eviction& eviction = scenario.serving.eviction;
  if (!eviction.is_on()) return longest;
  return std::min(longest, eviction.kept(longest) + scenario.serving.max_batch_tokens);
}

FitQuestion fit_question(const Scenario& scenario, const ChipModel& chip,
                         const NeuralNetwork& network) {
  // Static schedules need no framework on the chip.
  const bool reserves =
      chip.batch_limit() == 0 && scenario.software.parameters.has("memory_reserve");
  std::optional<NeuralNetwork> drafting;
  if (scenario.placement.drafts_by_network()) drafting = drafting_side(scenario).model;
  return {.chip = chip,
          .network = network,
          .max_sequences = scenario.serving.max_sequences,
          .max_context = most_cached(scenario),
          .memory_reserve = reserves ? scenario.software.parameters.value("memory_reserve") : 0,
          .drafting = std::move(drafting),
          .drafting_copies = drafting_copies(scenario)};
}

PoolFit fit_pool(const FitQuestion& question, const PoolPlacement& placement) {
  const std::int64_t asked = placement.head_chips;
  PoolFit fit = fit_with_heads(question, placement, asked);
  if (fit.fits() || asked > 0 || question.chip.batch_limit() == 0) return fit;
  const std::int64_t most_heads = 64;
  for (std::int64_t heads = 1; heads <= most_heads; ++heads) {
    PoolFit candidate = fit_with_heads(question, placement, heads);
    if (candidate.fits()) return candidate;
    if (!layers_fit(candidate, question.max_context)) return candidate;  // more heads cannot help
  }
  return fit;
}

PoolFit require_fit(const FitQuestion& question, const PoolPlacement& placement) {
  const NeuralNetwork& network = question.network;
  if (placement.pipeline < 1 || placement.pipeline > network.layers()) {
    throw ConfigError(
        placement.place,
        fmt::format("'pipeline' is {}; {} has {} layers, so it must be 1 to {}", placement.pipeline,
                    network.name, network.layers(), network.layers()));
  }
  PoolFit fit = fit_pool(question, placement);
  if (fit.fits()) return fit;
  const auto [row, missing] = worst_row(fit, question.max_context);
  throw ConfigError(
      placement.place,
      fmt::format("{} on pool '{}' ({}): {} misses {} for one request of {} tokens; {}\n{}",
                  misfit_text(question, placement), placement.pool, question.chip.chip().name,
                  row->stage, megabytes(missing), question.max_context, advice(question, placement),
                  fit_table(fit)));
}

std::string fit_table(const PoolFit& fit) {
  std::string text = fmt::format("  {:<32} {:>12} {:>12} {:>12} {:>12} {:>12} {:>12}", "stage",
                                 "weights", "program", "workspace", "KV/token", "capacity", "free");
  const Fit* previous = nullptr;
  for (const FitRow& row : fit.rows) {
    const Fit& f = row.fit;
    // Equal stages in a row are one line; the first of them stands for all.
    if (previous != nullptr && previous->weights == f.weights && previous->program == f.program &&
        previous->workspace == f.workspace && previous->kv_per_token == f.kv_per_token &&
        previous->state_per_sequence == f.state_per_sequence) {
      continue;
    }
    previous = &row.fit;
    text += fmt::format("\n  {:<32} {:>12} {:>12} {:>12} {:>12} {:>12} {:>12}", row.stage,
                        megabytes(f.weights), megabytes(f.program), megabytes(f.workspace),
                        kept_text(f), megabytes(f.capacity), megabytes(f.free_for_kv()));
  }
  return text;
}

}  // namespace tandem
