// Keys of the load.
#include "sim/config/key_makers.hpp"
#include "sim/config/keys.hpp"

namespace tandem::config {

using namespace make;

Section traffic_section() {
  return {
      "traffic",
      "Requests that come in.",
      {
          text("kind", "`traffic`, in a file of its own."),
          text("name", "Of the file."),
          text("extends", "A file in workloads/traffic."),
          text("note", "Free text."),
          choice("arrivals", "", {"closed", "poisson", "constant", "gamma", "ramp", "trace"}, {},
                 "When requests come."),
          number("concurrency", Dimension::Count, "1", 1, 1e9,
                 "closed: users that each wait for their answer."),
          choice("start", "spread", {"spread", "together"}, {},
                 "closed: users send their first requests evenly over the time that one takes by "
                 "itself, or all at once, as load generators do."),
          number("rate", Dimension::RequestRate, "0", 1e-9, 1e9,
                 "poisson, constant, gamma: requests per second; ramp: at the start; trace: the "
                 "mean that recorded times are scaled to, instead of their own."),
          number("burstiness", Dimension::Scalar, "1", 0.01, 100,
                 "gamma: coefficient of variation of the times between arrivals; 1 is Poisson, "
                 "more comes in bursts."),
          number("end_rate", Dimension::RequestRate, "0", 1e-9, 1e9,
                 "ramp: requests per second at its end and from then on."),
          number("ramp_time", Dimension::Time, "0 s", 1e-9, 1e9,
                 "ramp: time over which the rate goes from `rate` to `end_rate`."),
          keys("trace",
               "Recorded requests: their lengths and shared prefixes instead of drawn ones; with "
               "`arrivals: trace` their times too."),
          number("prompt_tokens", Dimension::Count, "1024", 1, 1e9, "Mean prompt length."),
          number("output_tokens", Dimension::Count, "256", 1, 1e9, "Mean answer length."),
          number("length_spread", Dimension::Fraction, "0", 0, 1,
                 "Lengths are uniform in [(1 - s) n, (1 + s) n]."),
          number("requests", Dimension::Count, "100", 1, 1e9,
                 "Requests that are simulated; with `branches` or `agents`, groups of them; with "
                 "`turns`, sessions; of a trace the first ones, all where it is left out."),
          text_or(
              "warm_up", "0",
              "Requests (`100`) or time (`30 s`) at the beginning that latencies, rates and the "
              "share within the SLO leave out."),
          number("branches", Dimension::Count, "1", 1, 1e6,
                 "Answers to each prompt, whose KV they share (best of n)."),
          number("agents", Dimension::Count, "1", 1, 1e6,
                 "Agents that answer side by side behind a shared prefix; `prompt_tokens` are "
                 "each agent's own."),
          number("rounds", Dimension::Count, "1", 1, 1e6,
                 "agents: times that each answers, with what all wrote the time before in its "
                 "prompt."),
          number("shared_prefix_tokens", Dimension::Count, "0", 0, 1e9,
                 "agents: tokens that all prompts of a group begin with; turns: that all prompts "
                 "do."),
          number("turns", Dimension::Count, "1", 1, 1e6,
                 "Mean turns of a session (a conversation, or an agent that calls tools): each "
                 "prompt is the text so far, answers included, and `prompt_tokens` more."),
          number("turns_spread", Dimension::Fraction, "0", 0, 1,
                 "turns: their number is uniform in [(1 - s) n, (1 + s) n]."),
          number("think_time", Dimension::Time, "0 s", 0, 1e9,
                 "turns: mean time from an answer to the next turn, of a user or a tool."),
          choice("think_times", "exponential", {"exponential", "constant"}, {},
                 "turns: how think times are spread."),
          number("first_prompt_tokens", Dimension::Count, "0", 0, 1e9,
                 "turns: mean new tokens of the first turn; 0: `prompt_tokens`."),
      },
      {}};
}

Section trace_section() {
  return {
      "trace",
      "A file of recorded requests, one per row of a table (.csv, with a header) or per line of "
      "JSON (.jsonl). Rows need no order; answers of no token count as one.",
      {
          required(text("file", "Its path, from the folder of the file that names it.")),
          choice("format", "columns", {"columns", "azure", "mooncake"}, {},
                 "azure: TIMESTAMP, ContextTokens, GeneratedTokens. mooncake: timestamp in ms, "
                 "input_length, output_length, hash_ids of blocks of 512 tokens. columns: as the "
                 "keys below say."),
          text_or("arrival", "arrival_s", "columns: of the arrival, a number or a date and time."),
          choice("arrival_unit", "s", {"s", "ms", "us", "ns"}, {},
                 "columns: of arrivals that are numbers."),
          text_or("prompt", "prompt_tokens", "columns: of the prompt's tokens."),
          text_or("output", "output_tokens", "columns: of the answer's tokens."),
          text("prefix",
               "columns: of the ids of the prompt's blocks (a list, or whole numbers with spaces "
               "between them); two prompts share a block, and all before it, where its id is the "
               "same."),
          number("prefix_block_tokens", Dimension::Count, "512", 1, 1e9,
                 "columns: tokens of such a block."),
          text("priority",
               "columns: of whole numbers by which `serving: {order: priority}` serves, smaller "
               "ones first."),
          text("session",
               "columns: of the user or conversation, for `serving: {router: session_affinity}`; "
               "any text."),
          choice("too_long", "refuse", {"refuse", "drop"}, {},
                 "Requests beyond the model's context: an error, or left out."),
      },
      {}};
}

}  // namespace tandem::config
