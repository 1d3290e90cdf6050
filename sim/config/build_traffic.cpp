// The load.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "sim/config/build.hpp"
#include "sim/config/request_trace.hpp"
#include "sim/config/unit_text.hpp"

namespace tandem::config {
namespace {

/// Keys that some arrivals need and the others do not know.
struct ArrivalKeys {
  ArrivalKind arrivals;
  std::vector<std::string> needed;
  std::vector<std::string> known;  ///< beside those
};

const ArrivalKeys& keys_of(ArrivalKind arrivals) {
  static const std::vector<ArrivalKeys> table = {
      {ArrivalKind::Closed, {"concurrency"}, {"start"}},
      {ArrivalKind::Poisson, {"rate"}, {}},
      {ArrivalKind::Constant, {"rate"}, {}},
      {ArrivalKind::Gamma, {"rate", "burstiness"}, {}},
      {ArrivalKind::Ramp, {"rate", "end_rate", "ramp_time"}, {}},
      {ArrivalKind::Trace, {"trace"}, {"rate"}},
  };
  return *std::find_if(table.begin(), table.end(),
                       [&](const ArrivalKeys& keys) { return keys.arrivals == arrivals; });
}

const char* example_of(const std::string& key) {
  if (key == "concurrency") return "concurrency: 8";
  if (key == "burstiness") return "burstiness: 2";
  if (key == "end_rate") return "end_rate: 16 req/s";
  if (key == "ramp_time") return "ramp_time: 60 s";
  if (key == "trace") return "trace: {file: requests.csv}";
  return "rate: 4 req/s";
}

bool is_among(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// What a file says under `key` is superseded without a word when `cause`, which it does not go
/// with, comes from the command line.
bool is_superseded(const MapReader& reader, const char* key, const char* cause) {
  return is_override_place(reader.place(cause)) && !is_override_place(reader.place(key));
}

/// What to write where `key` does not go with the arrivals. What a file inherits it cannot leave
/// out, but it can take it away.
std::string remedy_of(const MapReader& reader, const char* key, const char* cause) {
  const bool is_inherited = reader.place(key).file != reader.place(cause).file;
  if (is_override_place(reader.place(key)) || !is_inherited) return "leave it out";
  return fmt::format("leave it out, or where it is inherited write '{}: null' beside '{}'", key,
                     cause);
}

void check_arrivals(const MapReader& reader, ArrivalKind arrivals, ReadContext& context) {
  const ArrivalKeys& keys = keys_of(arrivals);
  const std::string word = reader.text("arrivals");
  for (const std::string& key : keys.needed) {
    if (reader.has(key)) continue;
    context.problems.report(
        reader.place("arrivals"),
        fmt::format("arrivals '{}' need the key '{}', e.g. '{}'", word, key, example_of(key)));
  }
  for (const char* key : {"concurrency", "start", "rate", "burstiness", "end_rate", "ramp_time"}) {
    if (!reader.has(key) || is_among(keys.needed, key) || is_among(keys.known, key)) continue;
    if (is_superseded(reader, key, "arrivals")) continue;
    reader.report(key, fmt::format("'{}' does not go with arrivals '{}'; {}", key, word,
                                   remedy_of(reader, key, "arrivals")));
  }
}

double seconds_of(const std::string& unit) {
  if (unit == "ms") return 1e-3;
  if (unit == "us") return 1e-6;
  return unit == "ns" ? 1e-9 : 1;
}

TraceColumns build_columns(const MapReader& reader) {
  const std::string format = reader.choice_word("format");
  const char* own[] = {"arrival", "arrival_unit",        "prompt",   "output",
                       "prefix",  "prefix_block_tokens", "priority", "session"};
  if (format != "columns") {
    for (const char* key : own) {
      if (!reader.has(key)) continue;
      reader.report(key, fmt::format("'{}' is for 'format: columns'; leave it out", key));
    }
    return trace_columns_of(format);
  }
  return {.arrival = reader.text("arrival"),
          .seconds_per_unit = seconds_of(reader.choice_word("arrival_unit")),
          .prompt = reader.text("prompt"),
          .output = reader.text("output"),
          .prefix = reader.text("prefix"),
          .prefix_block_tokens = reader.count("prefix_block_tokens"),
          .priority = reader.text("priority"),
          .session = reader.text("session")};
}

/// From the folder of the file that names it; of the command line, from where that was typed.
std::string resolved(const std::string& path, const SourcePlace& place) {
  namespace fs = std::filesystem;
  if (is_override_place(place)) return path;
  return (fs::path(place.file).parent_path() / path).lexically_normal().string();
}

std::shared_ptr<const RequestTrace> build_trace(const Tree& tree, ReadContext& context) {
  const MapReader reader(tree, trace_section(), "trace", context);
  if (!tree.is_map() || !reader.has("file")) return nullptr;
  const std::size_t before = context.problems.size();
  const TraceColumns columns = build_columns(reader);
  static_cast<void>(reader.choice_word("too_long"));
  if (context.problems.size() != before) return nullptr;
  const SourcePlace place = reader.place("file");
  RequestTrace trace =
      read_trace(resolved(reader.text("file"), place), columns, place, context.problems);
  if (context.problems.size() != before) return nullptr;
  return std::make_shared<const RequestTrace>(std::move(trace));
}

std::int64_t recorded_requests(const Traffic& traffic) {
  return static_cast<std::int64_t>(traffic.trace->requests.size());
}

void check_trace(const MapReader& reader, const Traffic& traffic, ReadContext& context) {
  for (const char* key : {"prompt_tokens", "output_tokens", "length_spread", "branches", "agents",
                          "rounds", "shared_prefix_tokens", "turns", "turns_spread", "think_time",
                          "think_times", "first_prompt_tokens"}) {
    if (!reader.has(key) || is_superseded(reader, key, "trace")) continue;
    reader.report(key, fmt::format("'{}' does not go with a trace; {}", key,
                                   remedy_of(reader, key, "trace")));
  }
  if (traffic.arrivals != ArrivalKind::Trace) return;
  const std::int64_t recorded = recorded_requests(traffic);
  if (reader.has("requests") && traffic.requests > recorded) {
    reader.report("requests", fmt::format("the trace has {} requests; write at most as many, or "
                                          "leave it out",
                                          recorded));
  }
  if (traffic.trace->rate() == 0 && recorded > 1 && reader.has("rate")) {
    context.problems.report(reader.place("rate"),
                            "all requests of the trace come at once: there is no rate to scale");
  }
}

void read_sessions(const MapReader& reader, Traffic& traffic) {
  traffic.turns = reader.count("turns");
  traffic.turns_spread = reader.number("turns_spread");
  traffic.think_time_s = reader.number("think_time");
  traffic.think_time_is_constant = reader.choice_word("think_times") == "constant";
  traffic.first_prompt_tokens = reader.count("first_prompt_tokens");
  for (const char* key : {"turns_spread", "think_time", "think_times", "first_prompt_tokens"}) {
    if (traffic.turns > 1 || !reader.has(key)) continue;
    reader.report(key, fmt::format("'{}' is for sessions; write e.g. 'turns: 5' beside it, or "
                                   "leave it out",
                                   key));
  }
}

void read_warm_up(const MapReader& reader, Traffic& traffic) {
  const std::string text = reader.text("warm_up");
  if (const auto requests = plain_number(text)) {
    traffic.warm_up_requests = static_cast<std::int64_t>(*requests);
    if (*requests >= 0 && static_cast<double>(traffic.warm_up_requests) == *requests) return;
  } else {
    const ParsedNumber time = parse_number(text, Dimension::Time);
    traffic.warm_up_s = time.value;
    if (time.is_good() && time.value >= 0) return;
  }
  traffic.warm_up_requests = 0;
  traffic.warm_up_s = 0;
  reader.report("warm_up", fmt::format("'warm_up' is '{}'; write a number of requests or a time, "
                                       "e.g. '100' or '30 s'",
                                       text));
}

/// Comes when the number of requests is known.
void check_warm_up(const MapReader& reader, const Traffic& traffic) {
  if (traffic.warm_up_requests == 0 || traffic.warm_up_requests < traffic.requests) return;
  reader.report("warm_up", fmt::format("'warm_up' leaves out all {} requests; write less, or more "
                                       "'requests'",
                                       traffic.requests));
}

void use_trace(Traffic& traffic, std::shared_ptr<const RequestTrace> trace) {
  traffic.trace = std::move(trace);
  traffic.prompt_tokens = traffic.trace->mean_prompt();
  traffic.output_tokens = traffic.trace->mean_output();
}

/// The requests of at most `most` tokens; arrivals count from the first of them.
RequestTrace without_longer(const RequestTrace& trace, std::int64_t most) {
  RequestTrace rest;
  rest.file = trace.file;
  for (const TracedRequest& request : trace.requests) {
    if (request.prompt + request.output <= most) rest.requests.push_back(request);
  }
  rest.dropped = static_cast<std::int64_t>(trace.requests.size() - rest.requests.size());
  for (TracedRequest& request : rest.requests) {
    if (&request != &rest.requests.front()) request.arrival -= rest.requests.front().arrival;
  }
  if (!rest.requests.empty()) rest.requests.front().arrival = Picoseconds(0);
  return rest;
}

/// Of a trace that is longer than the run, what comes in it.
void use_first(Traffic& traffic, bool is_scaled) {
  if (traffic.arrivals != ArrivalKind::Trace || traffic.requests >= recorded_requests(traffic)) {
    return;
  }
  RequestTrace cut = *traffic.trace;
  cut.requests.resize(static_cast<std::size_t>(traffic.requests));
  if (!is_scaled) traffic.rate = cut.rate();
  use_trace(traffic, std::make_shared<const RequestTrace>(std::move(cut)));
}

/// Most tokens of a request, prompt and answer together, with the drafts of its last round.
std::int64_t most_tokens(const Scenario& scenario) {
  std::int64_t most = std::numeric_limits<std::int64_t>::max();
  for (const NeuralNetwork* network : {&scenario.model, &scenario.draft_model}) {
    if (network->max_context > 0) most = std::min(most, network->max_context);
  }
  return most - scenario.placement.speculation.drafted();
}

/// Leaves out what is longer than the model's context where the trace says so, else complains.
void drop_longer(Scenario& scenario, const Tree& tree, ReadContext& context) {
  Traffic& traffic = scenario.traffic;
  const std::int64_t most = most_tokens(scenario);
  RequestTrace kept = without_longer(*traffic.trace, most);
  if (kept.dropped == 0) return;
  const Tree& trace = *tree.find("trace");
  const Tree* choice = trace.find("too_long");
  const std::int64_t recorded = recorded_requests(traffic);
  const std::string found = fmt::format(
      "{} of {} requests of the trace take more than the {} tokens of '{}'; the longest "
      "takes {}",
      kept.dropped, recorded, most, scenario.model.name, traffic.trace->longest());
  if (choice == nullptr || choice->text != "drop" || kept.requests.empty()) {
    context.problems.report(trace.find("file")->place,
                            found + (kept.requests.empty() ? "; choose a model of longer context"
                                                           : "; write 'too_long: drop' to leave "
                                                             "them out"));
    return;
  }
  const auto left = static_cast<std::int64_t>(kept.requests.size());
  if (traffic.requests > left && traffic.requests < recorded &&
      traffic.arrivals == ArrivalKind::Trace) {
    context.problems.report(tree.find("requests")->place,
                            fmt::format("{}: {} are left; write at most as many", found, left));
    return;
  }
  if (traffic.arrivals == ArrivalKind::Trace) traffic.requests = std::min(traffic.requests, left);
  const bool is_scaled = tree.find("rate") != nullptr;
  if (traffic.arrivals == ArrivalKind::Trace && !is_scaled) traffic.rate = kept.rate();
  use_trace(traffic, std::make_shared<const RequestTrace>(std::move(kept)));
}

}  // namespace

void fit_trace(Scenario& scenario, const Tree& tree, ReadContext& context) {
  if (!scenario.traffic.trace) return;
  if (scenario.model.name != from_checkpoint) drop_longer(scenario, tree, context);
  use_first(scenario.traffic, tree.find("rate") != nullptr);
}

Traffic build_traffic(const Tree& tree, ReadContext& context) {
  const MapReader reader(tree, traffic_section(), "traffic", context);
  Traffic traffic;
  if (!tree.is_map()) return traffic;
  const std::size_t before = context.problems.size();
  traffic.arrivals = reader.choice<ArrivalKind>("arrivals", {{"closed", ArrivalKind::Closed},
                                                             {"poisson", ArrivalKind::Poisson},
                                                             {"constant", ArrivalKind::Constant},
                                                             {"gamma", ArrivalKind::Gamma},
                                                             {"ramp", ArrivalKind::Ramp},
                                                             {"trace", ArrivalKind::Trace}});
  const bool is_known = reader.has("arrivals") && context.problems.size() == before;
  traffic.concurrency = reader.count("concurrency");
  traffic.rate = reader.optional_number("rate").value_or(0);
  traffic.burstiness = reader.number("burstiness");
  traffic.end_rate = reader.optional_number("end_rate").value_or(0);
  traffic.ramp_time_s = reader.optional_number("ramp_time").value_or(0);
  traffic.prompt_tokens = reader.count("prompt_tokens");
  traffic.output_tokens = reader.count("output_tokens");
  traffic.length_spread = reader.number("length_spread");
  traffic.requests = reader.count("requests");
  traffic.branches = reader.count("branches");
  traffic.agents = reader.count("agents");
  traffic.rounds = reader.count("rounds");
  traffic.shared_prefix_tokens = reader.count("shared_prefix_tokens");
  read_sessions(reader, traffic);
  read_warm_up(reader, traffic);
  if (is_known) check_arrivals(reader, traffic.arrivals, context);
  if (reader.choice_word("start") == "together") traffic.ramp = Picoseconds(0);
  if (is_known && traffic.arrivals != ArrivalKind::Closed) traffic.concurrency = 1;
  if (is_known && traffic.arrivals == ArrivalKind::Closed) traffic.rate = 0;
  if (const Tree* trace = reader.child("trace")) {
    if (auto recorded = build_trace(*trace, context)) {
      use_trace(traffic, std::move(recorded));
      if (!reader.has("requests")) traffic.requests = recorded_requests(traffic);
      const bool is_recorded = traffic.arrivals == ArrivalKind::Trace;
      if (is_recorded && traffic.rate == 0) traffic.rate = traffic.trace->rate();
      check_trace(reader, traffic, context);
    }
  }
  check_warm_up(reader, traffic);
  return traffic;
}

}  // namespace tandem::config
