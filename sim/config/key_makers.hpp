// How declarations of keys are written: one maker per form of key.
#pragma once

#include <string>
#include <vector>

#include "sim/config/keys.hpp"

namespace tandem::config::make {

/// An empty fallback of a number means that the key is required.
[[nodiscard]] KeySpec number(std::string name, Dimension dimension, std::string fallback,
                             double minimum, double maximum, std::string doc);
[[nodiscard]] KeySpec text(std::string name, std::string doc);
[[nodiscard]] KeySpec text_or(std::string name, std::string fallback, std::string doc);
/// A name, or keys in its place.
[[nodiscard]] KeySpec map(std::string name, std::string doc);
/// Keys of a section of its own.
[[nodiscard]] KeySpec keys(std::string name, std::string doc);
[[nodiscard]] KeySpec flag(std::string name, std::string fallback, std::string doc);
/// An empty fallback means that the key is required. `later`: values that are not supported yet.
[[nodiscard]] KeySpec choice(std::string name, std::string fallback,
                             std::vector<std::string> choices, std::vector<std::string> later,
                             std::string doc);
[[nodiscard]] KeySpec required(KeySpec key);
/// The keys with which every file may open.
[[nodiscard]] std::vector<KeySpec> head();
[[nodiscard]] std::vector<KeySpec> with_head(std::vector<KeySpec> keys);

}  // namespace tandem::config::make
