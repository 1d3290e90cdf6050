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

const StoredTensor& WeightCutter::stored(std::string_view tensor) const {
  return all_.at(prefix_ + std::string(tensor));
}

bool WeightCutter::has(std::string_view tensor) const {
  return all_.has(prefix_ + std::string(tensor));
}

void WeightCutter::append(WeightMatrix& matrix, const StoredTensor& tensor, const Part& part) {
  matrix.width = part.columns.size();
  matrix.rows += part.rows;
  matrix.element = tensor.element;
  matrix.has_format = tensor.has_format;
  const std::span<const float> values = tensor.values.floats();
  for (std::int64_t row = part.first; row < part.first + part.rows; ++row) {
    const auto from = values.subspan(static_cast<std::size_t>(row * part.stride));
    matrix.values.insert(matrix.values.end(), from.begin() + part.columns.begin,
                         from.begin() + part.columns.end);
  }
}

/// Scales change at the same columns in all tensors of a role: they have one format and width.
void WeightCutter::append_codes(WeightMatrix& matrix, const StoredTensor& tensor,
                                const Part& part) {
  append(matrix, tensor, part);
  if (tensor.input == nullptr) return;
  matrix.input = tensor.input;
  const std::int64_t step = tensor.codes.front().scale_cols();
  matrix.run_ends.clear();
  for (std::int64_t end = part.columns.begin; end < part.columns.end;) {
    end = std::min((end / step + 1) * step, part.columns.end);
    matrix.run_ends.push_back(end - part.columns.begin);
  }
  auto to = matrix.values.end() - part.rows * matrix.width;
  for (std::int64_t row = part.first; row < part.first + part.rows; ++row, to += matrix.width) {
    const std::int64_t rows = tensor.codes.front().rows();
    const auto& codes = tensor.codes[static_cast<std::size_t>(row / rows)];
    codes.unscaled(row % rows, part.columns.begin,
                   std::span(&*to, static_cast<std::size_t>(matrix.width)));
    std::int64_t first = part.columns.begin;
    for (const std::int64_t end : matrix.run_ends) {
      matrix.scales.push_back(codes.scale(row % rows, first));
      first = part.columns.begin + end;
    }
  }
}

void WeightCutter::rows(const std::string& role, std::string_view tensor, ShareRange rows) {
  const StoredTensor& from = stored(tensor);
  const std::int64_t width = from.values.shape().back();
  append_codes(out_.make(role), from, {rows.begin, rows.size(), width, {0, width}});
}

void WeightCutter::plain_rows(const std::string& role, std::string_view tensor, ShareRange rows) {
  const StoredTensor& from = stored(tensor);
  const std::int64_t width = from.values.shape().back();
  append(out_.make(role), from, {rows.begin, rows.size(), width, {0, width}});
}

void WeightCutter::columns(const std::string& role, std::string_view tensor, ShareRange columns) {
  const StoredTensor& from = stored(tensor);
  append_codes(out_.make(role), from, {0, from.values.dim(0), from.values.shape().back(), columns});
}

void WeightCutter::elements(const std::string& role, std::string_view tensor, ShareRange elements) {
  WeightMatrix& matrix = out_.make(role);
  const std::int64_t before = matrix.width;
  append(matrix, stored(tensor), {0, 1, 0, elements});
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
  matrix.element = stored(tensor).element;
  matrix.has_format = stored(tensor).has_format;
  for (std::int64_t column = 0; column < width; ++column) {
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      matrix.values.push_back(from.load(row * width + column));
    }
  }
}

void WeightCutter::norm(const std::string& role, const std::string& tensor) {
  whole(role, tensor);
  if (has(tensor + "_bias")) whole(role + ".bias", tensor + "_bias");
}

void WeightCutter::experts(const std::string& role, std::string_view tensor, ShareRange held,
                           ShareRange rows, ShareRange columns) {
  const StoredTensor& from = stored(tensor);
  const std::int64_t all_rows = from.values.dim(1);
  for (std::int64_t expert = held.begin; expert < held.end; ++expert) {
    append_codes(
        out_.make(role), from,
        {expert * all_rows + rows.begin, rows.size(), from.values.shape().back(), columns});
  }
}

}  // namespace tandem::gpu
