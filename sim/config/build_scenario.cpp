// Placements, serving and objectives.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "sim/config/build.hpp"

namespace tandem::config {
namespace {

PoolPlacement build_pool(const Tree& tree, const MapReader& reader, ReadContext& context) {
  PoolPlacement pool;
  pool.pool = reader.text("pool");
  pool.tensor = reader.count("tensor");
  pool.context = reader.count("context");
  pool.attention_data = reader.count("attention_data");
  pool.expert = reader.count("expert");
  pool.redundant_experts = reader.count("redundant_experts");
  pool.pipeline = reader.count("pipeline");
  pool.replicas = reader.count("replicas") * reader.count("data");
  pool.spares = reader.count("spares");
  pool.head_chips = reader.count("head_chips");
  pool.micro_batches = reader.count("micro_batches");
  pool.bridge_links = reader.count("bridge_links");
  pool.precision = build_precision(reader.child("precision"), context);
  pool.place = tree.place;
  return pool;
}

PoolPlacement build_phase(const Tree& tree, const std::string& phase, ReadContext& context) {
  const Tree& own = *tree.find(phase);
  const MapReader reader(own, pool_section(), fmt::format("placement '{}'", phase), context);
  if (!own.is_map()) return {};
  return build_pool(own, reader, context);
}

/// The pools that a mode names; none where the keys of the one pool stand beside `mode`.
std::vector<std::string> phases_of(PlacementMode mode) {
  switch (mode) {
    case PlacementMode::Monolithic:
      return {};
    case PlacementMode::Disaggregated:
      return {"prefill", "decode"};
    case PlacementMode::AttentionFfn:
      return {"prefill", "attention", "ffn"};
    case PlacementMode::Drafter:
      return {"draft", "verify"};
  }
  return {};
}

bool is_pool_key(const std::string& key) {
  const auto& keys = pool_section().keys;
  return std::any_of(keys.begin(), keys.end(),
                     [&](const KeySpec& spec) { return spec.name == key; });
}

/// How to be rid of a key that came from the scenario that this one extends.
std::string remedy_of(const SourcePlace& key_place, const Tree& placement, const std::string& key) {
  if (is_override_place(key_place) || key_place.file == placement.place.file) return {};
  return fmt::format("; where it is inherited write '{}: null' beside 'mode'", key);
}

std::string misplaced(const std::string& key, bool is_phase, const std::string& mode,
                      const std::vector<std::string>& phases) {
  if (!is_phase) {
    return fmt::format("'{}' belongs under '{}' when the mode is {}", key,
                       fmt::join(phases, "' or '"), mode);
  }
  if (!phases.empty()) {
    return fmt::format("'{}' is not for mode {}, which takes '{}'", key, mode,
                       fmt::join(phases, "', '"));
  }
  return fmt::format(
      "'{}' is for modes of several pools; monolithic takes 'pool' and its keys "
      "beside 'mode'",
      key);
}

void check_mode_keys(const Tree& tree, PlacementMode mode, const std::string& word,
                     ReadContext& context) {
  const std::vector<std::string> all = {"prefill", "decode", "attention", "ffn", "draft", "verify"};
  const std::vector<std::string> phases = phases_of(mode);
  const auto has = [](const std::vector<std::string>& list, const std::string& key) {
    return std::find(list.begin(), list.end(), key) != list.end();
  };
  for (const TreeEntry& entry : tree.entries) {
    const bool is_phase = has(all, entry.key);
    const bool is_right = is_phase ? has(phases, entry.key) : phases.empty();
    if (entry.key == "mode" || is_right || !(is_phase || is_pool_key(entry.key))) continue;
    context.problems.report(entry.key_place, misplaced(entry.key, is_phase, word, phases) +
                                                 remedy_of(entry.key_place, tree, entry.key));
  }
  for (const std::string& key : phases) {
    if (tree.find(key) != nullptr) continue;
    context.problems.report(
        tree.place,
        fmt::format("placement needs the key '{}': a pool, because the mode is {}", key, word));
  }
  if (phases.empty() && tree.find("kv_transfer") != nullptr) {
    context.problems.report(tree.find("kv_transfer")->place,
                            "'kv_transfer' is for modes whose prompts have a pool of their own; "
                            "monolithic moves no KV");
  }
  if (phases.empty() && tree.find("pool") == nullptr) {
    context.problems.report(tree.place,
                            "placement needs the key 'pool': a group of the system, because the "
                            "mode is monolithic");
  }
}

std::optional<Picoseconds> to_time(const std::optional<double>& seconds) {
  if (!seconds) return std::nullopt;
  return from_seconds(*seconds);
}

}  // namespace

Placement build_placement(const Tree& tree, ReadContext& context) {
  const MapReader reader(tree, placement_section(), "placement", context);
  Placement placement;
  if (!tree.is_map() || !reader.has("mode")) return placement;
  const std::size_t before = context.problems.size();
  placement.mode =
      reader.choice<PlacementMode>("mode", {{"monolithic", PlacementMode::Monolithic},
                                            {"disaggregated", PlacementMode::Disaggregated},
                                            {"attention_ffn", PlacementMode::AttentionFfn},
                                            {"drafter", PlacementMode::Drafter}});
  if (context.problems.size() != before) return placement;
  check_mode_keys(tree, placement.mode, reader.text("mode"), context);
  if (placement.has_drafter()) {
    placement.speculation = build_speculation(reader, context);
    if (reader.has("draft")) placement.draft = build_phase(tree, "draft", context);
    if (reader.has("verify")) placement.prefill = build_phase(tree, "verify", context);
    placement.decode = placement.prefill;
    return placement;
  }
  refuse_speculation(reader, reader.text("mode"), context);
  if (placement.mode == PlacementMode::Monolithic) {
    placement.prefill = build_pool(tree, reader, context);
    placement.decode = placement.prefill;
    return placement;
  }
  placement.kv_transfer = reader.choice<KvTransferKind>(
      "kv_transfer", {{"whole", KvTransferKind::Whole}, {"layers", KvTransferKind::Layers}});
  if (reader.has("prefill")) placement.prefill = build_phase(tree, "prefill", context);
  const char* decode = placement.has_ffn() ? "attention" : "decode";
  if (reader.has(decode)) placement.decode = build_phase(tree, decode, context);
  if (placement.has_ffn() && reader.has("ffn")) placement.ffn = build_phase(tree, "ffn", context);
  return placement;
}

namespace {

Eviction build_eviction(const Tree& tree, ReadContext& context) {
  const MapReader reader(tree, eviction_section(), "eviction", context);
  Eviction eviction;
  if (!tree.is_map()) return eviction;
  const bool is_streaming = reader.choice_word("policy") == "streaming_llm";
  eviction.policy = is_streaming ? EvictionPolicy::StreamingLlm : EvictionPolicy::HeavyHitters;
  if (reader.has("tokens") == reader.has("budget")) {
    reader.report("tokens",
                  "'eviction' needs either 'tokens', how many stay, or 'budget', their share");
    return eviction;
  }
  const std::size_t before = context.problems.size();
  if (reader.has("tokens")) eviction.tokens = reader.count("tokens");
  if (reader.has("budget")) eviction.share = reader.number("budget");
  if (context.problems.size() != before) return eviction;  // what follows from them would mislead
  if (reader.has("budget") && eviction.share <= 0) {
    reader.report("budget", "'budget' keeps no token; write e.g. 0.2");
  }
  eviction.sinks = is_streaming ? reader.count("sinks") : 0;
  if (!is_streaming && reader.has("sinks")) {
    reader.report("sinks", "'sinks' is for 'policy: streaming_llm'; leave it out");
  }
  if (is_streaming && eviction.share == 0 && eviction.sinks >= eviction.tokens) {
    reader.report("sinks", fmt::format("'sinks' is {}, and 'tokens' keeps {} in all; some of them "
                                       "must be recent ones",
                                       eviction.sinks, eviction.tokens));
  }
  return eviction;
}

/// Keys that only one of the policies knows.
void check_policy_keys(const MapReader& reader, const Serving& serving) {
  const std::vector<std::pair<std::string, std::vector<const char*>>> own = {
      {"vllm_v1",
       {"chunked_prefill", "long_prefill_tokens", "batch_wait_steps", "batch_wait_fill",
        "balanced_groups", "balance_wait_steps"}},
      {"sglang", {"max_prefill_tokens", "conservativeness", "receive_interval"}}};
  for (const auto& [policy, keys] : own) {
    for (const char* key : keys) {
      if (policy == serving.policy || !reader.has(key)) continue;
      reader.report(key, fmt::format("'{}' is for 'policy: {}'; leave it out", key, policy));
    }
  }
  const char* sorted_by = serving.order == "priority" ? "vllm_v1" : "sglang";
  if (serving.order != "fcfs" && serving.policy != sorted_by) {
    reader.report("order", fmt::format("'order: {}' is for 'policy: {}'; write 'order: fcfs'",
                                       serving.order, sorted_by));
  }
  if (!serving.chunked_prefill && serving.long_prefill_tokens > 0) {
    reader.report("long_prefill_tokens",
                  "prompts are not cut with 'chunked_prefill: false'; leave one of them out");
  }
}

void build_router(const MapReader& reader, Serving& serving) {
  serving.router = reader.choice_word("router");
  serving.overlap_weight = reader.number("overlap_weight");
  serving.router_temperature = reader.number("router_temperature");
  for (const char* key : {"overlap_weight", "router_temperature"}) {
    if (serving.router == "kv_overlap" || !reader.has(key)) continue;
    reader.report(key, fmt::format("'{}' is for 'router: kv_overlap'; leave it out", key));
  }
}

}  // namespace

Serving build_serving(const Tree& tree, ReadContext& context) {
  const MapReader reader(tree, serving_section(), "serving", context);
  Serving serving;
  if (!tree.is_map()) return serving;
  serving.policy = reader.choice_word("policy");
  build_router(reader, serving);
  serving.order = reader.choice_word("order");
  serving.chunked_prefill = reader.flag("chunked_prefill");
  serving.long_prefill_tokens = reader.count("long_prefill_tokens");
  serving.max_prefill_tokens = reader.count("max_prefill_tokens");
  serving.receive_interval = reader.count("receive_interval");
  serving.batch_wait_steps = reader.count("batch_wait_steps");
  serving.batch_wait_fill = reader.number("batch_wait_fill");
  serving.balanced_groups = reader.count("balanced_groups");
  serving.balance_wait_steps = reader.count("balance_wait_steps");
  if (serving.balanced_groups == 1 && reader.has("balance_wait_steps")) {
    reader.report("balance_wait_steps",
                  "'balance_wait_steps' goes with 'balanced_groups'; write e.g. 'balanced_groups: "
                  "8' beside it, or leave it out");
  }
  serving.conservativeness = reader.number("conservativeness");
  check_policy_keys(reader, serving);
  serving.local_prefill_tokens = reader.count("local_prefill_tokens");
  serving.prefill_queue = reader.count("prefill_queue");
  if (serving.local_prefill_tokens == 0 && reader.has("prefill_queue")) {
    reader.report("prefill_queue",
                  "'prefill_queue' goes with 'local_prefill_tokens'; write e.g. "
                  "'local_prefill_tokens: 1000' beside it, or leave it out");
  }
  serving.kv_tiers = reader.choice_word("kv_tiers");
  serving.max_batch_tokens = reader.count("max_batch_tokens");
  serving.max_sequences = reader.count("max_sequences");
  serving.kv_block_tokens = reader.count("kv_block_tokens");
  if (const Tree* planner = reader.child("planner")) {
    serving.planner = build_planner(*planner, context);
  }
  if (const Tree* eviction = reader.child("eviction")) {
    serving.eviction = build_eviction(*eviction, context);
  }
  serving.cascade_attention =
      reader.choice<CascadeAttention>("cascade_attention", {{"false", CascadeAttention::Off},
                                                            {"vllm", CascadeAttention::Vllm},
                                                            {"always", CascadeAttention::Always}});
  serving.prefix_cache = reader.flag("prefix_cache");
  return serving;
}

Slo build_slo(const Tree& tree, ReadContext& context) {
  const MapReader reader(tree, slo_section(), "slo", context);
  if (!tree.is_map()) return {};
  return {to_time(reader.optional_number("ttft_p99")), to_time(reader.optional_number("tpot_p99"))};
}

}  // namespace tandem::config
