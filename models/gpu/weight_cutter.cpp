#include "models/gpu/weight_cutter.hpp"

#include <algorithm>

namespace tandem::gpu {

HeadRun query_heads_of(std::int64_t heads, const Shard& shard) {
  const std::int64_t own = heads / shard.of.group_ranks();
  const std::int64_t tensor_rank = shard.group_rank() % shard.of.tensor;
  return {(tensor_rank * shard.of.context + shard.context_rank()) * own, own};
}

HeadRun kv_heads_of(std::int64_t kv_heads, const Shard& shard) {
  const std::int64_t tensor_rank = shard.group_rank() % shard.of.tensor;
  return {tensor_rank * kv_heads / shard.of.tensor,
          std::max<std::int64_t>(1, kv_heads / shard.of.tensor)};
}

ShareRange expert_columns(std::int64_t width, const Shard& shard) {
  const std::int64_t sharers = shard.of.ranks() / shard.of.expert;
  return tandem::share_of(width, sharers, shard.rank % sharers);
}

const Tensor& WeightCutter::at(std::string_view tensor) const {
  return all_.at(prefix_ + std::string(tensor));
}

bool WeightCutter::has(std::string_view tensor) const {
  return all_.tensors.contains(prefix_ + std::string(tensor));
}

/// `rows` rows from row `first` on, of each the columns given.
void WeightCutter::append(WeightMatrix& matrix, const Tensor& tensor, std::int64_t first,
                          ShareRange columns, std::int64_t stride, std::int64_t rows) {
  matrix.width = columns.size();
  matrix.rows += rows;
  for (std::int64_t row = first; row < first + rows; ++row) {
    for (std::int64_t i = columns.begin; i < columns.end; ++i) {
      matrix.values.push_back(round_to(type_, tensor.load(row * stride + i)));
    }
  }
}

void WeightCutter::rows(const std::string& role, std::string_view tensor, ShareRange rows) {
  const Tensor& from = at(tensor);
  const std::int64_t width = from.shape().back();
  append(out_.make(role), from, rows.begin, {0, width}, width, rows.size());
}

void WeightCutter::columns(const std::string& role, std::string_view tensor, ShareRange columns) {
  const Tensor& from = at(tensor);
  append(out_.make(role), from, 0, columns, from.shape().back(), from.dim(0));
}

void WeightCutter::elements(const std::string& role, std::string_view tensor, ShareRange elements) {
  WeightMatrix& matrix = out_.make(role);
  const std::int64_t before = matrix.width;
  append(matrix, at(tensor), 0, elements, 0, 1);
  matrix.width += before;
  matrix.rows = 1;
}

void WeightCutter::whole(const std::string& role, std::string_view tensor) {
  const Tensor& from = at(tensor);
  if (from.shape().size() == 1) return elements(role, tensor, {0, from.elements()});
  rows(role, tensor, {0, from.dim(0)});
}

void WeightCutter::zeros(const std::string& role, std::string_view tensor) {
  more_zeros(role, at(tensor).shape().back());
}

void WeightCutter::more_zeros(const std::string& role, std::int64_t count) {
  WeightMatrix& matrix = out_.make(role);
  matrix.rows = 1;
  matrix.width += count;
  matrix.values.resize(static_cast<std::size_t>(matrix.width));
}

void WeightCutter::transposed(const std::string& role, std::string_view tensor, ShareRange rows) {
  const Tensor& from = at(tensor);
  const std::int64_t width = from.shape().back();
  WeightMatrix& matrix = out_.make(role);
  matrix.width = rows.size();
  matrix.rows += width;
  for (std::int64_t column = 0; column < width; ++column) {
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      matrix.values.push_back(round_to(type_, from.load(row * width + column)));
    }
  }
}

void WeightCutter::norm(const std::string& role, const std::string& tensor) {
  whole(role, tensor);
  if (has(tensor + "_bias")) whole(role + ".bias", tensor + "_bias");
}

void WeightCutter::experts(const std::string& role, std::string_view tensor, ShareRange held,
                           ShareRange rows, ShareRange columns) {
  const Tensor& from = at(tensor);
  const std::int64_t all_rows = from.dim(1);
  for (std::int64_t expert = held.begin; expert < held.end; ++expert) {
    append(out_.make(role), from, expert * all_rows + rows.begin, columns, from.shape().back(),
           rows.size());
  }
}

}  // namespace tandem::gpu
