// Keys of how requests are scheduled and routed.
#include "sim/config/key_makers.hpp"
#include "sim/config/keys.hpp"

namespace tandem::config {

using namespace make;

Section serving_section() {
  return {
      "serving",
      "Continuous batching.",
      {
          choice("policy", "vllm_v1", {"vllm_v1", "sglang", "static"}, {},
                 "Rules of the scheduler of GPUs (docs/serving.md): of vLLM v1, of SGLang, or "
                 "batches that nothing joins."),
          choice("order", "fcfs", {"fcfs", "priority", "longest_prefix"}, {},
                 "Of waiting requests: as they came; vllm_v1: by the priority that a trace gives "
                 "them; sglang: those with most cached tokens first."),
          flag(
              "chunked_prefill", "true",
              "vllm_v1: cut prompts to what is left of a step; false: they wait for one that takes "
              "them whole."),
          number("long_prefill_tokens", Dimension::Count, "0", 0, 1e9,
                 "vllm_v1: most tokens of one prompt in a step; 0: as many as fit."),
          number("max_prefill_tokens", Dimension::Count, "16384", 1, 1e9,
                 "sglang: prompts begin in a step until it has so many tokens; max_batch_tokens is "
                 "its chunked_prefill_size."),
          number("conservativeness", Dimension::Scalar, "1", 0.01, 10,
                 "sglang: schedule_conservativeness, of the room kept for running answers."),
          number("batch_wait_steps", Dimension::Count, "0", 0, 1e6,
                 "vllm_v1: steps that waiting prompts let go by for others to join them, as "
                 "TensorRT-LLM's batch_wait_timeout_iters; 0: none."),
          number("batch_wait_fill", Dimension::Fraction, "0.9", 0, 1,
                 "vllm_v1: share of max_batch_tokens that ends the wait."),
          number("balanced_groups", Dimension::Count, "1", 1, 1e6,
                 "vllm_v1: groups that schedule requests of their own, each with its part of "
                 "max_batch_tokens. Prompts wait until every group has one (TensorRT-LLM's "
                 "attention_dp_config with enable_balance); 1: nothing waits."),
          number("balance_wait_steps", Dimension::Count, "0", 0, 1e6,
                 "balanced_groups: steps after which prompts run though some groups have none "
                 "(timeout_iters)."),
          number("receive_interval", Dimension::Count, "1", 1, 1e6,
                 "sglang: scheduler_recv_interval, steps of decoding between looks for new "
                 "requests."),
          choice("router", "least_loaded",
                 {"least_loaded", "round_robin", "kv_overlap", "session_affinity"}, {},
                 "Which replica takes a request: that of fewest requests, the next one, that of "
                 "least cost by what is cached and in use, or the same one for all of a session."),
          number("overlap_weight", Dimension::Scalar, "1", 0, 1e6,
                 "kv_overlap: weight of a block of prompt to compute over one in use."),
          number("router_temperature", Dimension::Scalar, "0", 0, 1e6,
                 "kv_overlap: draw replicas by the softmax of their costs, scaled to 0 to 1; 0: "
                 "the cheapest."),
          choice("kv_tiers", "none", {"none", "host", "store", "host_and_store"}, {},
                 "Where blocks go that HBM has no room for (vllm_v1): the memory of the hosts, a "
                 "store that all replicas share, or the one and from there the other; `kv_tiers` "
                 "of the system says how large and fast they are."),
          number("local_prefill_tokens", Dimension::Count, "0", 0, 1e9,
                 "mode disaggregated, GPUs: prompts with at most so many tokens to compute are "
                 "computed where they decode (Dynamo's max_local_prefill_length); 0: none."),
          number("prefill_queue", Dimension::Count, "2", 1, 1e9,
                 "local_prefill_tokens: and so are all while as many requests wait for the pool "
                 "of the prompts (max_prefill_queue_size)."),
          number("max_batch_tokens", Dimension::Count, "8192", 1, 1e9, "Most tokens in one step."),
          number("max_sequences", Dimension::Count, "256", 1, 1e9,
                 "Most requests in flight on one replica."),
          number("kv_block_tokens", Dimension::Count, "16", 1, 1e6,
                 "Tokens of one block of the paged KV cache."),
          keys("planner", "Replicas turned on and off by the load; default: all, all the time."),
          map("eviction", "Cached tokens that are dropped (GPUs, mode monolithic); default: none."),
          choice("cascade_attention", "false", {"false", "vllm", "always"}, {},
                 "Requests of a group that decode in one pass read the KV of their common prefix "
                 "once (GPUs). vllm: where vLLM does, all requests of the pass share at least 256 "
                 "tokens and its estimate says that it pays. always: wherever two share one."),
          flag("prefix_cache", "true",
               "Keep the KV blocks of prompts' shared parts for later requests (traces with a "
               "prefix; agents)."),
      },
      {}};
}

Section eviction_section() {
  return {
      "eviction",
      "At the end of each pass every layer of full attention keeps so many of a request's "
      "tokens, or a share of them.",
      {required(choice("policy", "streaming_llm", {"streaming_llm", "h2o"}, {},
                       "streaming_llm: the first tokens and the last ones, with positions "
                       "counted within the cache. h2o: per KV head half of them the last "
                       "tokens, half those that drew most attention.")),
       number("tokens", Dimension::Count, "none", 1, 1e9, "Tokens that stay."),
       number("budget", Dimension::Fraction, "none", 0, 1,
              "Instead of `tokens`: the share of a request's tokens so far that stays."),
       number("sinks", Dimension::Count, "4", 0, 1e9, "streaming_llm: first tokens that stay.")},
      {}};
}

}  // namespace tandem::config
