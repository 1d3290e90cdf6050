#include "sim/entry/systems/served_counts.hpp"

#include <cmath>
#include <limits>
#include <string>

namespace tandem::entry {
namespace {

bool lacks_counts(const ServedRow& row) {
  return row.text("mode") == "disagg" && row.count("prefill_workers", 0) == 0;
}

/// Both times agree to a tenth of a microsecond.
bool are_one_measurement(const ServedRow& a, const ServedRow& b) {
  for (const char* name : {"silicon_ttft_ms", "silicon_tpot_ms", "concurrency"}) {
    const auto x = a.number(name), y = b.number(name);
    if (!x || !y || std::abs(*x - *y) > 1e-4) return false;
  }
  return true;
}

std::int64_t chips_of(const ServedRow& row, const std::string& pool) {
  return row.count(pool + "_tp", 1) * row.count(pool + "_attention_dp", 1);
}

bool are_alike(const ServedRow& a, const ServedRow& b) {
  for (const char* name : {"system", "software", "precision", "isl", "osl"}) {
    if (a.text(name) != b.text(name)) return false;
  }
  for (const char* pool : {"prefill", "decode"}) {
    if (chips_of(a, pool) != chips_of(b, pool)) return false;
  }
  return true;
}

}  // namespace

EngineCounts::EngineCounts(const ManifestSystemTable& table, const CsvTable& csv) {
  for (std::size_t i = 0; i < csv.rows(); ++i) {
    ServedRow row(table, csv, i);
    if (row.text("mode") == "disagg" && !lacks_counts(row)) complete_.push_back(std::move(row));
  }
}

void EngineCounts::complete(ServedRow& row) const {
  if (!lacks_counts(row)) return;
  const ServedRow* nearest = nullptr;
  double distance = std::numeric_limits<double>::infinity();
  for (const ServedRow& other : complete_) {
    if (are_one_measurement(row, other)) {
      for (const char* pool : {"prefill", "decode"}) {
        for (const char* name : {"_workers", "_tp", "_attention_dp", "_moe_tp", "_moe_ep"}) {
          row.set(std::string(pool) + name, other.text(std::string(pool) + name));
        }
      }
      return;
    }
    const auto here = row.number("concurrency"), there = other.number("concurrency");
    if (!here || !there || !are_alike(row, other)) continue;
    const double apart = std::abs(std::log(*here / *there));
    if (apart >= distance) continue;
    distance = apart;
    nearest = &other;
  }
  if (nearest == nullptr) return;
  for (const char* name : {"prefill_workers", "decode_workers"}) row.set(name, nearest->text(name));
}

}  // namespace tandem::entry
