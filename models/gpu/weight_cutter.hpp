// Cuts the tensors of one layer into the matrices that a chip holds.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "models/gpu/stage_weights.hpp"
#include "models/gpu/stored_weights.hpp"
#include "sim/lower/sharding.hpp"

namespace tandem::gpu {

/// A run of a chip's heads among all of a layer.
struct HeadRun {
  std::int64_t begin = 0, count = 0;
};

/// Query heads of grouped or latent attention: those of a tensor rank are next to each other, and
/// its context ranks share them, so that they all fit the KV heads that the tensor rank holds.
[[nodiscard]] HeadRun query_heads_of(std::int64_t heads, const Shard& shard);
/// KV heads; fewer of them than tensor ranks are held more than once.
[[nodiscard]] HeadRun kv_heads_of(std::int64_t kv_heads, const Shard& shard);
/// The width of an expert is shared by the chips that hold it.
[[nodiscard]] ShareRange expert_columns(std::int64_t width, const Shard& shard);

class WeightCutter {
 public:
  /// `prefix` is "layers.3." or empty.
  WeightCutter(StoredWeights& all, std::string prefix, const Shard& shard, RoleWeights& out)
      : all_(all), prefix_(std::move(prefix)), shard_(shard), out_(out) {}

  [[nodiscard]] const Shard& shard() const { return shard_; }
  /// Appends rows of a matrix [out, in] to the role's.
  void rows(const std::string& role, std::string_view tensor, ShareRange rows);
  /// The same as values, never as codes: tables, and products that take rows as they are.
  void plain_rows(const std::string& role, std::string_view tensor, ShareRange rows);
  /// Appends columns [begin, end) of every row.
  void columns(const std::string& role, std::string_view tensor, ShareRange columns);
  /// Appends elements of a vector to the role's one row.
  void elements(const std::string& role, std::string_view tensor, ShareRange elements);
  /// A whole tensor; a vector becomes one row.
  void whole(const std::string& role, std::string_view tensor);
  /// The role's one row of zeros, of the length of a vector; for biases that another chip adds.
  void zeros(const std::string& role, std::string_view tensor);
  /// `count` more zeros in the role's one row.
  void more_zeros(const std::string& role, std::int64_t count);
  /// Appends rows of a matrix [out, in] as columns: `in` rows of as many elements.
  void transposed(const std::string& role, std::string_view tensor, ShareRange rows);
  /// A norm's weight and, where it has one, its bias.
  void norm(const std::string& role, const std::string& tensor);
  /// Part of a tensor [experts, out, in]: rows and columns of the experts held.
  void experts(const std::string& role, std::string_view tensor, ShareRange held, ShareRange rows,
               ShareRange columns);
  [[nodiscard]] bool has(std::string_view tensor) const;
  [[nodiscard]] const Tensor& at(std::string_view tensor) const { return stored(tensor).values; }

 private:
  /// Which part of a tensor: `rows` rows from `first` on, `stride` elements apart.
  struct Part {
    std::int64_t first = 0, rows = 0, stride = 0;
    ShareRange columns;
  };
  [[nodiscard]] const StoredTensor& stored(std::string_view tensor) const;
  static void append(WeightMatrix& matrix, const StoredTensor& tensor, const Part& part);
  static void append_codes(WeightMatrix& matrix, const StoredTensor& tensor, const Part& part);

  StoredWeights& all_;
  std::string prefix_;
  Shard shard_;
  RoleWeights& out_;
};

/// What a layer's token mixer needs; heads are cut as the chip holds them.
void cut_mixer(const GroupedAttention& attention, WeightCutter& cutter);
void cut_mixer(const LatentAttention& attention, WeightCutter& cutter);
void cut_mixer(const GatedDelta& delta, WeightCutter& cutter);
inline void cut_mixer(const MixerElsewhere&, WeightCutter&) {}
/// What its second half needs.
void cut_feed_forward(const FeedForward& ffn, WeightCutter& cutter);

}  // namespace tandem::gpu
