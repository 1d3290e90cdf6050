#include "sim/entry/validation/predictor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <exception>
#include <thread>

#include "sim/core/hash.hpp"
#include "sim/entry/rows/collective_rows.hpp"
#include "sim/entry/validation/power_meter.hpp"

namespace tandem::entry {

/// A chip with its software, ready to answer.
struct Predictor::Bench {
  Chip chip;
  Software software;
  std::unique_ptr<ChipModel> model;
};

/// One distinct kernel and what came of it.
struct Predictor::Job {
  KernelRun run;
  NamedRow inputs;
  std::optional<double> baseline;
  std::optional<double> predicted;
  std::optional<double> floor;
  double skipped = 0;
  std::string bound;
  std::string reason;
};

namespace {

constexpr auto no_job = static_cast<std::size_t>(-1);

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// The part of an override's path behind `prefix`; nothing when it begins otherwise.
std::optional<std::string> behind(const std::string& path, const std::string& prefix) {
  if (!path.starts_with(prefix)) return std::nullopt;
  return path.substr(prefix.size());
}

/// The overrides that concern one chip, with paths that start inside it.
std::vector<Override> overrides_of_chip(const std::vector<Override>& all, const std::string& chip) {
  std::vector<Override> own;
  for (const Override& change : all) {
    if (behind(change.path, "software.") || behind(change.path, "links.")) continue;
    if (!behind(change.path, "chips.")) {
      own.push_back(change);
    } else if (const auto path = behind(change.path, "chips." + chip + ".")) {
      own.push_back({*path, change.value});
    }
  }
  return own;
}

std::vector<Override> overrides_of_software(const std::vector<Override>& all) {
  std::vector<Override> own;
  for (const Override& change : all) {
    if (const auto path = behind(change.path, "software.")) own.push_back({*path, change.value});
  }
  return own;
}

/// What a chip predicts for the target of a table, in milliseconds or watts; none where it has no
/// answer.
std::optional<double> predicted_value(const KernelCost& cost, ManifestTarget target,
                                      bool is_cycle) {
  if (target == ManifestTarget::Power) {
    return cost.power.count() > 0 ? std::optional(cost.power.count()) : std::nullopt;
  }
  return to_milliseconds(is_cycle ? cost.time : cost.floor);
}

/// On top of rest, while kernels run.
Watts active_power(const Chip& chip) {
  const char* key = "active_power";
  return Watts(chip.parameters.has(key) ? chip.parameters.value(key) : 0);
}

std::unique_ptr<ChipModel> make_model(const Context& context, const Chip& chip,
                                      const Software& software) {
  for (const ChipModelEntry& entry : context.catalogue) {
    if (entry.name == chip.model) return entry.make(chip, software);
  }
  throw ConfigError(fmt::format("no hardware model is called '{}'", chip.model));
}

}  // namespace

std::string fitting_software(const std::string& framework, const std::vector<std::string>& known) {
  std::string name;
  for (const char c : framework) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!name.empty() && name.back() != '_') {
      name += '_';
    }
  }
  while (!name.empty()) {
    if (name.back() == '_') name.pop_back();
    if (contains(known, name)) return name;
    const std::size_t cut = name.rfind('_');
    name = cut == std::string::npos ? std::string{} : name.substr(0, cut);
  }
  return "generic";
}

