#include "sim/entry/systems/served_counts.hpp"

#include <cmath>
#include <string>

namespace tandem::entry {
namespace {

bool is_disaggregated(const ServedRow& row) {
  return row.text("mode") == "disagg";
}

bool lacks_counts(const ServedRow& row) {
  return is_disaggregated(row) && row.count("prefill_workers", 0) == 0;
}

bool is_from_database(const ServedRow& row) {
  return row.text("silicon_data_source").starts_with("db-dump");
}

/// Both times agree to a tenth of a microsecond.
bool are_one_measurement(const ServedRow& a, const ServedRow& b) {
  for (const char* name : {"silicon_ttft_ms", "silicon_tpot_ms", "concurrency"}) {
    const auto x = a.number(name), y = b.number(name);
    if (!x || !y || std::abs(*x - *y) > 1e-4) return false;
  }
  return true;
}

bool have_one_load(const ServedRow& a, const ServedRow& b) {
  for (const char* name :
       {"mode", "system", "software", "precision", "isl", "osl", "concurrency"}) {
    if (a.text(name) != b.text(name)) return false;
  }
  return true;
}

void set_pool(ServedRow& row, const std::string& name, const PublishedPool& pool) {
  row.set(name + "_workers", std::to_string(pool.engines));
  row.set(name + "_tp", std::to_string(pool.tensor));
  row.set(name + "_attention_dp", std::to_string(pool.groups));
  row.set(name + "_moe_tp", "1");
  row.set(name + "_moe_ep", std::to_string(pool.expert));
}

/// Drafts that the benchmark's scripts for engines of one pool ask for, by the image that they run
/// (dsr1_fp4_b200_trt_mtp.sh, dsr1_fp8_b200_trt_mtp.sh): one where attention is shared by requests,
/// else three. The image of version 1.2.0rc6.post3 is theirs alone; that of 1.1.0rc2.post2 was
/// theirs from January 2026 on.
std::int64_t drafts_of_tensorrt(const ServedRow& row) {
  const std::string version = row.text("software_version");
  const bool is_later = version == "1.2.0rc6.post3";
  const bool is_january =
      version == "1.1.0rc2.post2" && mentions(row.text("silicon_data_source"), "measured=2026-01");
  if (!is_later && !is_january) return 0;
  return row.count("attention_dp", 1) > 1 ? 1 : 3;
}

/// dsr1_fp8_b200_mtp.sh: EAGLE of two steps, on eight chips. The same image runs without drafts, in
/// the runs that are listed.
std::int64_t drafts_of_sglang(const ServedRow& row, bool is_listed_run) {
  const bool may_draft = row.text("software_version") == "0.5.9" &&
                         row.text("precision") == "fp8" && row.count("tp", 1) == 8;
  return may_draft && !is_listed_run ? 2 : 0;
}

}  // namespace

EngineCounts::EngineCounts(const ManifestSystemTable& table, const CsvTable& csv) {
  for (std::size_t i = 0; i < csv.rows(); ++i) {
    ServedRow row(table, csv, i);
    const bool is_complete = is_disaggregated(row) ? !lacks_counts(row) : is_from_database(row);
    if (is_complete) listed_.push_back(std::move(row));
  }
}

const ServedRow* EngineCounts::same_run(const ServedRow& row) const {
  for (const ServedRow& other : listed_) {
    if (is_disaggregated(row) == is_disaggregated(other) && are_one_measurement(row, other)) {
      return &other;
    }
  }
  return nullptr;
}

bool EngineCounts::is_listed(const ServedRow& row) const {
  for (const ServedRow& other : listed_) {
    if (have_one_load(row, other)) return true;
  }
  return false;
}

void EngineCounts::complete(ServedRow& row) const {
  if (lacks_counts(row)) return complete_pools(row);
  std::int64_t drafts = 0;
  if (!is_disaggregated(row) && mentions(row.text("model"), "DeepSeek-R1")) {
    const std::string engine = row.text("software");
    if (engine == "trtllm") drafts = drafts_of_tensorrt(row);
    if (engine == "sglang") drafts = drafts_of_sglang(row, same_run(row) != nullptr);
  }
  row.set("drafts", std::to_string(drafts));
}

void EngineCounts::complete_pools(ServedRow& row) const {
  if (const ServedRow* same = same_run(row)) {
    for (const char* pool : {"prefill", "decode"}) {
      for (const char* name : {"_workers", "_tp", "_attention_dp", "_moe_tp", "_moe_ep"}) {
        row.set(std::string(pool) + name, same->text(std::string(pool) + name));
      }
    }
    row.set("drafts", "0");
    return;
  }
  std::vector<PublishedEngines> runs = published_engines(row);
  if (runs.size() > 1 && is_listed(row)) {
    std::erase_if(runs, [](const PublishedEngines& run) { return run.drafts == 0; });
  }
  if (runs.size() != 1) return;
  set_pool(row, "prefill", runs.front().prefill);
  set_pool(row, "decode", runs.front().decode);
  row.set("drafts", std::to_string(runs.front().drafts));
}

}  // namespace tandem::entry
