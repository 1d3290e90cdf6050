// YAML text to Tree. Stricter than YAML: no duplicate keys, anchors, merge keys, tags or tabs.
#pragma once

#include <string>

#include "sim/config/tree.hpp"

namespace tandem::config {

/// Parses `text`; `file` is the name that places carry. Complaints go to `problems`; the tree then
/// holds what could be understood.
[[nodiscard]] Tree parse_yaml(const std::string& text, const std::string& file, Problems& problems);

/// Reads and parses a file.
[[nodiscard]] Tree read_yaml(const std::string& path, Problems& problems);

/// The same of JSON, which is YAML but for tabs between its tokens.
[[nodiscard]] Tree read_json(const std::string& path, Problems& problems);

}  // namespace tandem::config
