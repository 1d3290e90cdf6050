#include "sim/lower/huggingface_checkpoint.hpp"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "sim/core/diagnostics.hpp"
#include "sim/lower/checkpoint_problems.hpp"
#include "sim/lower/huggingface_names.hpp"
#include "sim/lower/huggingface_tensors.hpp"

namespace tandem {
namespace {

using huggingface::read_mxfp4;
using huggingface::read_scaled;
using huggingface::reshaped;
using huggingface::rows_of;
using huggingface::strided_rows;

constexpr std::size_t most_complaints = 20;

/// Where a layer's or module's tensors stand.
struct Place {
  const LayerKind& kind;
  std::string theirs;  ///< "model.layers.3."
};

class Assembler {
 public:
  Assembler(const SafetensorsReader& reader, const NeuralNetwork& network, std::string path)
      : reader_(reader), network_(network), path_(std::move(path)), problems_(path_) {
    find_prefix();
  }
  [[nodiscard]] Weights assemble();

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw ConfigError(SourcePlace{path_, 0, 0}, what);
  }
  void find_prefix();
  [[nodiscard]] std::string first_of(const std::vector<std::string>& names) const;
  [[nodiscard]] Tensor read_plain(const std::string& name);
  [[nodiscard]] Tensor read_first(const std::string& ours, const std::string& prefix,
                                  const std::vector<std::string>& names);
  void put(const TensorSpec& spec, const std::string& prefix, Tensor tensor);
  void take_outside();
  void take_layer(const std::string& prefix, const Place& place);
  [[nodiscard]] Tensor layer_tensor(const std::string& name, const Place& place);
  [[nodiscard]] Tensor experts(const std::string& name, const Place& place);
  [[nodiscard]] Tensor experts_one_by_one(const std::string& name, const Place& place);
  [[nodiscard]] Tensor part_of_fused(const std::string& name, const Place& place,
                                     Tensor fused) const;
  [[nodiscard]] Tensor delta_part(const std::string& name, const Place& place);
  void take_modules();
  void find_unknown();

