// Files of Hugging Face's safetensors format: an 8-byte little-endian length, a JSON header of that
// length, then the tensors' bytes. Source: huggingface/safetensors, README.md "Format" and
// safetensors/src/tensor.rs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sim/numerics/tensor.hpp"

namespace tandem {

/// One tensor as a file announces it.
struct StoredTensor {
  std::string dtype;  ///< as the header writes it: "BF16"
  std::vector<std::int64_t> shape;
  std::size_t file = 0;     ///< index into the reader's files
  std::int64_t offset = 0;  ///< of its first byte in the file
  std::int64_t bytes = 0;
};

/// The tensors of one file or of the shards of an index. Headers are read and checked at once,
/// tensors when they are asked for.
///
/// Every number of a header is checked before it is used: lengths against the file, shapes against
/// byte counts, and tensors must fill the data without gaps or overlap, as the format demands.
class SafetensorsReader {
 public:
  /// `path`: a .safetensors file, a model.safetensors.index.json, or a folder that holds either.
  /// Throws ConfigError that names the file, and the tensor where there is one.
  explicit SafetensorsReader(const std::string& path);

  [[nodiscard]] const std::map<std::string, StoredTensor, std::less<>>& tensors() const {
    return tensors_;
  }
  [[nodiscard]] bool contains(std::string_view name) const { return tensors_.contains(name); }
  /// What the file says about a tensor. Throws ConfigError where there is none.
  [[nodiscard]] const StoredTensor& at(std::string_view name) const;
  /// The file that holds a tensor, for messages.
  [[nodiscard]] const std::string& file_of(const StoredTensor& tensor) const {
    return files_[tensor.file];
  }
  /// A tensor's bytes as stored. Throws ConfigError where they cannot be read.
  [[nodiscard]] std::vector<std::byte> read_bytes(std::string_view name) const;
  /// A tensor's values as float32; F64 and integers are rounded once. Throws ConfigError for a type
  /// that is no number (F8_E8M0 scales, BOOL): those have read_bytes().
  [[nodiscard]] Tensor read(std::string_view name) const;

 private:
  void add_file(const std::string& path);
  void add_index(const std::string& path);

  std::vector<std::string> files_;
  std::map<std::string, StoredTensor, std::less<>> tensors_;
};

/// Writes tensors in their own element types, sorted by name. Throws ConfigError where the file
/// cannot be written.
void write_safetensors(const std::string& path,
                       const std::map<std::string, Tensor, std::less<>>& tensors);

}  // namespace tandem
