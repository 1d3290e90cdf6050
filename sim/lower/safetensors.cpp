#include "sim/lower/safetensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little, "tensors are read in place");

constexpr std::int64_t length_bytes = 8;
constexpr std::int64_t largest_header = 100'000'000;  // tensor.rs, MAX_HEADER_SIZE

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw ConfigError(SourcePlace{path, 0, 0}, what);
}

[[noreturn]] void fail(const std::string& path, std::string_view tensor, const std::string& what) {
  fail(path, fmt::format("tensor '{}': {}", tensor, what));
}

/// Bytes of one element; 0 for an unknown name.
std::int64_t width_of(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  const bool is_byte = dtype == "F8_E4M3" || dtype == "F8_E5M2" || dtype == "F8_E8M0" ||
                       dtype == "I8" || dtype == "U8" || dtype == "BOOL";
  return is_byte ? 1 : 0;
}

/// A JSON number that is a whole number from 0 to the largest int64.
std::optional<std::int64_t> whole_number(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) return std::nullopt;
    return static_cast<std::int64_t>(number);
  }
  return std::nullopt;  // nlohmann-json keeps negative numbers as signed ones
}

std::vector<std::int64_t> shape_of(const std::string& path, const std::string& name,
                                   const Json& entry) {
  std::vector<std::int64_t> shape;
  if (!entry.contains("shape") || !entry["shape"].is_array()) fail(path, name, "has no shape");
  for (const Json& size : entry["shape"]) {
    const auto number = whole_number(size);
    if (!number) fail(path, name, "its shape holds something other than whole numbers from 0");
    shape.push_back(*number);
  }
  return shape;
}

/// Bytes of a tensor; nothing where they exceed `limit`. Sizes beside a zero are bounded as well,
/// so that no product of a shape overflows.
std::optional<std::int64_t> bytes_within(const std::vector<std::int64_t>& shape, std::int64_t width,
                                         std::int64_t limit) {
  const bool is_empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
  const std::int64_t largest = is_empty ? std::int64_t{1} << 48 : limit;
  std::int64_t total = width;
  for (const std::int64_t size : shape) {
    if (size == 0) continue;
    if (size > largest / total) return std::nullopt;
    total *= size;
  }
  return is_empty ? 0 : total;
}

StoredTensor parse_entry(const std::string& path, const std::string& name, const Json& entry,
                         std::int64_t data_bytes) {
  StoredTensor tensor;
  if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string()) {
    fail(path, name, "has no dtype");
  }
  tensor.dtype = entry["dtype"].get<std::string>();
  const std::int64_t width = width_of(tensor.dtype);
  if (width == 0) fail(path, name, fmt::format("its dtype '{}' is not known", tensor.dtype));
  tensor.shape = shape_of(path, name, entry);
  const bool has_pair = entry.contains("data_offsets") && entry["data_offsets"].is_array() &&
                        entry["data_offsets"].size() == 2;
  if (!has_pair) fail(path, name, "has no pair of data_offsets");
  const auto begin = whole_number(entry["data_offsets"][0]);
  const auto end = whole_number(entry["data_offsets"][1]);
  if (!begin || !end || *begin > *end || *end > data_bytes) {
    fail(path, name, fmt::format("its data_offsets do not lie within {} bytes", data_bytes));
  }
  tensor.offset = *begin;
  tensor.bytes = *end - *begin;
  const auto needed = bytes_within(tensor.shape, width, data_bytes);
  if (!needed || *needed != tensor.bytes) {
    fail(path, name,
         fmt::format("{} [{}] does not fill its {} bytes", tensor.dtype,
                     fmt::join(tensor.shape, ", "), tensor.bytes));
  }
  return tensor;
}

struct Header {
  Json json;
  std::int64_t data_begin = 0;
  std::int64_t data_bytes = 0;
};