  const SafetensorsReader& reader_;
  const NeuralNetwork& network_;
  std::string path_;
  std::string prefix_;  ///< "model."
  CheckpointProblems problems_;
  std::set<std::string, std::less<>> used_;  ///< stored tensors that had a place in the network
  Weights weights_;
};

void Assembler::find_prefix() {
  for (const char* prefix : {"model.", "model.language_model.", "language_model.model.", ""}) {
    if (reader_.contains(std::string(prefix) + "embed_tokens.weight")) {
      prefix_ = prefix;
      return;
    }
  }
  fail("the checkpoint has no tensor 'model.embed_tokens.weight'");
}

std::string Assembler::first_of(const std::vector<std::string>& names) const {
  for (const std::string& name : names) {
    if (reader_.contains(name) || reader_.contains(name + "_packed")) return name;
  }
  return "";
}

Tensor Assembler::read_plain(const std::string& name) {
  used_.insert({name, name + "_scale_inv"});
  return read_scaled(reader_, name);
}

Tensor Assembler::read_first(const std::string& ours, const std::string& prefix,
                             const std::vector<std::string>& names) {
  std::vector<std::string> full;
  for (const std::string& name : names) full.push_back(prefix + name);
  const std::string found = first_of(full);
  if (found.empty()) {
    fail(fmt::format("the checkpoint has no tensor '{}' for '{}' of '{}'",
                     full.empty() ? prefix + "?" : full.front(), ours, network_.name));
  }
  if (reader_.contains(found)) return read_plain(found);
  used_.insert({found + "_packed", found + "_scale", found + "_shape"});
  return huggingface::read_packed_int4(reader_, found);
}

void Assembler::put(const TensorSpec& spec, const std::string& prefix, Tensor tensor) {
  // Singleton axes come and go: conv1d.weight is [channels, 1, taps], a gate [1, hidden].
  if (tensor.shape() != spec.shape && tensor.elements() == spec.elements()) {
    const auto without_ones = [](std::vector<std::int64_t> shape) {
      std::erase(shape, 1);
      return shape;
    };
    if (without_ones(tensor.shape()) == without_ones(spec.shape)) {
      tensor = reshaped(tensor, spec.shape);
    }
  }
  if (tensor.shape() != spec.shape) {
    fail(fmt::format("'{}{}' of '{}' is [{}] in the checkpoint, needs [{}]", prefix, spec.name,
                     network_.name, fmt::join(tensor.shape(), ", "), fmt::join(spec.shape, ", ")));
  }
  weights_.tensors.emplace(prefix + spec.name, std::move(tensor));
}

Weights Assembler::assemble() {
  weights_.network = network_;
  take_outside();
  for (std::int64_t i = 0; i < network_.layers(); ++i) {
    take_layer(fmt::format("layers.{}.", i),
               {network_.layer(i), fmt::format("{}layers.{}.", prefix_, i)});
  }
  take_modules();
  find_unknown();
  problems_.throw_if_any(most_complaints);
  return std::move(weights_);
}

void Assembler::take_outside() {
  const auto take = [&](const char* name, std::vector<std::int64_t> shape,
                        const std::string& prefix, const std::vector<std::string>& names) {
    problems_.attempt([&] { put({name, std::move(shape)}, "", read_first(name, prefix, names)); });
  };
  const std::int64_t hidden = network_.hidden;
  take("embedding", {network_.vocabulary, hidden}, prefix_, {"embed_tokens.weight"});
  take("final_norm", {hidden}, prefix_, {"norm.weight"});
  if (network_.tied_embeddings) return;
  take("head", {network_.vocabulary, hidden}, "",
       {"lm_head.weight", "language_model.lm_head.weight"});
}

void Assembler::take_layer(const std::string& prefix, const Place& place) {
  const std::string scalar = place.theirs + "layer_scalar";
  used_.insert(scalar);
  if (reader_.contains(scalar) && reader_.read(scalar).load(0) != 1.0F) {
    throw ModelError(fmt::format("{}: '{}' scales its layer, which networks here do not describe",
                                 path_, scalar));
  }
  for (const TensorSpec& spec : tensors_of(network_, place.kind)) {
    problems_.attempt([&] { put(spec, prefix, layer_tensor(spec.name, place)); });
  }
}

Tensor Assembler::layer_tensor(const std::string& name, const Place& place) {
  const bool is_expert = name.starts_with("experts.gate") || name.starts_with("experts.up") ||
                         name.starts_with("experts.down");
  if (is_expert) return experts(name, place);
  const bool is_fused = reader_.contains(place.theirs + "linear_attn.in_proj_qkvz.weight");
  if (is_fused &&
      (name == "delta.qkv" || name == "delta.z" || name == "delta.a" || name == "delta.b")) {
    return delta_part(name, place);
  }
  return read_first(name, place.theirs, huggingface_names(place.kind, name));
}

Tensor Assembler::experts(const std::string& name, const Place& place) {
  const bool is_bias = name.ends_with("_bias");
  const std::string fused = name.starts_with("experts.down") ? "down_proj" : "gate_up_proj";
  for (const char* folder : {"mlp.experts.", "experts."}) {
    const std::string base = place.theirs + folder + fused;
    if (is_bias && reader_.contains(base + "_bias")) {
      return part_of_fused(name, place, read_plain(base + "_bias"));
    }
    if (is_bias) continue;
    if (reader_.contains(base + "_blocks")) {
      used_.insert({base + "_blocks", base + "_scales"});
      Tensor tensor = read_mxfp4(reader_, base);
      if (tensor.shape().size() == 3) return part_of_fused(name, place, std::move(tensor));
      fail(fmt::format("tensor '{}_blocks' has {} axes, needs 4", base, tensor.shape().size() + 1));
    }
    if (!reader_.contains(base)) continue;
    Tensor tensor = read_plain(base);
    if (tensor.shape().size() != 3) {
      fail(fmt::format("tensor '{}' has {} axes, needs 3", base, tensor.shape().size()));
    }
    // gpt-oss multiplies from the left: its matrices are [in, out].
    const bool is_transposed = place.kind.ffn.activation == ActivationKind::ClampedSwiglu;
    if (is_transposed) tensor = huggingface::transposed_matrices(tensor);
    return part_of_fused(name, place, std::move(tensor));
  }
  return experts_one_by_one(name, place);
}

Tensor Assembler::part_of_fused(const std::string& name, const Place& place, Tensor fused) const {
  if (name.starts_with("experts.down")) return fused;
  const std::int64_t width = place.kind.ffn.experts->intermediate;
  if (fused.shape().size() < 2 || fused.dim(1) != 2 * width) {
    fail(fmt::format("fused gate and up of experts are [{}] in '{}', need {} rows each",
                     fmt::join(fused.shape(), ", "), place.theirs, 2 * width));
  }
  const bool is_up = name.starts_with("experts.up");
  const bool is_interleaved = place.kind.ffn.activation == ActivationKind::ClampedSwiglu;
  return is_interleaved ? strided_rows(fused, is_up ? 1 : 0, 2, width)
                        : strided_rows(fused, is_up ? width : 0, 1, width);
}

Tensor Assembler::experts_one_by_one(const std::string& name, const Place& place) {
  const bool is_bias = name.ends_with("_bias");
  const std::string which = name.substr(8, name.find('_') - 8);  // after "experts."
  const std::string mixtral = which == "gate" ? "w1" : which == "down" ? "w2" : "w3";
  const std::string suffix = is_bias ? ".bias" : ".weight";
  const std::int64_t count = place.kind.ffn.experts->router.experts;
  CheckpointProblems problems(path_);
  Tensor all;
  for (std::int64_t i = 0; i < count; ++i) {
    problems.attempt([&] {
      const Tensor one =
          read_first(name, place.theirs,
                     {fmt::format("mlp.experts.{}.{}_proj{}", i, which, suffix),
                      fmt::format("block_sparse_moe.experts.{}.{}{}", i, mixtral, suffix)});
      if (all.elements() == 0) {
        std::vector<std::int64_t> shape = one.shape();
        shape.insert(shape.begin(), count);
        all = Tensor(ElementType::Float32, std::move(shape));
      }
      if (one.elements() * count != all.elements()) {
        fail(fmt::format("expert {} of '{}' differs in shape from those before", i, place.theirs));
      }
      std::ranges::copy(one.floats(), all.floats().begin() + i * one.elements());
    });
  }
  problems.throw_if_any(static_cast<std::size_t>(3 * count));  // all: assemble() shortens the list
  return all;
}

/// Rows of the fused projections stand per key head: q, k, its value heads' v and z; b and a.
Tensor Assembler::delta_part(const std::string& name, const Place& place) {
  const ops::GatedDeltaShape& shape = std::get<GatedDelta>(place.kind.mixer).shape;
  const std::int64_t group = shape.value_heads / shape.key_heads;
  const std::int64_t values = group * shape.value_dim;
  const bool is_wide = name == "delta.qkv" || name == "delta.z";
  const std::int64_t per_head = is_wide ? 2 * (shape.key_dim + values) : 2 * group;
  const Tensor fused =
      read_first(name, place.theirs,
                 {is_wide ? "linear_attn.in_proj_qkvz.weight" : "linear_attn.in_proj_ba.weight"});
  if (fused.shape().size() != 2 || fused.dim(0) != per_head * shape.key_heads) {
    fail(fmt::format("fused '{}' in '{}' is [{}], needs {} rows", name, place.theirs,
                     fmt::join(fused.shape(), ", "), per_head * shape.key_heads));
  }
  std::vector<std::int64_t> rows;
  const auto take = [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t head = 0; head < shape.key_heads; ++head) {
      for (std::int64_t i = 0; i < count; ++i) rows.push_back(head * per_head + first + i);
    }
  };
  if (name == "delta.qkv") {
    take(0, shape.key_dim);
    take(shape.key_dim, shape.key_dim);
    take(2 * shape.key_dim, values);
  } else if (name == "delta.z") {
    take(2 * shape.key_dim + values, values);
  } else {
    take(name == "delta.b" ? 0 : group, group);
  }
  return rows_of(fused, rows);
}

