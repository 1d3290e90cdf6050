// Results of simulated stages and collectives, reused by content key: in memory within a process,
// and in a folder between processes. A stored result only replaces a simulation that would have
// run, so no result depends on what a store holds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/lower/chip_model.hpp"
#include "sim/lower/collective.hpp"

namespace tandem {

/// What one forward pass of a stage cost on the cycle clock: the part of StageCost that services
/// need. Floors are not in here; they are always computed anew.
struct StageResult {
  Picoseconds time;
  Flops matrix;              ///< multiply-adds of matrix products, two each
  Bytes memory;              ///< that left or entered the chip's main memory
  std::int64_t kernels = 0;  ///< kernels that the model answered
  std::map<std::string, std::int64_t> activity;
  std::string bottleneck;
  std::vector<Picoseconds> segments;                ///< as StageCost::segments
  std::map<std::string, Picoseconds> kernel_times;  ///< of all kernels of a role
  bool operator==(const StageResult&) const = default;
};

/// The part of a stage's cost that is kept.
[[nodiscard]] StageResult summary_of(const StageCost& cost);

/// Key -> result.
///
/// Contract: a folder may be shared by processes and may hold anything; files are written under a
/// temporary name and renamed, and what cannot be read back exactly is treated as missing.
class StageStore {
 public:
  /// `folder`: none keeps results in memory alone. The folder is made when first written to; one
  /// that cannot be made or written is ignored.
  explicit StageStore(std::optional<std::filesystem::path> folder = std::nullopt);
  /// The result of that key, or null. The pointer stays valid as long as the store.
  [[nodiscard]] const StageResult* find(std::uint64_t key);
  const StageResult& put(std::uint64_t key, StageResult result);
  /// The same for how stages fit: chips with static schedules compile programs to know it.
  [[nodiscard]] std::optional<Fit> find_fit(std::uint64_t key);
  void put_fit(std::uint64_t key, const Fit& fit);
  /// The same for collectives.
  [[nodiscard]] const CollectiveCost* find_collective(std::uint64_t key);
  const CollectiveCost& put_collective(std::uint64_t key, CollectiveCost cost);
  [[nodiscard]] const std::optional<std::filesystem::path>& folder() const { return folder_; }
  /// Results that came from the folder, and results that were simulated, so far.
  [[nodiscard]] std::int64_t loaded() const { return loaded_; }
  [[nodiscard]] std::int64_t computed() const { return computed_; }

 private:
  [[nodiscard]] std::filesystem::path path_of(std::uint64_t key, const char* kind) const;

  std::optional<std::filesystem::path> folder_;
  std::unordered_map<std::uint64_t, StageResult> memory_;
  std::unordered_map<std::uint64_t, Fit> fits_;
  std::unordered_map<std::uint64_t, CollectiveCost> collectives_;
  std::int64_t loaded_ = 0;
  std::int64_t computed_ = 0;
};

/// The text form of a result, and back; nothing when the text is not exactly such a form.
[[nodiscard]] std::string encode_stage_result(const StageResult& result);
[[nodiscard]] std::optional<StageResult> decode_stage_result(const std::string& text);
[[nodiscard]] std::string encode_fit(const Fit& fit);
[[nodiscard]] std::optional<Fit> decode_fit(const std::string& text);
[[nodiscard]] std::string encode_collective(const CollectiveCost& cost);
[[nodiscard]] std::optional<CollectiveCost> decode_collective(const std::string& text);

}  // namespace tandem
