// llama2.c v0 checkpoints: seven little-endian int32 (dim, hidden_dim, n_layers, n_heads,
// n_kv_heads, vocab_size, seq_len), then float32 arrays in the order of read_layers() below.
// Source: karpathy/llama2.c, run.c (read_checkpoint, memory_map_weights) and export.py (v0).
#include "sim/lower/llama2c_checkpoint.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "sim/core/diagnostics.hpp"
#include "sim/describe/dense_decoder.hpp"

namespace tandem {
namespace {

static_assert(std::endian::native == std::endian::little, "checkpoints are read in place");

constexpr std::size_t header_words = 7;
constexpr std::int64_t header_bytes = 28;
// Far above any model in this format; small enough that no product below overflows 64 bits.
constexpr std::int64_t largest_width = 1 << 20;
constexpr std::int64_t largest_layers = 1 << 12;
constexpr std::int64_t largest_count = 1 << 24;

[[noreturn]] void fail_checkpoint(const std::string& path, const std::string& what) {
  throw ConfigError(SourcePlace{path, 0, 0}, what);
}

struct Llama2cHeader {
  std::int64_t hidden, intermediate, layers, heads, kv_heads, vocabulary, context;
  bool tied;
};

void check_range(const std::string& path, const char* name, std::int64_t value,
                 std::int64_t largest) {
  if (value < 1 || value > largest) {
    fail_checkpoint(path, fmt::format("checkpoint header: {} is {}; must be between 1 and {}", name,
                                      value, largest));
  }
}

Llama2cHeader parse_header(const std::string& path,
                           const std::array<std::int32_t, header_words>& words) {
  Llama2cHeader h{words[0], words[1], words[2], words[3],
                  words[4], words[5], words[6], words[5] > 0};
  if (h.vocabulary < 0) {  // the sign says that the classifier is a tensor of its own
    h.vocabulary = -h.vocabulary;
  }
  check_range(path, "dim", h.hidden, largest_width);
  check_range(path, "hidden_dim", h.intermediate, largest_width);
  check_range(path, "n_layers", h.layers, largest_layers);
  check_range(path, "n_heads", h.heads, h.hidden);
  check_range(path, "n_kv_heads", h.kv_heads, h.heads);
  check_range(path, "vocab_size", h.vocabulary, largest_count);
  check_range(path, "seq_len", h.context, largest_count);
  if (h.hidden % h.heads != 0 || (h.hidden / h.heads) % 2 != 0) {
    fail_checkpoint(
        path, fmt::format("checkpoint header: dim {} does not split into {} heads of even width",
                          h.hidden, h.heads));
  }
  if (h.heads % h.kv_heads != 0) {
    fail_checkpoint(path,
                    fmt::format("checkpoint header: n_heads {} is not a multiple of n_kv_heads {}",
                                h.heads, h.kv_heads));
  }
  return h;
}

DenseDecoder decoder_of(const Llama2cHeader& h, const std::string& path) {
  DenseDecoder net;
  net.name = std::filesystem::path(path).stem().string();
  net.source = "header of the llama2.c checkpoint";
  net.layers = h.layers;
  net.hidden = h.hidden;
  net.heads = h.heads;
  net.kv_heads = h.kv_heads;
  net.head_dim = h.hidden / h.heads;
  net.intermediate = h.intermediate;
  net.vocabulary = h.vocabulary;
  net.max_context = h.context;
  net.tied_embeddings = h.tied;
  net.norm_epsilon = 1e-5;  // run.c, rmsnorm()
  net.rope.theta = 10000;   // run.c, forward()
  net.rope.layout = RopeLayout::Interleaved;
  return net;
}

/// run.c skips tables of cosines and sines that old exporters wrote: seq_len x head_dim floats.
std::int64_t rope_table_elements(const DenseDecoder& net) {
  return net.max_context * net.head_dim;
}

/// Reads consecutive float arrays. The file's size has been checked before.
class FloatReader {
 public:
  FloatReader(std::ifstream& stream, const std::string& path) : stream_(stream), path_(path) {}
  Tensor take(std::vector<std::int64_t> shape) {
    Tensor tensor(ElementType::Float32, std::move(shape));
    stream_.read(reinterpret_cast<char*>(tensor.bytes().data()),
                 static_cast<std::streamsize>(tensor.bytes().size()));
    if (!stream_) {
      fail_checkpoint(path_, "checkpoint could not be read to its end");
    }
    return tensor;
  }
  void skip(std::int64_t elements) {
    stream_.seekg(elements * static_cast<std::int64_t>(sizeof(float)), std::ios::cur);
  }

 private:
  std::ifstream& stream_;
  const std::string& path_;
};

/// The arrays stand layer after layer for one kind of weight, then the next kind.
void read_layers(FloatReader& reader, const DenseDecoder& net, Weights& weights) {
  const auto each = [&](const char* name, const std::vector<std::int64_t>& shape) {
    for (std::int64_t i = 0; i < net.layers; ++i) {
      weights.tensors.emplace(fmt::format("layers.{}.{}", i, name), reader.take(shape));
    }
  };
  each("attention_norm", {net.hidden});
  each("attention.query", {net.q_width(), net.hidden});
  each("attention.key", {net.kv_width(), net.hidden});
  each("attention.value", {net.kv_width(), net.hidden});
  each("attention.output", {net.hidden, net.q_width()});
  each("ffn_norm", {net.hidden});
  each("ffn.gate", {net.intermediate, net.hidden});
  each("ffn.down", {net.hidden, net.intermediate});
  each("ffn.up", {net.intermediate, net.hidden});
}

std::int64_t expected_file_bytes(const DenseDecoder& net) {
  const auto width = static_cast<std::int64_t>(sizeof(float));
  const std::int64_t parameters = count_parameters(network_of(net)).total;
  return header_bytes + width * (parameters + rope_table_elements(net));
}

}  // namespace

Weights read_llama2c_checkpoint(const std::string& path) {
  std::error_code error;
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(path, error));
  std::ifstream stream(path, std::ios::binary);
  if (error || !stream) {
    fail_checkpoint(path, "checkpoint cannot be opened for reading");
  }
  std::array<std::int32_t, header_words> words{};
  if (size < header_bytes || !stream.read(reinterpret_cast<char*>(words.data()), header_bytes)) {
    fail_checkpoint(
        path, fmt::format("not a llama2.c checkpoint: {} bytes, the header alone has {}", size,
                          header_bytes));
  }
  const DenseDecoder net = decoder_of(parse_header(path, words), path);
  const std::int64_t expected = expected_file_bytes(net);
  if (size != expected) {
    fail_checkpoint(path,
                    fmt::format("checkpoint has {} bytes; its header asks for {}", size, expected));
  }
  Weights weights;
  weights.network = network_of(net);
  FloatReader reader(stream, path);
  weights.tensors.emplace("embedding", reader.take({net.vocabulary, net.hidden}));
  read_layers(reader, net, weights);
  weights.tensors.emplace("final_norm", reader.take({net.hidden}));
  reader.skip(rope_table_elements(net));
  if (!net.tied_embeddings) {
    weights.tensors.emplace("head", reader.take({net.vocabulary, net.hidden}));
  }
  return weights;
}

}  // namespace tandem