Predictor::Predictor(const Context& context, PredictorOptions options)
    : context_(context),
      options_(std::move(options)),
      chips_(context.loader.list("chips")),
      layers_(context.loader.list("software")),
      collectives_(context, options_.overrides, options_.is_cycle) {
  DiagnosticSink sink;
  for (const Override& change : options_.overrides) {
    const auto path = behind(change.path, "chips.");
    if (!path) continue;
    const std::string name = path->substr(0, path->find('.'));
    if (contains(chips_, name) && name.size() < path->size()) continue;
    const std::string near = closest_match(name, chips_);
    sink.report({"--set " + change.path, 0, 0},
                fmt::format("write chips.NAME.KEY; no chip '{}'{}", name,
                            near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
  }
  sink.throw_if_any();
}

Predictor::~Predictor() = default;

std::string Predictor::software_for(const std::string& framework) const {
  return options_.software.empty() ? fitting_software(framework, layers_) : options_.software;
}

Predictor::Bench& Predictor::bench_of(const std::string& chip, const std::string& software) {
  std::unique_ptr<Bench>& bench = benches_[chip + "/" + software];
  if (bench) return *bench;
  const auto layer = software == "none" ? Software{"none", {}}
                                        : context_.loader.software(
                                              software, overrides_of_software(options_.overrides));
  auto made = std::make_unique<Bench>();
  made->chip = context_.loader.chip(chip, overrides_of_chip(options_.overrides, chip));
  made->software = layer;
  made->model = make_model(context_, made->chip, layer);
  bench = std::move(made);
  return *bench;
}

std::string Predictor::refusal_of(const ManifestTable& table) const {
  if (!contains(kernel_operators(), table.op)) {
    return fmt::format("operator '{}' is not supported yet", table.op);
  }
  if (!contains(chips_, table.chip)) {
    return fmt::format("chip '{}' is not described in hw_configs/chips", table.chip);
  }
  return {};
}

Watts Predictor::reading_of(const Bench& bench, const std::string& op, const Job& job,
                            const KernelCost& cost) {
  KernelRun brief = job.run;
  brief.sustained = false;
  // One replay holds a layer per copy of the weights.
  const std::int64_t copies = job.run.weight_copies;
  const auto launches = static_cast<std::int64_t>(job.run.kernels.size()) * copies;
  const double seconds =
      run_seconds(op, launches, bench.software, bench.model->simulate_run(brief).time * copies,
                  cost.time * copies);
  const Watts rest = bench.model->static_power();
  switch (memory_before(op, job.inputs, bench.software)) {
    case MeterMemory::Rest:
      return mean_reading(cost.power, rest, seconds);
    case MeterMemory::Filling:
      return mean_reading(cost.power, rest + active_power(bench.chip), seconds);
    case MeterMemory::Run:
      break;
  }
  std::optional<KernelRun> before = run_before(op, job.inputs, bench.software);
  if (!before) return cost.power;
  before->sustained = job.run.sustained;
  return mean_reading(cost.power, bench.model->simulate_run(*before).power, seconds);
}

void Predictor::answer_one(const Bench& bench, const ManifestTable& table, Job& job) const {
  try {
    KernelCost cost = bench.model->simulate_run(job.run);
    if (table.target == ManifestTarget::Power && cost.power.count() > 0) {
      cost.power = reading_of(bench, table.op, job, cost);
    }
    job.predicted = predicted_value(cost, table.target, options_.is_cycle);
    job.bound = cost.bound;
    if (options_.is_cycle) job.skipped = cost.skipped_share();
    if (!job.predicted) job.reason = "the chip model does not say its power";
    if (table.target != ManifestTarget::Latency) return;
    job.floor = to_milliseconds(cost.floor);
    job.baseline = naive_roofline_ms(job.run, bench.chip);
  } catch (const ModelError& error) {
    job.reason = error.what();
  }
}

void Predictor::answer(const Bench& bench, const ManifestTable& table, std::vector<Job>& jobs,
                       const Tick& tick) const {
  std::atomic<std::size_t> next = 0;
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(options_.workers));
  const auto work = [&](std::size_t worker) {
    try {
      for (std::size_t i = next++; i < jobs.size(); i = next++) {
        answer_one(bench, table, jobs[i]);
        if (worker == 0) tick(i, jobs.size());
      }
    } catch (...) {
      failures[worker] = std::current_exception();
    }
  };
  std::vector<std::thread> helpers;
  for (std::size_t w = 1; w < failures.size(); ++w) helpers.emplace_back(work, w);
  work(0);
  for (std::thread& helper : helpers) helper.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

std::vector<std::size_t> Predictor::distinct_jobs(const ManifestTable& table,
                                                  const Software& software,
                                                  const std::vector<MeasuredRow>& rows,
                                                  std::vector<ScoredRow>& scored,
                                                  std::vector<Job>& jobs) const {
  std::vector<std::size_t> job_of(rows.size(), no_job);
  std::map<std::uint64_t, std::size_t> known;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    scored[i].measured = rows[i].measured;
    scored[i].reason = rows[i].problem;
    if (!scored[i].reason.empty()) continue;
    DiagnosticSink sink;
    KernelRun run = kernel_row(table.op, rows[i].inputs, software, sink);
    run.sustained = table.sustained;
    try {
      sink.throw_if_any();
    } catch (const ConfigError& error) {
      scored[i].reason = error.diagnostics().front().message;
      continue;
    }
    Hasher hash;
    hash.add(run.warm).add(run.weight_copies);
    for (const Kernel& kernel : run.kernels) hash.add(key_of(kernel));
    const auto [entry, is_new] = known.emplace(hash.value(), jobs.size());
    if (is_new) {
      jobs.push_back({std::move(run), rows[i].inputs, {}, {}, {}, {}, {}, {}});
    }
    job_of[i] = entry->second;
  }
  return job_of;
}

std::vector<ScoredRow> Predictor::predict(const ManifestTable& table,
                                          const std::vector<MeasuredRow>& rows, const Tick& tick) {
  if (is_collective(table.op)) return collectives_.predict(table, rows);
  std::vector<ScoredRow> scored(rows.size());
  std::vector<Job> jobs;
  if (const std::string refusal = refusal_of(table); !refusal.empty()) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      scored[i].measured = rows[i].measured;
      scored[i].reason = rows[i].problem.empty() ? refusal : rows[i].problem;
    }
    return scored;
  }
  const Bench& bench = bench_of(table.chip, software_for(table.software));
  const std::vector<std::size_t> job_of = distinct_jobs(table, bench.software, rows, scored, jobs);
  answer(bench, table, jobs, tick);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (job_of[i] == no_job) continue;
    const Job& job = jobs[job_of[i]];
    scored[i].predicted = job.predicted;
    scored[i].floor = job.floor;
    scored[i].baseline = job.baseline;
    scored[i].skipped = job.skipped;
    scored[i].bound = job.bound;
    scored[i].reason = job.reason;
  }
  return scored;
}

}  // namespace tandem::entry
