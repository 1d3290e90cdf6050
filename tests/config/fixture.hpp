// The descriptions under tests/config/roots and the schemas of their two chip models.
#pragma once

#include <string>
#include <vector>

#include "sim/config/loader.hpp"

namespace tandem::fixture {

inline std::string folder() {
  return std::string(TANDEM_SOURCE_DIR) + "/tests/config/roots";
}

inline ConfigRoots roots() {
  return {folder() + "/hw_configs", folder() + "/workloads"};
}

inline ModelSchemas schemas() {
  return {{"gpu",
           {{"memory", Dimension::Size, "Bytes.", std::nullopt, 1, 1e15},
            {"bandwidth", Dimension::Bandwidth, "Of memory.", std::nullopt, 1, 1e15},
            {"units", Dimension::Count, "Processors.", std::nullopt, 1, 1000},
            {"power", Dimension::Power, "Limit.", std::nullopt, 1, 1e5},
            {"efficiency", Dimension::Fraction, "Reached.", 0.8, 0.1, 1}}},
          {"lpu",
           {{"sram", Dimension::Size, "Bytes.", std::nullopt, 1, 1e12},
            {"clock", Dimension::Frequency, "Core.", std::nullopt, 1e6, 1e10}}}};
}

inline Loader loader() {
  return {roots(), schemas()};
}

/// Runs `action` and gives back the diagnostics it threw; empty when it did not throw.
template <class Action>
std::vector<Diagnostic> diagnostics_of(Action action) {
  try {
    action();
  } catch (const ConfigError& error) {
    return error.diagnostics();
  }
  return {};
}

}  // namespace tandem::fixture
