// Predicts measured rows: finds the chip and the software layer of a table, turns rows into
// kernels, and asks the chip once per distinct kernel.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sim/entry/context.hpp"
#include "sim/entry/validation/collective_predictor.hpp"
#include "sim/entry/validation/figures.hpp"
#include "sim/entry/validation/measured_rows.hpp"

namespace tandem::entry {

/// Which clock answers and with which software.
struct PredictorOptions {
  bool is_cycle = true;
  /// A software layer for all tables; "none": no layer at all; empty: the one that fits each table.
  std::string software;
  /// Changes to chips, links and software: `chips.NAME.KEY` of one chip, `links.NAME.KEY` of one
  /// link class, `software.KEY` of the layer, `KEY` of every chip.
  std::vector<Override> overrides;
  int workers = 1;  ///< threads; answers do not depend on it
};

/// The layer in `known` whose name is that of the framework in file-name form ("TensorRT-LLM
/// 1.2.0rc5" -> tensorrt_llm_1_2_0rc5) or its longest beginning at a '_' (tensorrt_llm_1,
/// tensorrt_llm); "generic" when there is none.
[[nodiscard]] std::string fitting_software(const std::string& framework,
                                           const std::vector<std::string>& known);

/// Contract: answers depend only on the context's files, the options and the arguments.
class Predictor {
 public:
  /// Called now and then while rows are predicted: rows done, rows in all.
  using Tick = std::function<void(std::size_t, std::size_t)>;

  /// Throws ConfigError for overrides of chips that do not exist.
  Predictor(const Context& context, PredictorOptions options);
  ~Predictor();

  /// Name of the software layer that predictions for this framework use; "none".
  [[nodiscard]] std::string software_for(const std::string& framework) const;

  /// All rows in order. A row without a prediction says why. Throws ConfigError where descriptions
  /// of chips or software are wrong.
  [[nodiscard]] std::vector<ScoredRow> predict(const ManifestTable& table,
                                               const std::vector<MeasuredRow>& rows,
                                               const Tick& tick);

 private:
  struct Bench;
  struct Job;
  Bench& bench_of(const std::string& chip, const std::string& software);
  /// What the collector's power meter shows for a kernel that draws cost.power.
  [[nodiscard]] static Watts reading_of(const Bench& bench, const std::string& op, const Job& job,
                                        const KernelCost& cost);
  void answer_one(const Bench& bench, const ManifestTable& table, Job& job) const;
  void answer(const Bench& bench, const ManifestTable& table, std::vector<Job>& jobs,
              const Tick& tick) const;
  /// Fills `jobs` with the distinct kernels; the job of each row, or none and then its reason.
  [[nodiscard]] std::vector<std::size_t> distinct_jobs(const ManifestTable& table,
                                                       const Software& software,
                                                       const std::vector<MeasuredRow>& rows,
                                                       std::vector<ScoredRow>& scored,
                                                       std::vector<Job>& jobs) const;
  [[nodiscard]] std::string refusal_of(const ManifestTable& table) const;

  const Context& context_;
  PredictorOptions options_;
  std::vector<std::string> chips_;
  std::vector<std::string> layers_;
  std::map<std::string, std::unique_ptr<Bench>> benches_;
  CollectivePredictor collectives_;
};

}  // namespace tandem::entry