Header read_header(const std::string& path) {
  std::error_code error;
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(path, error));
  std::ifstream stream(path, std::ios::binary);
  if (error || !stream) fail(path, "checkpoint cannot be opened for reading");
  std::uint64_t length = 0;
  if (size < length_bytes || !stream.read(reinterpret_cast<char*>(&length), length_bytes)) {
    fail(path, fmt::format("not a safetensors file: {} bytes", size));
  }
  const std::int64_t limit = std::min(size - length_bytes, largest_header);
  if (length > static_cast<std::uint64_t>(limit)) {
    fail(path,
         fmt::format("not a safetensors file: a header of {} bytes in a file of {}", length, size));
  }
  std::string text(static_cast<std::size_t>(length), '\0');
  if (!stream.read(text.data(), static_cast<std::streamsize>(length))) {
    fail(path, "checkpoint could not be read");
  }
  Header header;
  header.json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!header.json.is_object()) fail(path, "its safetensors header is not a JSON object");
  header.data_begin = length_bytes + static_cast<std::int64_t>(length);
  header.data_bytes = size - header.data_begin;
  return header;
}

/// The format allows neither gaps nor overlap: each tensor begins where another ends.
void check_layout(const std::string& path, const std::map<std::string, StoredTensor>& tensors,
                  std::int64_t data_bytes) {
  std::vector<const std::pair<const std::string, StoredTensor>*> order;
  for (const auto& entry : tensors) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.offset, a->second.bytes) <
           std::pair(b->second.offset, b->second.bytes);
  });
  std::int64_t end = 0;
  for (const auto* entry : order) {
    if (entry->second.offset != end) {
      fail(path, entry->first,
           fmt::format("begins at byte {} of the data, not where the one "
                       "before ends, at {}",
                       entry->second.offset, end));
    }
    end += entry->second.bytes;
  }
  if (end != data_bytes) {
    fail(path, fmt::format("its tensors fill {} of {} bytes of data", end, data_bytes));
  }
}

template <class Number>
float number_at(const std::byte* bytes, std::int64_t index) {
  Number number{};
  std::memcpy(&number, bytes + static_cast<std::size_t>(index) * sizeof(Number), sizeof(Number));
  return static_cast<float>(number);
}

using Decoder = float (*)(const std::byte*, std::int64_t);

float bfloat16_at(const std::byte* bytes, std::int64_t index) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, bytes + 2 * index, sizeof(bits));
  return decode_bfloat16(bits);
}

float float16_at(const std::byte* bytes, std::int64_t index) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, bytes + 2 * index, sizeof(bits));
  return decode_float16(bits);
}

float e4m3_at(const std::byte* bytes, std::int64_t index) {
  return decode_fp8_e4m3(static_cast<std::uint8_t>(bytes[index]));
}

float e5m2_at(const std::byte* bytes, std::int64_t index) {
  return decode_fp8_e5m2(static_cast<std::uint8_t>(bytes[index]));
}

Decoder decoder_of(std::string_view dtype) {
  if (dtype == "F64") return number_at<double>;
  if (dtype == "F32") return number_at<float>;
  if (dtype == "F16") return float16_at;
  if (dtype == "BF16") return bfloat16_at;
  if (dtype == "F8_E4M3") return e4m3_at;
  if (dtype == "F8_E5M2") return e5m2_at;
  if (dtype == "I64") return number_at<std::int64_t>;
  if (dtype == "I32") return number_at<std::int32_t>;
  if (dtype == "I16") return number_at<std::int16_t>;
  if (dtype == "I8") return number_at<std::int8_t>;
  if (dtype == "U64") return number_at<std::uint64_t>;
  if (dtype == "U32") return number_at<std::uint32_t>;
  if (dtype == "U16") return number_at<std::uint16_t>;
  if (dtype == "U8") return number_at<std::uint8_t>;
  return nullptr;
}

const char* dtype_of(ElementType type) {
  switch (type) {
    case ElementType::Float32:
      return "F32";
    case ElementType::Bfloat16:
      return "BF16";
    case ElementType::Float16:
      return "F16";
    case ElementType::Fp8E4m3:
      return "F8_E4M3";
    case ElementType::Fp8E5m2:
      return "F8_E5M2";
    case ElementType::Int8:
      return "I8";
    case ElementType::Int32:
      return "I32";
  }
  return "";
}

