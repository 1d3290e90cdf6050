// Networks as Hugging Face describes them: a config.json becomes the tree of a `kind: model` file,
// so that both are checked and built by one code. Field names and defaults are those of
// huggingface/transformers, src/transformers/models/*/configuration_*.py.
#pragma once

#include <optional>

#include "sim/config/tree.hpp"

namespace tandem::config {

/// Translates a config.json. Keys that are unknown here are left alone: there are dozens that do
/// not touch the mathematics. Keys known to change it beyond what a network can say are refused by
/// name. Values keep their places in the file. Nothing when the architecture (`model_type`) is not
/// known; complaints go to `problems`.
[[nodiscard]] std::optional<Tree> from_hugging_face(const Tree& config, Problems& problems);

}  // namespace tandem::config
