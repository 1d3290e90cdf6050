// What is simulated: chips, links, systems, placement, traffic, objectives. Plain immutable values,
// filled by sim/config, read by everything below it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/describe/eviction.hpp"
#include "sim/describe/neural_network.hpp"
#include "sim/describe/parameter.hpp"
#include "sim/describe/planner.hpp"
#include "sim/describe/precision.hpp"
#include "sim/describe/speculation.hpp"
#include "sim/describe/traffic.hpp"
#include "sim/numerics/element.hpp"

namespace tandem {

/// A chip: the name of the hardware model that interprets it and that model's parameters.
struct Chip {
  std::string name;
  std::string model;  ///< "gpu" or "lpu": a name in models/catalog
  ParameterSet parameters;
  std::vector<std::string> extends;  ///< files it was resolved from, nearest first
};

/// A link class: bandwidth per direction, one-way latency, packet payload and header, energy.
/// Parameters: bandwidth, latency, packet, header, energy_per_byte.
struct Link {
  std::string name;
  ParameterSet parameters;
};

/// A group of equal chips in a system, and the links that join them.
struct ChipGroup {
  std::string pool;  ///< "gpu", "lpu": the name that placements use
  std::string chip;
  std::int64_t count = 0;
  std::int64_t chips_per_node = 1;
  std::string link;         ///< link class between chips of a node
  std::string scale_out;    ///< link class between nodes, and out of the group
  std::string switch_kind;  ///< "switch" (all-to-all through a crossbar) or "mesh" (direct links)
  std::string source;       ///< where the counts and the topology come from
  Basis basis = Basis::Assumed;
};

/// A path between two pools: the link classes it crosses, in order.
struct Bridge {
  std::string from;
  std::string to;
  std::vector<std::string> links;
  std::int64_t lanes = 1;  ///< equal paths side by side
  std::string source;      ///< where the path and its lanes come from
  Basis basis = Basis::Assumed;
};

struct System {
  std::string name;
  std::vector<ChipGroup> groups;
  std::vector<Bridge> bridges;
  std::map<std::string, Chip> chips;  ///< by name, resolved
  std::map<std::string, Link> links;
  ParameterSet parameters;  ///< host power, overheads: whatever belongs to the box
  [[nodiscard]] const ChipGroup& group(const std::string& pool) const;
};

/// How one pool runs the model (or one phase of it).
struct PoolPlacement {
  std::string pool;
  std::int64_t tensor = 1;
  std::int64_t context = 1;
  std::int64_t attention_data = 1;
  std::int64_t expert = 1;
  std::int64_t redundant_experts = 0;
  std::int64_t pipeline = 1;
  std::int64_t replicas = 1;  ///< copies side by side, `data` times `replicas`
  std::int64_t spares = 0;    ///< further chips of the pool that stand idle
  /// Parts of a batch that take turns with chips elsewhere (attention_ffn: the attention's pool).
  std::int64_t micro_batches = 1;
  /// Chips of a gang whose bridge links carry hidden rows (attention_ffn: of the ffn's); 0: all.
  std::int64_t bridge_links = 0;
  std::int64_t head_chips = 0;  ///< stages that split the LM head by vocabulary; 0 = decided by fit
  Precision precision;
  /// What rounds of speculative decoding ask of the chips, as Stage has it.
  bool hands_on_hidden = false;
  std::int64_t revocable = 0;
  Eviction eviction;  ///< as in Serving
  /// Formats of further copies of the weights that stand on the same chips: tiers of precision.
  std::vector<Precision> tiers;
  SourcePlace place;  ///< where the user wrote it, for placement errors
  /// Chips that share a stage.
  [[nodiscard]] std::int64_t gang() const { return tensor * context * attention_data; }
};

enum class PlacementMode : std::uint8_t { Monolithic, Disaggregated, AttentionFfn, Drafter };

/// How the KV of a prompt goes to the pool that makes tokens: in one piece when the prompt is
/// computed, or each layer's as soon as a pass has written it.
enum class KvTransferKind : std::uint8_t { Whole, Layers };

struct Placement {
  PlacementMode mode = PlacementMode::Monolithic;
  KvTransferKind kv_transfer = KvTransferKind::Whole;
  PoolPlacement prefill;  ///< Monolithic: the one pool, Drafter: the verifying one; equal to decode
  PoolPlacement decode;   ///< AttentionFfn: the token mixers of decode, embedding and head
  PoolPlacement ffn;      ///< AttentionFfn: the feed-forward halves of decode
  PoolPlacement draft;    ///< Drafter: the pool that runs the draft model
  Speculation speculation;
  /// Prompts and tokens have pools of their own.
  [[nodiscard]] bool is_split() const {
    return mode == PlacementMode::Disaggregated || mode == PlacementMode::AttentionFfn;
  }
  [[nodiscard]] bool has_drafter() const { return mode == PlacementMode::Drafter; }
  /// Drafts are made where they are verified.
  [[nodiscard]] bool drafts_in_place() const { return speculation.is_on() && !has_drafter(); }
  /// The same, by passes of a network.
  [[nodiscard]] bool drafts_by_network() const {
    return drafts_in_place() && speculation.method != DraftMethod::PromptLookup;
  }
  [[nodiscard]] bool has_ffn() const { return mode == PlacementMode::AttentionFfn; }
};

/// When requests of a group that decode in one pass read the KV of their common prefix once: never,
/// where vLLM does (vllm_cascades()), or wherever two of them share one.
enum class CascadeAttention : std::uint8_t { Off, Vllm, Always };

struct Serving {
  std::string policy = "vllm_v1";
  std::int64_t max_batch_tokens = 8192;
  std::int64_t max_sequences = 256;
  std::int64_t kv_block_tokens = 16;
  std::string order = "fcfs";            ///< of the queue: "fcfs", "priority" or "longest_prefix"
  bool chunked_prefill = true;           ///< vllm_v1: a prompt may be cut to what is left of a step
  std::int64_t long_prefill_tokens = 0;  ///< vllm_v1: most tokens of a prompt in a step; 0: all
  std::int64_t max_prefill_tokens = 16384;  ///< sglang: of the prompts that begin in a step
  std::int64_t batch_wait_steps = 0;        ///< vllm_v1: steps that waiting prompts let go by
  double batch_wait_fill = 0.9;             ///< vllm_v1: share of max_batch_tokens that ends it
  std::int64_t balanced_groups = 1;         ///< vllm_v1: each waits until all have a prompt
  std::int64_t balance_wait_steps = 0;      ///< balanced_groups: steps that this takes at most
  std::int64_t receive_interval = 1;  ///< sglang: steps of decoding between looks for requests
  double conservativeness = 1;  ///< sglang: of the room that running answers are expected to need
  bool prefix_cache = true;     ///< prompts begin behind what is cached of their shared parts
  Eviction eviction;
  CascadeAttention cascade_attention = CascadeAttention::Off;
  /// Over replicas: "least_loaded", "round_robin", "kv_overlap" or "session_affinity".
  std::string router = "least_loaded";
  double overlap_weight = 1;      ///< kv_overlap: blocks to compute over blocks in use
  double router_temperature = 0;  ///< kv_overlap: of the draw by cost; 0: the cheapest
  /// Below HBM: "none", "host", "store" or "host_and_store"; what they are the system says.
  std::string kv_tiers = "none";
  /// Disaggregated: prompts with at most so many tokens to compute stay on the pool that decodes,
  /// and so do all while `prefill_queue` requests wait for the other one. 0: none.
  std::int64_t local_prefill_tokens = 0;
  std::int64_t prefill_queue = 2;
  std::optional<Planner> planner;  ///< none: all replicas of the placement, all the time
};

/// Objectives; absent ones always hold.
struct Slo {
  std::optional<Picoseconds> ttft_p99;
  std::optional<Picoseconds> tpot_p99;
};

struct Prices {
  std::string name;
  ParameterSet parameters;  ///< per chip and per system prices, tariff, PUE, life, hosting
};

/// Overheads of the serving framework: at most four constants per framework version.
struct Software {
  std::string name;
  ParameterSet parameters;
};

/// One of several models on a system: chips of its own, or those of another deployment that runs
/// the same model in another precision.
struct Deployment {
  std::string name;
  NeuralNetwork model;
  NeuralNetwork draft_model;
  Placement placement;
  Serving serving;
  double share = 0;                 ///< of the requests, under RoutingPolicy::Share
  std::optional<std::size_t> host;  ///< the deployment on whose chips it stands
  SourcePlace place;                ///< where the user wrote it
};

/// Which of several models answers a request. Share: drawn by the deployments' shares. The others
/// draw a difficulty: Threshold sends a request to the first model that is up to it; Cascade lets
/// the models answer one after the other until one is up to it.
enum class RoutingPolicy : std::uint8_t { Share, Threshold, Cascade };

struct ModelRouting {
  RoutingPolicy policy = RoutingPolicy::Share;
  /// Rising; deployment i is up to difficulties, uniform in [0, 1), below thresholds[i], and the
  /// last one to all.
  std::vector<double> thresholds;
};

struct Scenario {
  std::string name;
  std::string file;
  NeuralNetwork model;  ///< with its placement and serving; of mixes the deployments have them
  NeuralNetwork draft_model;  ///< where one drafts
  System system;
  Placement placement;
  Serving serving;
  Traffic traffic;
  Slo slo;
  Prices prices;
  Software software;
  std::vector<Deployment> deployments;  ///< of a mix of models, from weak to strong; else none
  ModelRouting routing;
  std::uint64_t seed = 1;
  std::int64_t audit_steps = 300;
  std::string config_hash;  ///< over everything above, as resolved
  [[nodiscard]] bool is_mix() const { return !deployments.empty(); }
};

/// What verifies and what drafts as scenarios by themselves: each with its own model, and requests
/// that may overshoot by the drafts of their last round. Drafts in place stand on the chips of the
/// pools that verify.
[[nodiscard]] Scenario verifying_side(const Scenario& scenario);
[[nodiscard]] Scenario drafting_side(const Scenario& scenario);
/// Formats of a module of multi-token prediction by itself: those of the layer behind the model's
/// last one, as checkpoints count it.
[[nodiscard]] Precision precision_of_module(Precision precision, std::int64_t layers);
/// Copies of the drafting network: modules of multi-token prediction that a round uses, or one;
/// none where drafts are looked up in the text.
[[nodiscard]] std::int64_t drafting_copies(const Scenario& scenario);
/// What results call that which drafts.
[[nodiscard]] std::string name_of_drafter(const Scenario& scenario);

}  // namespace tandem
