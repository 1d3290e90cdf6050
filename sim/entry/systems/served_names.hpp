// What the names in tables of measured services stand for in hw_configs and workloads.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/entry/context.hpp"

namespace tandem::entry {

/// Looks up models, chips and systems by the names that others give them.
class ServedNames {
 public:
  explicit ServedNames(const Context& context);
  /// The model in workloads/models: the last part of a path, without words for tuning and number
  /// formats ("meta-llama/Meta-Llama-3.1-70B-Instruct-FP8" -> llama-3.1-70b).
  [[nodiscard]] std::optional<std::string> model(const std::string& name) const;
  /// The chip in hw_configs/chips ("h100_sxm", "Nvidia H100 GPU", "h100-80gb" -> h100_sxm).
  [[nodiscard]] std::optional<std::string> chip(const std::string& name) const;
  /// The smallest system of one kind of chip that has `count` of this one.
  [[nodiscard]] std::optional<std::string> system_of(const std::string& chip,
                                                     std::int64_t count) const;

 private:
  std::vector<std::string> models_;
  std::vector<std::string> chips_;
  struct Box {
    std::string name;
    std::int64_t count;
  };
  std::multimap<std::string, Box> boxes_;  ///< by chip
};

}  // namespace tandem::entry