/// DeepSeek keeps its modules as further layers, Qwen under "mtp.".
void Assembler::take_modules() {
  for (std::int64_t i = 0; i < network_.mtp.modules; ++i) {
    const std::string ours = fmt::format("mtp.{}.", i);
    const std::string deepseek = fmt::format("{}layers.{}.", prefix_, network_.layers() + i);
    const bool is_qwen = reader_.contains("mtp.fc.weight");
    const LayerKind& kind = network_.kinds[static_cast<std::size_t>(network_.mtp.kind)];
    const std::int64_t hidden = network_.hidden;
    const auto take = [&](const char* name, std::vector<std::int64_t> shape, const char* qwen,
                          const char* other) {
      const std::string prefix = is_qwen ? "mtp." : deepseek;
      problems_.attempt([&] {
        put({name, std::move(shape)}, ours, read_first(name, prefix, {is_qwen ? qwen : other}));
      });
    };
    take("embedding_norm", {hidden}, "pre_fc_norm_embedding.weight", "enorm.weight");
    take("hidden_norm", {hidden}, "pre_fc_norm_hidden.weight", "hnorm.weight");
    take("combine", {hidden, 2 * hidden}, "fc.weight", "eh_proj.weight");
    take("final_norm", {hidden}, "norm.weight", "shared_head.norm.weight");
    take_layer(ours, {kind, is_qwen ? fmt::format("mtp.layers.{}.", i) : deepseek});
  }
}

