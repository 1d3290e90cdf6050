#include "sim/config/keys.hpp"

#include <utility>

namespace tandem::config {
namespace {

/// An empty fallback of a number means that the key is required.
KeySpec number(std::string name, Dimension dimension, std::string fallback, double minimum,
               double maximum, std::string doc) {
  return number_key(std::move(name), dimension, std::move(fallback), minimum, maximum,
                    std::move(doc));
}

KeySpec text(std::string name, std::string doc) {
  KeySpec key;
  key.name = std::move(name);
  key.doc = std::move(doc);
  return key;
}

KeySpec text_or(std::string name, std::string fallback, std::string doc) {
  KeySpec key = text(std::move(name), std::move(doc));
  key.fallback = std::move(fallback);
  return key;
}

KeySpec required(KeySpec key) {
  key.is_required = true;
  return key;
}

KeySpec map(std::string name, std::string doc) {
  KeySpec key = text(std::move(name), std::move(doc));
  key.form = Form::Map;
  return key;
}

KeySpec flag(std::string name, std::string fallback, std::string doc) {
  KeySpec key = text_or(std::move(name), std::move(fallback), std::move(doc));
  key.form = Form::Flag;
  return key;
}

KeySpec choice(std::string name, std::string fallback, std::vector<std::string> choices,
               std::vector<std::string> later, std::string doc) {
  KeySpec key = text_or(std::move(name), std::move(fallback), std::move(doc));
  key.form = Form::Choice;
  key.is_required = key.fallback.empty();
  key.choices = std::move(choices);
  key.later = std::move(later);
  return key;
}

/// The keys with which every file may open.
std::vector<KeySpec> head() {
  return {
      required(text("kind", "What the file describes.")),
      text("name", "The file's name without `.yaml`; it may be left out."),
      text("extends", "Another file of this kind; this one then changes only what it names."),
      text("note", "Free text."),
  };
}

std::vector<KeySpec> with_head(std::vector<KeySpec> keys) {
  std::vector<KeySpec> all = head();
  all.insert(all.end(), keys.begin(), keys.end());
  return all;
}

const std::vector<std::string> bases = {"datasheet", "measured", "published",
                                        "derived",   "fitted",   "assumed"};

KeySpec element(const std::string& name, const std::string& doc) {
  return choice(
      name, "bfloat16", {"bfloat16", "float16", "float32", "fp8", "int8"},
      {"fp8_block", "int8_wo", "int4_wo", "nvfp4", "mxfp4", "w4a16_mxfp4", "w4a8_mxfp4_mxfp8"},
      doc);
}

}  // namespace

KeySpec number_key(std::string name, Dimension dimension, std::string fallback, double minimum,
                   double maximum, std::string doc) {
  KeySpec key;
  key.name = std::move(name);
  key.form = Form::Number;
  key.doc = std::move(doc);
  key.is_required = fallback.empty();
  key.fallback = std::move(fallback);
  key.dimension = dimension;
  key.minimum = minimum;
  key.maximum = maximum;
  return key;
}

std::vector<std::string> names_of(const Section& section) {
  std::vector<std::string> names;
  for (const KeySpec& key : section.keys) names.push_back(key.name);
  return names;
}

Section scenario_section() {
  return {
      "scenario",
      "A model on a system under a load. `system`, `model`, `prices` and `software` are a name, or "
      "`{name: ..., key: change, ...}`.",
      with_head({
          required(map("model",
                       "Network in workloads/models, or `from_checkpoint`: the network "
                       "of the checkpoint given on the command line.")),
          required(map("system", "System in hw_configs/systems.")),
          required(map("placement", "How the pools run the model.")),
          map("serving", "Batching of the serving engine."),
          required(map("traffic", "The load, or the name of a file in workloads/traffic.")),
          map("slo", "Objectives; one that is left out always holds."),
          map("prices", "Prices in hw_configs/prices; default: default_2026."),
          map("software", "Framework overheads in hw_configs/software; default: generic."),
          number("seed", Dimension::Count, "1", 0, 9e15, "Of every random stream."),
          number("audit_steps", Dimension::Count, "300", 0, 1e9,
                 "Interpolated steps that are simulated in full to measure the error."),
      }),
      {"draft_model", "models"}};
}

Section placement_section() {
  Section section{"placement",
                  "`monolithic`: the keys of a pool stand beside `mode`. `disaggregated`: "
                  "`prefill` and `decode` each hold them.",
                  {choice("mode", "", {"monolithic", "disaggregated"}, {"attention_ffn", "drafter"},
                          "Whether prefill and decode share the chips.")},
                  pool_section().later};
  section.keys.push_back(map("prefill", "Disaggregated: the pool that processes prompts."));
  section.keys.push_back(map("decode", "Disaggregated: the pool that makes tokens."));
  for (const KeySpec& key : pool_section().keys) {
    section.keys.push_back(key);
    section.keys.back().is_required = false;
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
                 "Chips that share each layer; only 1 for now."),
          number("pipeline", Dimension::Count, "1", 1, 1e6,
                 "Stages, each of whole layers on a chip of its own."),
          number("replicas", Dimension::Count, "1", 1, 1e6, "Copies side by side."),
          number("head_chips", Dimension::Count, "0", 0, 1e6,
                 "Further chips that split the LM head by vocabulary; 0: the last stage holds it."),
          map("precision", "Element types."),
      },
      {"expert", "data", "attention_data", "context", "micro_batches", "spares"}};
}