std::string file_in(const std::string& folder) {
  for (const char* name : {"model.safetensors.index.json", "model.safetensors"}) {
    const std::filesystem::path path = std::filesystem::path(folder) / name;
    if (std::filesystem::exists(path)) return path.string();
  }
  fail(folder, "the folder holds neither model.safetensors.index.json nor model.safetensors");
}

}  // namespace

SafetensorsReader::SafetensorsReader(const std::string& path) {
  std::error_code error;
  const std::string file = std::filesystem::is_directory(path, error) ? file_in(path) : path;
  if (file.ends_with(".json")) {
    add_index(file);
  } else {
    add_file(file);
  }
}

void SafetensorsReader::add_file(const std::string& path) {
  const Header header = read_header(path);
  std::map<std::string, StoredTensor> found;
  for (const auto& [name, entry] : header.json.items()) {
    if (name != "__metadata__") found[name] = parse_entry(path, name, entry, header.data_bytes);
  }
  check_layout(path, found, header.data_bytes);
  for (auto& [name, tensor] : found) {
    tensor.file = files_.size();
    tensor.offset += header.data_begin;
    if (!tensors_.emplace(name, tensor).second) fail(path, name, "is in another file as well");
  }
  files_.push_back(path);
}

void SafetensorsReader::add_index(const std::string& path) {
  std::ifstream stream(path);
  const Json index = Json::parse(stream, nullptr, /*allow_exceptions=*/false);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    fail(path, "not an index of safetensors files: no 'weight_map'");
  }
  std::map<std::string, std::vector<std::string>> by_file;
  for (const auto& [name, file] : index["weight_map"].items()) {
    if (!file.is_string()) fail(path, name, "its file is not a string");
    by_file[file.get<std::string>()].push_back(name);
  }
  for (const auto& [file, names] : by_file) {
    if (std::filesystem::path(file).filename().string() != file) {
      fail(path, fmt::format("'{}' is not a file name beside the index", file));
    }
    const std::string shard = (std::filesystem::path(path).parent_path() / file).string();
    add_file(shard);
    for (const std::string& name : names) {
      const auto found = tensors_.find(name);
      if (found == tensors_.end() || files_[found->second.file] != shard) {
        fail(shard, name, "is not here, where the index says it is");
      }
    }
  }
}

const StoredTensor& SafetensorsReader::at(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    fail(files_.empty() ? "" : files_.front(), name, "is not in the checkpoint");
  }
  return found->second;
}

std::vector<std::byte> SafetensorsReader::read_bytes(std::string_view name) const {
  const StoredTensor& tensor = at(name);
  std::vector<std::byte> bytes(static_cast<std::size_t>(tensor.bytes));
  std::ifstream stream(file_of(tensor), std::ios::binary);
  stream.seekg(tensor.offset);
  stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!stream) fail(file_of(tensor), name, "could not be read");
  return bytes;
}

Tensor SafetensorsReader::read(std::string_view name) const {
  const StoredTensor& stored = at(name);
  const Decoder decode = decoder_of(stored.dtype);
  if (decode == nullptr) {
    fail(file_of(stored), name, fmt::format("values of type {} are no numbers", stored.dtype));
  }
  const std::vector<std::byte> bytes = read_bytes(name);
  Tensor tensor(ElementType::Float32, stored.shape);
  std::int64_t index = 0;
  for (float& value : tensor.floats()) value = decode(bytes.data(), index++);
  return tensor;
}

void write_safetensors(const std::string& path,
                       const std::map<std::string, Tensor, std::less<>>& tensors) {
  Json header = Json::object();
  std::size_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const std::size_t end = offset + tensor.bytes().size();
    header[name] = {{"dtype", dtype_of(tensor.type())},
                    {"shape", tensor.shape()},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data begin at a multiple of 8, as tensor.rs does
  const std::uint64_t length = text.size();
  std::ofstream stream(path, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(&length), length_bytes);
  stream.write(text.data(), static_cast<std::streamsize>(text.size()));
  for (const auto& [name, tensor] : tensors) {
    stream.write(reinterpret_cast<const char*>(tensor.bytes().data()),
                 static_cast<std::streamsize>(tensor.bytes().size()));
  }
  stream.flush();
  if (!stream) fail(path, "checkpoint could not be written");
}

}  // namespace tandem