/// Tensors of layers that the network has no place for: it would compute something else without
/// them. What stands outside the layers (vision towers, a stored copy of a tied head, modules that
/// the network leaves out) does not matter, nor do tables that follow from the configuration.
void Assembler::find_unknown() {
  const std::string layers = prefix_ + "layers.";
  for (const auto& [name, stored] : reader_.tensors()) {
    if (!name.starts_with(layers) || used_.contains(name)) continue;
    if (name.ends_with("rotary_emb.inv_freq") || name.ends_with("attn.k_scale") ||
        name.ends_with("attn.v_scale")) {
      continue;
    }
    const std::string layer = name.substr(0, name.find('.', layers.size()) + 1);
    const bool is_module = reader_.contains(layer + "eh_proj.weight");
    if (is_module) continue;
    problems_.add(fmt::format("'{}' has no place for tensor '{}'", network_.name, name));
  }
}

/// Rotation by neighbours is how llama2.c and DeepSeek's latent attention store their weights.
void check_layout(const NeuralNetwork& network) {
  if (network.learned_positions) {
    throw ModelError("checkpoint: '" + network.name +
                     "' has learned positions; no published layout of such networks is read");
  }
  for (const LayerKind& kind : network.kinds) {
    const auto* attention = std::get_if<GroupedAttention>(&kind.mixer);
    if (attention != nullptr && attention->rope &&
        attention->rope->layout == RopeLayout::Interleaved) {
      throw ModelError("checkpoint: '" + network.name +
                       "' rotates neighbours; Hugging Face stores heads for rotation by halves");
    }
  }
}

/// Names of tensors_of(), every one of them and no others.
Weights read_own_names(const SafetensorsReader& reader, const NeuralNetwork& network,
                       const std::string& path) {
  CheckpointProblems problems(path);
  Weights weights;
  weights.network = network;
  std::set<std::string, std::less<>> known;
  for (const TensorSpec& spec : tensors_of(network)) {
    known.insert(spec.name);
    problems.attempt([&] {
      const StoredTensor& stored = reader.at(spec.name);
      if (stored.shape != spec.shape) {
        throw ConfigError(SourcePlace{reader.file_of(stored), 0, 0},
                          fmt::format("tensor '{}' is [{}], needs [{}]", spec.name,
                                      fmt::join(stored.shape, ", "), fmt::join(spec.shape, ", ")));
      }
      weights.tensors.emplace(spec.name, reader.read(spec.name));
    });
  }
  for (const auto& [name, stored] : reader.tensors()) {
    if (known.contains(name)) continue;
    problems.add(fmt::format("'{}' has no place for tensor '{}'", network.name, name));
  }
  problems.throw_if_any(most_complaints);
  return weights;
}

}  // namespace

Weights read_huggingface_checkpoint(const std::string& path, const NeuralNetwork& network) {
  const SafetensorsReader reader(path);
  if (reader.contains("embedding")) return read_own_names(reader, network, path);
  check_layout(network);
  return Assembler(reader, network, path).assemble();
}

}  // namespace tandem