Section precision_section() {
  return {"precision",
          "Element types; fp8 is OCP e4m3.",
          {element("weights", "Of the projections and the FFN."),
           element("kv_cache", "Of cached keys and values."),
           element("activations", "Between operators.")},
          {}};
}

Section serving_section() {
  return {
      "serving",
      "Continuous batching.",
      {
          choice("policy", "vllm_v1", {"vllm_v1"}, {}, "Rules of the scheduler."),
          choice("router", "least_loaded", {"least_loaded", "round_robin"}, {},
                 "Which replica takes a request."),
          number("max_batch_tokens", Dimension::Count, "8192", 1, 1e9, "Most tokens in one step."),
          number("max_sequences", Dimension::Count, "256", 1, 1e9,
                 "Most requests in flight on one replica."),
          number("kv_block_tokens", Dimension::Count, "16", 1, 1e6,
                 "Tokens of one block of the paged KV cache."),
          flag("prefix_cache", "false", "Share the KV of equal prefixes; only false for now."),
      },
      {}};
}

Section traffic_section() {
  return {"traffic",
          "Requests that come in.",
          {
              text("kind", "`traffic`, in a file of its own."),
              text("name", "Of the file."),
              text("extends", "A file in workloads/traffic."),
              text("note", "Free text."),
              choice("arrivals", "", {"closed", "poisson", "constant"}, {"gamma", "trace", "ramp"},
                     "When requests come."),
              number("concurrency", Dimension::Count, "1", 1, 1e9,
                     "closed: users that each wait for their answer."),
              number("rate", Dimension::RequestRate, "0", 1e-9, 1e9,
                     "poisson, constant: requests per second."),
              number("prompt_tokens", Dimension::Count, "1024", 1, 1e9, "Mean prompt length."),
              number("output_tokens", Dimension::Count, "256", 1, 1e9, "Mean answer length."),
              number("length_spread", Dimension::Fraction, "0", 0, 1,
                     "Lengths are uniform in [(1 - s) n, (1 + s) n]."),
              number("requests", Dimension::Count, "100", 1, 1e9, "Requests that are simulated."),
          },
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
              required(text("source", "Where the path comes from.")),
              choice("basis", "", bases, {}, "How far it can be trusted."),
          },
          {}};
}

Section model_section() {
  const double most = 1e12;
  return {"model",
          "A dense decoder of the Llama family.",
          with_head({
              required(text("source", "Where the shape comes from.")),
              number("layers", Dimension::Count, "", 1, 1e5, "Decoder layers."),
              number("hidden", Dimension::Count, "", 1, most, "Width of the residual stream."),
              number("heads", Dimension::Count, "", 1, most, "Query heads."),
              number("kv_heads", Dimension::Count, "", 1, most, "Key and value heads."),
              number("head_dim", Dimension::Count, "", 2, most, "Elements of one head."),
              number("intermediate", Dimension::Count, "", 1, most, "Width of the FFN."),
              number("vocabulary", Dimension::Count, "", 2, most, "Tokens."),
              number("max_context", Dimension::Count, "", 1, most, "Longest sequence."),
              flag("tied_embeddings", "false", "The LM head is the embedding table."),
              number("norm_epsilon", Dimension::Scalar, "1e-5", 1e-12, 1, "Of RMSNorm."),
              required(map("rope", "Rotary embedding.")),
          }),
          {"attn", "ffn", "experts", "gdn", "mla"}};
}

Section rope_section() {
  return {"rope",
          "Rotary position embedding.",
          {number("theta", Dimension::Scalar, "", 1, 1e12, "Base of the wavelengths."),
           choice("layout", "half_split", {"interleaved", "half_split"}, {},
                  "Pairs rotated: (2i, 2i+1), or (i, i + head_dim / 2)."),
           map("scaling", "Frequency scaling of Llama 3.1; none when left out.")},
          {}};
}

Section rope_scaling_section() {
  return {"rope scaling",
          "Wavelengths above original_context / low_frequency_factor are divided by factor.",
          {number("factor", Dimension::Scalar, "", 1, 1e6, "Stretch of long wavelengths."),
           number("low_frequency_factor", Dimension::Scalar, "", 1e-6, 1e6, "Upper bound."),
           number("high_frequency_factor", Dimension::Scalar, "", 1e-6, 1e6, "Lower bound."),
           number("original_context", Dimension::Count, "", 1, 1e12, "Context of training.")},
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
