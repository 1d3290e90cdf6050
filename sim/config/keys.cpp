#include "sim/config/keys.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/config/key_makers.hpp"
#include "sim/numerics/formats/kv_format.hpp"

namespace tandem::config {
namespace {

using namespace make;

const std::vector<std::string> bases = {"datasheet", "measured", "published",
                                        "derived",   "fitted",   "assumed"};

KeySpec kv_cache_key() {
  std::vector<std::string> known{"bfloat16", "float16", "float32", "fp8", "int8"};
  for (const formats::KvFormat& format : formats::kv_formats()) known.emplace_back(format.name);
  return choice("kv_cache", "bfloat16", known, {"nvfp4"},
                "Of cached keys and values: an element type (fp8: e4m3 as it is, without a scale), "
                "or a format that stores each head's key and value of a token with scales of their "
                "own as they are appended, keys after rotation (GPUs; docs/formats.md).");
}

KeySpec weights_key(const std::string& fallback, const std::string& doc) {
  std::vector<std::string> known{"bfloat16", "float16", "float32", "fp8", "int8"};
  for (const formats::QuantFormat& format : formats::quant_formats()) {
    if (format.name == "fp8" || format.name == "int8" || format.name == "fp8_kv") continue;
    known.emplace_back(format.name);
  }
  return choice("weights", fallback, known, {}, doc);
}

/// How often drafts are right.
std::vector<KeySpec> acceptance_keys(const std::string& when) {
  return {number("acceptance", Dimension::Fraction, "none", 0, 1,
                 when + "probability that a draft is accepted when those before it were, or a list "
                        "of them by position, of which the last holds from there on."),
          number("acceptance_lengths", Dimension::Scalar, "none", 1, 64,
                 when + "measured mean of the tokens that a round gives: of rounds of `drafts`, or "
                        "a list, of rounds of 1, 2, ... drafts.")};
}

/// Keys of a map in a scenario, which beginners write at its top.
void add_elsewhere(Section& section, const std::string& map, const Section& inner) {
  const auto has = [&](const std::string& name) {
    const auto is_it = [&](const auto& known) { return known.name == name; };
    const auto is_there = [&](const auto& known) { return known.first == name; };
    return std::ranges::any_of(section.keys, is_it) ||
           std::ranges::any_of(section.elsewhere, is_there);
  };
  for (const KeySpec& key : inner.keys) {
    if (!has(key.name)) {
      section.elsewhere.emplace_back(key.name, fmt::format("{}: {{{}: ...}}", map, key.name));
    }
  }
}

}  // namespace

Section scenario_section() {
  Section section{
      "scenario",
      "A model on a system under a load. `system`, `model`, `prices` and `software` are a name, or "
      "`{name: ..., key: change, ...}`.",
      with_head({
          required(map("model",
                       "Network in workloads/models, or `from_checkpoint`: the network "
                       "of the checkpoint given on the command line.")),
          map("draft_model",
              "Speculative decoding: network that drafts, of the same vocabulary, or "
              "`from_checkpoint`."),
          required(map("system", "System in hw_configs/systems.")),
          required(map("placement", "How the pools run the model.")),
          keys("models", "Instead of `model` and `placement`: list of several models."),
          keys("routing", "Of several models: which one answers a request."),
          keys("speculation", "Speculative decoding on the pool that makes the tokens."),
          map("serving", "Batching of the serving engine."),
          required(map("traffic", "The load, or the name of a file in workloads/traffic.")),
          map("slo", "Objectives; one that is left out always holds."),
          map("prices", "Prices in hw_configs/prices; default: default_2026."),
          map("software", "Framework overheads in hw_configs/software; default: generic."),
          number("seed", Dimension::Count, "1", 0, 9e15, "Of every random stream."),
          number("audit_steps", Dimension::Count, "300", 0, 1e9,
                 "Interpolated steps that are simulated in full to measure the error."),
      }),
      {}};
  add_elsewhere(section, "traffic", traffic_section());
  add_elsewhere(section, "slo", slo_section());
  add_elsewhere(section, "serving", serving_section());
  add_elsewhere(section, "placement", pool_section());
  return section;
}

Section placement_section() {
  Section section{
      "placement",
      "`monolithic`: the keys of a pool stand beside `mode`. `disaggregated`: "
      "`prefill` and `decode` each hold them. `attention_ffn`: `prefill`, `attention` "
      "and `ffn` do. `drafter`: `draft` and `verify` do.",
      {choice("mode", "", {"monolithic", "disaggregated", "attention_ffn", "drafter"}, {},
              "Whether prefill and decode share the chips."),
       choice("kv_transfer", "whole", {"whole", "layers"}, {},
              "Disaggregated, attention_ffn: whether the KV of a prompt leaves when all "
              "of it is computed, or each layer's when a pass has written it.")},
      pool_section().later};
  section.keys.push_back(
      map("prefill", "Disaggregated, attention_ffn: the pool that processes prompts."));
  section.keys.push_back(map("decode", "Disaggregated: the pool that makes tokens."));
  section.keys.push_back(
      map("attention",
          "attention_ffn: the pool that runs the token mixers of tokens being made, with "
          "embedding and head."));
  section.keys.push_back(
      map("ffn",
          "attention_ffn: the pool with static schedules that runs their feed-forward blocks; "
          "`pipeline` gangs of `tensor` chips, each with equally many layers."));
  section.keys.push_back(
      map("draft", "drafter: the pool that runs `draft_model`, prompts included."));
  section.keys.push_back(map("verify", "drafter: the pool that runs `model`, prompts included."));
  section.keys.push_back(number("drafts", Dimension::Count, "4", 1, 32,
                                "drafter: tokens that are drafted before each verification."));
  for (const KeySpec& key : acceptance_keys("drafter, one of the two needed by `run`: ")) {
    section.keys.push_back(key);
  }
  section.keys.push_back(
      choice("rounds", "in_step", {"in_step", "as_ready"}, {},
             "drafter: whether the requests of a verifying replica go through their rounds "
             "together, or each verification takes the drafts that are there."));
  for (const KeySpec& key : pool_section().keys) {
    section.keys.push_back(key);
    section.keys.back().is_required = false;
  }
  return section;
}

Section speculation_section() {
  Section section{
      "speculation",
      "Speculative decoding of modes monolithic and disaggregated: the chips that make the tokens "
      "draft some and verify all of them in one pass. Drafts on a pool of their own are mode "
      "drafter.",
      {choice("method", "", {"mtp", "draft_model", "ngram"}, {},
              "What drafts: the model's modules of multi-token prediction, the last of them again "
              "and again where they are fewer than the drafts; the network `draft_model`; or the "
              "text itself, with what followed its newest tokens where they stood before."),
       number("drafts", Dimension::Count, "1", 1, 32,
              "Tokens that are drafted before each verification."),
       number("tree", Dimension::Count, "none", 1, 32,
              "Instead of `drafts`: list of the drafts that follow each draft, by depth."),
       number("prompt_lookup_min", Dimension::Count, "5", 1, 64,
              "ngram: fewest newest tokens that are looked up; as `prompt_lookup_max` without it."),
       number("prompt_lookup_max", Dimension::Count, "5", 1, 64,
              "ngram: most of them; the longest run that stands in the text is taken. As "
              "`prompt_lookup_min` without it.")},
      {}};
  for (const KeySpec& key : acceptance_keys("One of the two needed by `run`: ")) {
    section.keys.push_back(key);
  }
  return section;
}

Section pool_section() {
  return {
      "pool placement",
      "How one pool runs the model.",
      {
          required(text("pool", "A group of the system.")),
          number("tensor", Dimension::Count, "1", 1, 1e6,
                 "Chips that share heads, widths and vocabulary of each layer."),
          number("context", Dimension::Count, "1", 1, 1e6,
                 "Times so many chips that share each request's cached tokens (GPUs)."),
          number("attention_data", Dimension::Count, "1", 1, 1e6,
                 "Groups of tensor x context chips, each for the attention of its own requests "
                 "(GPUs)."),
          number("expert", Dimension::Count, "1", 1, 1e6,
                 "Runs of the stage's tensor x context x attention_data chips with different "
                 "experts; the chips of a run share the width of each (GPUs)."),
          number(
              "redundant_experts", Dimension::Count, "0", 0, 1e6,
              "Further copies of the experts with the most rows, spread like the others (GPUs)."),
          number("pipeline", Dimension::Count, "1", 1, 1e6,
                 "Stages, each of whole layers on a chip (or `tensor` chips) of its own."),
          number("replicas", Dimension::Count, "1", 1, 1e6, "Copies side by side."),
          number("data", Dimension::Count, "1", 1, 1e6,
                 "Data parallelism: copies of each replica that take requests of their own; "
                 "`replicas` times `data` in all."),
          number("spares", Dimension::Count, "0", 0, 1e6,
                 "Further chips of the pool that stand by idle: they cost and draw static power."),
          number(
              "head_chips", Dimension::Count, "0", 0, 1e6,
              "Further stages that split the LM head by vocabulary; 0: the last stage holds it."),
          number("micro_batches", Dimension::Count, "1", 1, 64,
                 "Parts of a batch that take turns: one computes while another exchanges (gangs of "
                 "GPUs), or is on the other side (attention_ffn, under `attention`)."),
          number("bridge_links", Dimension::Count, "0", 0, 1e6,
                 "attention_ffn, under `ffn`: chips of a gang whose bridge links carry hidden "
                 "rows; 0: all."),
          map("precision", "Formats of numbers."),
      },
      {}};
}

Section precision_section() {
  return {
      "precision",
      "Element types (fp8 is OCP e4m3) and formats with scales (docs/formats.md). A format holds "
      "for the projections of mixers, feed-forward blocks and experts; head, embedding, norms, "
      "biases, routers and gates stay unquantised unless an override names head or embedding.",
      {weights_key("bfloat16",
                   "Of all weights: an element type or a format. Weights in a format are "
                   "multiplied with rows as `activations` says; fp8_block alone means rows "
                   "quantised by 128 (fp8_group)."),
       kv_cache_key(),
       choice("activations", "bfloat16",
              {"bfloat16", "float16", "float32", "fp8", "fp8_channel", "fp8_group", "int8", "mxfp8",
               "mxfp4", "nvfp4"},
              {},
              "Between operators. A format with scales (fp8_channel and int8: one per token): "
              "bfloat16 between operators, and rows quantised before products of weights that "
              "have a format. Chips that do not multiply the pair keep the rows (weight-only). "
              "LPUs cast "
              "rows to the type of the weights, whatever stands here."),
       choice("expand", "kernel", {"kernel", "load"}, {},
              "Where weights of a format become what the chip multiplies. kernel: as they are "
              "used, so memory holds codes and scales (GPUs). load: when they are loaded, so "
              "memory holds them as elements of the activations' type (LPUs need it)."),
       keys("overrides",
            "List of `{layers: 0-3, part: experts, weights: mxfp4}`: weights stored otherwise; "
            "the last that names a weight holds.")},
      {}};
}

Section weight_override_section() {
  return {"override of precision",
          "Weights of some layers or of a part. Without `part`: mixers, feed_forward and experts.",
          {text("layers", "A layer or a range, counted from 0: `3`, `0-3`; default: all."),
           choice("part", "all", {"mixers", "feed_forward", "experts", "head", "embedding"}, {},
                  "mixers: projections of attention and gated delta layers and of prediction "
                  "modules; feed_forward: dense blocks and shared experts; experts: routed ones."),
           required(weights_key("bfloat16", "An element type or a format."))},
          {}};
}

Section slo_section() {
  return {"slo",
          "Objectives on percentiles over all requests.",
          {number("ttft_p99", Dimension::Time, "none", 1e-9, 1e6, "Time to the first token."),
           number("tpot_p99", Dimension::Time, "none", 1e-9, 1e6,
                  "Time per output token after the first.")},
          {"ttft_p50", "tpot_p50", "e2e_p99", "itl_p99"}};
}

Section system_section() {
  return {
      "system",
      "Chips, how they are linked, and what else is in the box.",
      with_head({
          required(map("groups", "Groups of equal chips, by the pool name that placements use.")),
          map("bridges", "Paths between pools, by any name."),
          map("chips", "Changes to the chips of this system, by chip name."),
          map("links", "Changes to the link classes of this system, by link name."),
      }),
      {}};
}

Section group_section() {
  return {"group",
          "Equal chips and the links that join them.",
          {
              required(text("chip", "Chip in hw_configs/chips.")),
              number("count", Dimension::Count, "", 1, 1e6, "Chips in the group."),
              number("chips_per_node", Dimension::Count, "1", 1, 1e6, "Chips of one node."),
              text("times",
                   "A whole number of the system, such as `lpx_racks`, that multiplies "
                   "`count`."),
              required(text("link", "Link class between the chips of a node.")),
              text("scale_out", "Link class between nodes and out of the group; default: `link`."),
              choice("topology", "switch", {"switch", "mesh"}, {},
                     "All-to-all through a crossbar, or direct links."),
              required(text("source", "Where the counts and the topology come from.")),
              choice("basis", "", bases, {}, "How far they can be trusted."),
          },
          {}};
}

Section bridge_section() {
  return {"bridge",
          "A path between two pools.",
          {
              required(text("from", "A pool.")),
              required(text("to", "A pool.")),
              required(map("links", "Link classes that the path crosses, in order from `from`.")),
              number("lanes", Dimension::Count, "1", 1, 1e6, "Equal paths side by side."),
              text("times",
                   "A whole number of the system, such as `lpx_racks`, that multiplies "
                   "`lanes`."),
              required(text("source", "Where the path comes from.")),
              choice("basis", "", bases, {}, "How far it can be trusted."),
          },
          {}};
}

Section chip_section() {
  return {"chip",
          "A chip: the hardware model that interprets it, and that model's numbers.",
          with_head({required(text("model", "Hardware model.")),
                     text("status", "Free text, such as `announced` or `estimate`.")}),
          {}};
}

Section link_section() {
  return {"link", "A link class.", with_head({text("status", "Free text.")}), {}};
}

Section fabric_section() {
  return {"fabric",
          "A direct network of one kind of chip: which ports are joined, at what rate.",
          with_head({required(text("chip", "Chip in hw_configs/chips.")),
                     required(map("levels", "List of levels, innermost first."))}),
          {}};
}

Section fabric_level_section() {
  return {"level",
          "One level of a fabric.",
          {
              required(text("name", "What a unit of the next level is called: node, tray, rack.")),
              choice("wiring", "", {"complete", "dragonfly", "ring", "chain"}, {},
                     "How its units are joined."),
          },
          {}};
}

Section prices_section() {
  return {"prices", "What chips, systems and power cost.", head(), {}};
}

Section software_section() {
  return {"software", "Overheads of a serving framework.", head(), {}};
}

Section source_section() {
  return {"source",
          "An entry of hw_configs/sources.yaml; its key is what `source:` names elsewhere.",
          {
              required(text("title", "What it is and where.")),
              number("year", Dimension::Count, "", 1950, 2100, "Of the version read."),
              choice("kind", "",
                     {"datasheet", "paper", "article", "measurement", "repository", "filing",
                      "estimate", "builtin"},
                     {}, "What sort of source."),
              text("note", "Free text."),
          },
          {}};
}

}  // namespace tandem::config
